// Expressions as the CEL library is to read them: messages (`Object.spec{replicas: 1}`) become calls, `matches` gets the name
// that runs in linear time, and, to be run, every round of a loop is counted.
import { hasTwoVariables } from '../../custom/rules/cost.ts';
import { MATCHES } from '../../custom/rules/library.ts';
import { type Token, tokensOf } from './tokens.ts';

/** Makes a message: its type's name, its fields. An optional field's name begins with "?". */
export const NEW_OBJECT = 'newObjectMessage';
export const NEW_JSON_PATCH = 'newJSONPatchMessage';
/** Counts steps; false once there were too many. */
export const COUNT = 'countSteps';

const OPEN = new Set(['(', '[', '{']);
const CLOSE = new Set([')', ']', '}']);

/** What each loop does with its last argument, so that it stops, or does nothing more, once there were too many steps. */
const LOOPS: { readonly [name: string]: 'all' | 'exists' | 'choose' | 'map' | undefined } = {
  all: 'all',
  exists: 'exists',
  exists_one: 'choose',
  existsOne: 'choose',
  filter: 'choose',
  map: 'map',
  transformList: 'map',
  transformMap: 'map',
  transformMapEntry: 'map',
};

export interface Source {
  /** For checking types. */
  readonly checked: string;
  /** For running. */
  readonly counted: string;
  /** How many words it has: what it costs at least. */
  readonly size: number;
}

export function sourceOf(expression: string): Source {
  const tokens = tokensOf(expression);
  return {
    checked: new Rewriter(expression, tokens, false).all(),
    counted: new Rewriter(expression, tokens, true).all(),
    size: tokens.length,
  };
}

class Rewriter {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  readonly #counts: boolean;

  constructor(text: string, tokens: readonly Token[], counts: boolean) {
    this.#text = text;
    this.#tokens = tokens;
    this.#counts = counts;
  }

  all(): string {
    const { length } = this.#tokens;
    return this.#range(0, length) + this.#text.slice(this.#tokens[length - 1]?.end ?? 0);
  }

  /** Tokens from `from` up to `to`, with the space before each. */
  #range(from: number, to: number): string {
    let made = '';
    for (let i = from; i < to; ) {
      const space = this.#spaceBefore(i);
      const special = this.#message(i) ?? this.#call(i);
      made += space + (special?.text ?? this.#tokens[i]!.text);
      i = special?.next ?? i + 1;
    }
    return made;
  }

  #spaceBefore(i: number): string {
    const space = this.#text.slice(this.#tokens[i - 1]?.end ?? 0, this.#tokens[i]!.start);
    // Lines stay lines; what a comment says may hold quotes.
    return space.replace(/\/\/[^\n]*/g, '');
  }

  #is(i: number, text: string): boolean {
    const token = this.#tokens[i];
    return token !== undefined && token.kind === 'other' && token.text === text;
  }

  #isName(i: number): boolean {
    return this.#tokens[i]?.kind === 'name';
  }

  /** A name, or names joined by dots, in front of a brace. */
  #message(i: number): { text: string; next: number } | undefined {
    if (!this.#isName(i) || this.#is(i - 1, '.')) return undefined;
    let brace = i + 1;
    while (this.#is(brace, '.') && this.#isName(brace + 1)) brace += 2;
    if (!this.#is(brace, '{')) return undefined;
    const name = this.#tokens
      .slice(i, brace)
      .map(({ text }) => text)
      .join('');
    const end = this.#closing(brace);
    const fields = this.#fields(brace + 1, end);
    if (name === 'JSONPatch') return { text: `${NEW_JSON_PATCH}({${fields}})`, next: end + 1 };
    if (name !== 'Object' && !name.startsWith('Object.')) return undefined;
    return { text: `${NEW_OBJECT}(${JSON.stringify(name)}, {${fields}})`, next: end + 1 };
  }

  /** Where what opens at `open` is closed; the end, if it never is. */
  #closing(open: number): number {
    let depth = 0;
    for (let i = open; i < this.#tokens.length; i++) {
      const token = this.#tokens[i]!;
      if (token.kind !== 'other') continue;
      if (OPEN.has(token.text)) depth++;
      else if (CLOSE.has(token.text) && --depth === 0) return i;
    }
    return this.#tokens.length;
  }

  /** Parts between the commas that are not within brackets of their own. */
  #parts(from: number, to: number): (readonly [from: number, to: number])[] {
    const parts: [number, number][] = [];
    let start = from;
    for (let i = from; i < to; i++) {
      const token = this.#tokens[i]!;
      if (token.kind !== 'other') continue;
      if (OPEN.has(token.text)) i = this.#closing(i);
      else if (token.text === ',') {
        parts.push([start, i]);
        start = i + 1;
      }
    }
    if (start < to) parts.push([start, to]);
    return parts;
  }

  #fields(from: number, to: number): string {
    const written = this.#parts(from, to).map(([start, end]) => {
      const optional = this.#is(start, '?');
      const name = optional ? start + 1 : start;
      if (!this.#isName(name) || !this.#is(name + 1, ':')) return this.#range(start, end);
      const key = `${optional ? '?' : ''}${this.#tokens[name]!.text}`;
      return `${this.#spaceBefore(start)}${JSON.stringify(key)}:${this.#range(name + 2, end)}`;
    });
    return written.join(',');
  }

  /** `.matches(`, and the loops. */
  #call(i: number): { text: string; next: number } | undefined {
    if (!this.#isName(i) || !this.#is(i - 1, '.') || !this.#is(i + 1, '(')) return undefined;
    const name = this.#tokens[i]!.text;
    if (name === 'matches') return { text: MATCHES, next: i + 1 };
    const loop = this.#counts ? LOOPS[name] : undefined;
    const end = this.#closing(i + 1);
    const parts = this.#parts(i + 2, end);
    if (!loop || parts.length < 2 || end === this.#tokens.length) return undefined;
    const variables = hasTwoVariables(name, parts.length) ? 2 : 1;
    return { text: `${name}(${this.#rounds(loop, parts, variables)})`, next: end + 1 };
  }

  #rounds(loop: 'all' | 'exists' | 'choose' | 'map', parts: (readonly [number, number])[], variables: 1 | 2): string {
    const texts = parts.map(([start, end]) => this.#range(start, end));
    const variable = texts.slice(0, variables).join(',');
    const bodies = texts.slice(variables);
    const words = bodies.length === 0 ? 1 : parts.at(-1)![1] - parts[variables]![0];
    const count = `${COUNT}(${words})`;
    const [first, second] = bodies;
    if (loop === 'exists') return `${variable}, !${count} || (${first})`;
    if (loop !== 'map') return `${variable}, ${count} && (${first})`;
    return second === undefined ? `${variable}, ${count}, ${first}` : `${variable}, ${count} && (${first}), ${second}`;
  }
}
