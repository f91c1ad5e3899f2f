// Expressions as the CEL library is to read them: messages (`Object.spec{replicas: 1}`) become calls, `matches` gets the name
// that runs in linear time, has() of more than names the one that takes it.
import { MATCHES } from '../../custom/rules/library.ts';
import { HAS_MEMBER } from '../../custom/rules/presence.ts';
import { type Token, tokensOf } from './tokens.ts';

/** Makes a message: its type's name, its fields. An optional field's name begins with "?". */
export const NEW_OBJECT = 'newObjectMessage';
export const NEW_JSON_PATCH = 'newJSONPatchMessage';
const OPEN = new Set(['(', '[', '{']);
const CLOSE = new Set([')', ']', '}']);

/** An expression in the words that the library knows. */
export function sourceOf(expression: string): string {
  return new Rewriter(expression, tokensOf(expression)).all();
}

class Rewriter {
  readonly #text: string;
  readonly #tokens: readonly Token[];

  constructor(text: string, tokens: readonly Token[]) {
    this.#text = text;
    this.#tokens = tokens;
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

  /** `.matches(`, and `has(` of more than names joined by dots. */
  #call(i: number): { text: string; next: number } | undefined {
    if (!this.#isName(i) || !this.#is(i + 1, '(')) return undefined;
    const { text } = this.#tokens[i]!;
    if (this.#is(i - 1, '.')) return text === 'matches' ? { text: MATCHES, next: i + 1 } : undefined;
    if (text !== 'has') return undefined;
    const within = this.#tokens.slice(i + 2, this.#closing(i + 1));
    const plain = within.every(({ kind, text: word }) => kind === 'name' || word === '.' || word === '?');
    return plain ? undefined : { text: HAS_MEMBER, next: i + 1 };
  }
}
