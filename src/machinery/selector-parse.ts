// Selectors from text and from LabelSelector objects (k8s.io/apimachinery labels and fields, same grammar and messages).
import type { LabelSelector } from '../api/generated/types.ts';
import { labelValueProblems, qualifiedNameProblems } from './names.ts';
import type { Requirement, Selector } from './selector.ts';
import { badRequest } from './status.ts';

/** A map that is looked up by own string members only. */
type Values = { readonly [key: string]: string } | undefined;

/** A requirement with the text it is written as ("a=b" and "a in (b)" are both In). */
interface Term extends Requirement {
  readonly text: string;
  readonly test: (values: Values) => boolean;
}

class CompiledSelector implements Selector {
  readonly #tests: readonly ((values: Values) => boolean)[];
  readonly #text: string;
  readonly requirements: readonly Requirement[];

  constructor(terms: readonly Term[]) {
    this.#tests = terms.map((t) => t.test);
    this.#text = terms.map((t) => t.text).join(',');
    this.requirements = terms.map(({ key, operator, values }) => ({ key, operator, values }));
  }

  get empty(): boolean {
    return this.#tests.length === 0;
  }

  matches(values: Values): boolean {
    for (const test of this.#tests) if (!test(values)) return false;
    return true;
  }

  toString(): string {
    return this.#text;
  }
}

/** Matches every object. */
export const EVERYTHING: Selector = new CompiledSelector([]);

/** Matches no object. */
export const NOTHING: Selector = { matches: () => false, empty: false, requirements: [], toString: () => '' };

/** Member `key`, when it is a string: an inherited name like "constructor" is not. */
function memberOf(values: Values, key: string): string | undefined {
  const value = values?.[key];
  return typeof value === 'string' ? value : undefined;
}

function compile(key: string, operator: Requirement['operator'], values: readonly string[]): Term['test'] {
  const first = values[0] ?? '';
  const has = values.length === 1 ? (v: string) => v === first : (v: string) => values.includes(v);
  switch (operator) {
    case 'In':
      return (labels) => {
        const value = memberOf(labels, key);
        return value !== undefined && has(value);
      };
    case 'NotIn':
      return (labels) => {
        const value = memberOf(labels, key);
        return value === undefined || !has(value);
      };
    case 'Exists':
      return (labels) => memberOf(labels, key) !== undefined;
    case 'DoesNotExist':
      return (labels) => memberOf(labels, key) === undefined;
    case 'Gt':
      return (labels) => compareIntegers(memberOf(labels, key), first) > 0;
    case 'Lt':
      return (labels) => compareIntegers(memberOf(labels, key), first) < 0;
  }
}

const INT64 = /^[+-]?\d{1,19}$/;

/** The sign of a - b; NaN, which compares false, when one is no integer. */
function compareIntegers(a: string | undefined, b: string): number {
  if (a === undefined || !INT64.test(a) || !INT64.test(b)) return Number.NaN;
  const difference = BigInt(a.replace('+', '')) - BigInt(b.replace('+', ''));
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

/** How an operator is written. Equality is In with one value. */
type Written = '=' | '==' | '!=' | 'in' | 'notin' | '>' | '<' | 'exists' | '!';

const OPERATOR: { readonly [written in Written]: Requirement['operator'] } = {
  '=': 'In', '==': 'In', '!=': 'NotIn', in: 'In', notin: 'NotIn', '>': 'Gt', '<': 'Lt', exists: 'Exists', '!': 'DoesNotExist',
}; // biome-ignore format: a table

/** A checked term; throws Error with upstream's text. */
function term(key: string, written: Written, values: readonly string[]): Term {
  const problems: string[] = [];
  const keyProblems = qualifiedNameProblems(key);
  if (keyProblems.length > 0) problems.push(`key: Invalid value: ${JSON.stringify(key)}: ${keyProblems.join('; ')}`);
  const shown = JSON.stringify(values);
  if ((written === 'in' || written === 'notin') && values.length === 0) {
    problems.push(`values: Invalid value: ${shown}: for 'in', 'notin' operators, values set can't be empty`);
  }
  if ((written === 'exists' || written === '!') && values.length > 0) {
    problems.push(`values: Invalid value: ${shown}: values set must be empty for exists and does not exist`);
  }
  values.forEach((value, i) => {
    if ((written === '>' || written === '<') && !INT64.test(value)) {
      const why = "for 'Gt', 'Lt' operators, the value must be an integer";
      problems.push(`values[${i}]: Invalid value: ${JSON.stringify(value)}: ${why}`);
    }
    const found = labelValueProblems(value);
    if (found.length > 0) {
      problems.push(`values[${i}][${key}]: Invalid value: ${JSON.stringify(value)}: ${found.join('; ')}`);
    }
  });
  if (problems.length > 0) throw new Error(problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`);
  const operator = OPERATOR[written];
  return { key, operator, values, text: writtenTerm(key, written, values), test: compile(key, operator, values) };
}

function writtenTerm(key: string, written: Written, values: readonly string[]): string {
  const list = [...values].sort().join(',');
  switch (written) {
    case 'exists':
      return key;
    case '!':
      return `!${key}`;
    case 'in':
    case 'notin':
      return `${key} ${written} (${list})`;
    default:
      return `${key}${written}${list}`;
  }
}

function fromTerms(terms: readonly Term[]): Selector {
  if (terms.length === 0) return EVERYTHING;
  return new CompiledSelector([...terms].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)));
}

/** The selector of a meta/v1 LabelSelector: absent matches nothing, empty matches everything. Throws a BadRequest Status. */
export function labelSelectorFromObject(selector: LabelSelector | null | undefined): Selector {
  if (selector === undefined || selector === null) return NOTHING;
  const known = compiledObjects.get(selector);
  if (known) return known;
  const terms: Term[] = [];
  try {
    for (const [key, value] of Object.entries(selector.matchLabels ?? {})) terms.push(term(key, '=', [value]));
    for (const { key, operator, values } of selector.matchExpressions ?? []) {
      const written = EXPRESSION_OPERATORS.get(operator);
      if (!written) throw new Error(`${JSON.stringify(operator)} is not a valid label selector operator`);
      terms.push(term(key, written, values ?? []));
    }
  } catch (error) {
    throw badRequest((error as Error).message, error);
  }
  const compiled = fromTerms(terms);
  compiledObjects.set(selector, compiled);
  return compiled;
}

const EXPRESSION_OPERATORS = new Map<string, Written>([
  ['In', 'in'],
  ['NotIn', 'notin'],
  ['Exists', 'exists'],
  ['DoesNotExist', '!'],
]);

/** Selectors of cached, hence unchanging, objects are compiled once. */
const compiledObjects = new WeakMap<LabelSelector, Selector>();

/** The selector of a plain map (Service, ReplicationController): all pairs must match; an empty map matches everything. */
export function selectorFromLabels(labels: { readonly [key: string]: string } | null | undefined): Selector {
  return fromTerms(
    Object.entries(labels ?? {}).map(([key, value]) => ({
      key,
      operator: 'In' as const,
      values: [value],
      text: `${key}=${value}`,
      test: compile(key, 'In', [value]),
    })),
  );
}

/** The selector of a `labelSelector` parameter. Throws a BadRequest Status with upstream's message. */
export function parseLabelSelector(text: string): Selector {
  try {
    return fromTerms(new LabelParser(tokens(text)).parse());
  } catch (error) {
    throw badRequest((error as Error).message, error);
  }
}

interface Token {
  readonly kind: 'id' | 'end' | 'error' | ')' | '(' | ',' | '!' | '==' | '=' | '>' | '<' | '!=' | 'in' | 'notin';
  readonly text: string;
}

/** Operators as far as they go, identifiers up to the next operator or space. */
const TOKEN = /[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+))/y;

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const [, symbol, word] = match;
    if (symbol !== undefined) found.push({ kind: symbol as Token['kind'], text: symbol });
    else found.push({ kind: word === 'in' || word === 'notin' ? word : 'id', text: word! });
  }
  return [...found, { kind: 'end', text: '' }];
}

/** The grammar of labels.Parse: "x in (foo,,baz),y,z notin ()". */
class LabelParser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  parse(): Term[] {
    const terms: Term[] = [];
    for (;;) {
      const next = this.#peek();
      if (next.kind === 'end') return terms;
      if (next.kind !== 'id' && next.kind !== '!') {
        throw new Error(`found '${next.text}', expected: !, identifier, or 'end of string'`);
      }
      try {
        terms.push(this.#requirement());
      } catch (error) {
        throw new Error(`unable to parse requirement: ${(error as Error).message}`, { cause: error });
      }
      const after = this.#take();
      if (after.kind === 'end') return terms;
      if (after.kind !== ',') throw new Error(`found '${after.text}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.kind !== 'id' && following.kind !== '!') {
        throw new Error(`found '${following.text}', expected: identifier after ','`);
      }
    }
  }

