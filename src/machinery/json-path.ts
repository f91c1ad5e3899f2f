// The JSONPath of printer columns, scale subresources and selectable fields: upstream's k8s.io/client-go/util/jsonpath without
// templates. Members, quoted members, indexes, slices, wildcards, recursive descent and filters.
import { sameJson } from '../api/json.ts';

/** Finds values; an absent member finds nothing. */
export type JsonPath = (root: unknown) => readonly unknown[];

type Step = (value: unknown) => Iterable<unknown>;

/** A path is not longer, and finds no more: `..` beside `..` finds some values very often. */
const MAX_PATH_LENGTH = 10_000;
export const MAX_FOUND = 10_000;

/** Compiles ".spec.list[?(@.name=="a")].x"; a leading "{" and trailing "}" may be there. Throws SyntaxError. */
export function compileJsonPath(text: string): JsonPath {
  if (text.length > MAX_PATH_LENGTH) throw new SyntaxError(`a path of ${text.length} characters`);
  const bare = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  const steps = new Reader(bare.replace(/^[$@]/, '')).steps();
  return (root) => steps.reduce<unknown[]>(takeStep, [root]);
}

function takeStep(values: readonly unknown[], step: Step): unknown[] {
  const found: unknown[] = [];
  for (const value of values) {
    for (const one of step(value)) {
      if (found.length >= MAX_FOUND) return found;
      found.push(one);
    }
  }
  return found;
}

/** Member names of a path that has nothing else (".spec.replicas"); undefined for others. */
export function plainMembers(text: string): readonly string[] | undefined {
  return /^(?:\.[A-Za-z_][\w-]*)+$/.test(text) ? text.slice(1).split('.') : undefined;
}

const isObject = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const childrenOf = (value: unknown): unknown[] => {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
};

const member =
  (name: string): Step =>
  (value) =>
    isObject(value) && Object.hasOwn(value, name) ? [value[name]] : [];

function* descendants(value: unknown): Iterable<unknown> {
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    yield next;
    for (const child of childrenOf(next).toReversed()) open.push(child);
  }
}

function slice(from: number | undefined, to: number | undefined, step: number): Step {
  return (value) => {
    if (!Array.isArray(value)) return [];
    return value.slice(from ?? 0, to).filter((_, i) => i % step === 0);
  };
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  steps(): Step[] {
    const steps: Step[] = [];
    while (this.#at < this.#text.length) {
      if (this.#take('..')) {
        steps.push(descendants);
        if (this.#text[this.#at] !== '[') steps.push(this.#name());
      } else if (this.#take('.')) {
        if (this.#at < this.#text.length && this.#text[this.#at] !== '[') steps.push(this.#name());
      } else if (this.#take('[')) steps.push(this.#bracket());
      else if (this.#at === 0) steps.push(this.#name());
      else throw this.#unexpected();
    }
    return steps;
  }

  #take(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #unexpected(): SyntaxError {
    return new SyntaxError(
      `unexpected ${JSON.stringify(this.#text.slice(this.#at, this.#at + 10))} in path ${this.#text}`,
    );
  }

  #name(): Step {
    if (this.#take('*')) return childrenOf;
    const found = /^(?:\\.|[^.[\]\s\\])+/.exec(this.#text.slice(this.#at));
    if (!found) throw this.#unexpected();
    this.#at += found[0].length;
    return member(found[0].replace(/\\(.)/g, '$1'));
  }

  #bracket(): Step {
    const end = this.#closing();
    const inner = this.#text.slice(this.#at, end).trim();
    this.#at = end + 1;
    if (inner === '*') return childrenOf;
    const filter = /^\?\((.*)\)$/s.exec(inner);
    if (filter) return filterStep(filter[1]!.trim());
    const quoted = /^(['"])(.*)\1$/s.exec(inner);
    if (quoted) return member(quoted[2]!.replace(/\\(.)/g, '$1'));
    const range = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(inner);
    const number = (digits: string | undefined): number | undefined => (digits ? Number(digits) : undefined);
    if (range) return slice(number(range[1]), number(range[2]), number(range[3]) ?? 1);
    if (/^-?\d+$/.test(inner)) {
      return (value) =>
        Array.isArray(value) && value.at(Number(inner)) !== undefined ? [value.at(Number(inner))] : [];
    }
    throw new SyntaxError(`invalid array index ${inner}`);
  }

  /** Where the bracket that is open closes: strings and further brackets may stand in between. */
  #closing(): number {
    let depth = 0;
    let quote = '';
    for (let i = this.#at; i < this.#text.length; i++) {
      const c = this.#text[i]!;
      if (c === '\\') i++;
      else if (quote !== '') quote = c === quote ? '' : quote;
      else if (c === '"' || c === "'") quote = c;
      else if (c === '[') depth++;
      else if (c === ']' && depth-- === 0) return i;
    }
    throw new SyntaxError('unterminated array');
  }
}

const OPERATOR = /==|!=|>=|<=|>|</;

/** `@.type=="Ready"`, or only a path, which asks whether it finds anything. */
function filterStep(expression: string): Step {
  const found = OPERATOR.exec(expression);
  if (!found) {
    const path = operand(expression);
    return (value) => childrenOf(value).filter((one) => path(one).length > 0);
  }
  const [operator] = found;
  const left = operand(expression.slice(0, found.index).trim());
  const right = operand(expression.slice(found.index + operator.length).trim());
  return (value) => childrenOf(value).filter((one) => compares(left(one)[0], right(one)[0], operator));
}

function operand(text: string): JsonPath {
  if (text.startsWith('@')) return compileJsonPath(text);
  const quoted = /^(['"])(.*)\1$/s.exec(text);
  const value: unknown = quoted ? quoted[2] : JSON.parse(text);
  return () => [value];
}

function compares(left: unknown, right: unknown, operator: string): boolean {
  if (operator === '==' || operator === '!=')
    return left !== undefined && sameJson(left, right) === (operator === '==');
  if (typeof left !== typeof right || (typeof left !== 'number' && typeof left !== 'string')) return false;
  const [a, b] = [left, right as number | string];
  if (operator === '>') return a > b;
  if (operator === '<') return a < b;
  return operator === '>=' ? a >= b : a <= b;
}