  /** The next token; where a value is meant, "in" and "notin" are values. */
  #peek(keywords = false): Token {
    const token = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)]!;
    return !keywords && (token.kind === 'in' || token.kind === 'notin') ? { kind: 'id', text: token.text } : token;
  }

  #take(keywords = false): Token {
    const token = this.#peek(keywords);
    this.#at++;
    return token;
  }

  #requirement(): Term {
    let token = this.#take();
    const negated = token.kind === '!';
    if (negated) token = this.#take();
    if (token.kind !== 'id') throw new Error(`found '${token.text}', expected: identifier`);
    const key = token.text;
    const problems = qualifiedNameProblems(key);
    if (problems.length > 0) throw new Error(`<nil>: Invalid value: ${JSON.stringify(key)}: ${problems.join('; ')}`);
    if (negated) return term(key, '!', []);
    const next = this.#peek();
    if (next.kind === 'end' || next.kind === ',') return term(key, 'exists', []);
    const operator = this.#operator();
    return term(key, operator, operator === 'in' || operator === 'notin' ? this.#values() : [this.#value()]);
  }

  #operator(): Written {
    const token = this.#take(true);
    switch (token.kind) {
      case 'in':
      case 'notin':
      case '=':
      case '==':
      case '!=':
      case '>':
      case '<':
        return token.kind;
      default:
        throw new Error(`found '${token.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }

  #value(): string {
    const next = this.#peek();
    if (next.kind === 'end' || next.kind === ',') return '';
    this.#at++;
    if (next.kind !== 'id') throw new Error(`found '${next.text}', expected: identifier`);
    return next.text;
  }

  #values(): string[] {
    const open = this.#take();
    if (open.kind !== '(') throw new Error(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    // A value is missing where a comma or the end follows a comma or the beginning: it is the empty string.
    for (let expectValue = true; ; ) {
      const token = this.#take();
      if (token.kind === 'id' && expectValue) {
        values.add(token.text);
        expectValue = false;
      } else if (token.kind === ',' || token.kind === ')') {
        if (expectValue) values.add('');
        if (token.kind === ')') return [...values].sort();
        expectValue = true;
      } else {
        const expected = values.size === 0 ? "',', ')' or identifier" : "',' or ')'";
        throw new Error(`found '${token.text}', expected: ${expected}`);
      }
    }
  }
}

/** The selector of a `fieldSelector` parameter: terms a=b, a==b, a!=b; an absent field is "". Throws a BadRequest Status. */
export function parseFieldSelector(text: string): Selector {
  const parts = text.match(/(?:\\.|[^,\\])+|\\$/gs) ?? [];
  const terms = [...parts].sort().map((part) => fieldTerm(text, part));
  return terms.length === 0 ? EVERYTHING : new CompiledSelector(terms);
}

function fieldTerm(selector: string, part: string): Term {
  const match = /^(.*?)(!=|==|=)(.*)$/s.exec(part);
  if (!match) throw badRequest(`invalid selector: '${selector}'; can't understand '${part}'`);
  const [, key = '', written = '', raw = ''] = match;
  const value = unescapeFieldValue(raw);
  const negated = written === '!=';
  return {
    key,
    operator: negated ? 'NotIn' : 'In',
    values: [value],
    text: `${key}${negated ? '!=' : '='}${value.replace(/[\\,=]/g, '\\$&')}`,
    test: negated
      ? (fields) => (memberOf(fields, key) ?? '') !== value
      : (fields) => (memberOf(fields, key) ?? '') === value,
  };
}

function unescapeFieldValue(raw: string): string {
  const bare = raw.replace(/\\[\\,=]/g, '');
  const bad = /\\.?/s.exec(bare);
  if (bad) throw badRequest(`invalid field selector: invalid escape sequence: ${bad[0]}`);
  const unescaped = /[,=]/.exec(bare);
  if (unescaped) throw badRequest(`invalid field selector: unescaped character in value: ${unescaped[0]}`);
  return raw.replace(/\\(.)/gs, '$1');
}
