// Exact JSON: an integer beyond 2^53 is a bigint, in and out; every other number is a JavaScript number.
import type { Json, JsonObject } from './generated/types.ts';

declare global {
  interface JSON {
    /** A value that JSON.stringify writes as this text (ECMAScript proposal json-parse-with-source). */
    rawJSON(text: string): unknown;
  }
}

/** A run of so many digits may hold an integer that a double cannot. */
const LONG_NUMBER_DIGITS = 16;
/** Longer ones are no integer of any type: making bigints of them takes time that grows faster than the text. */
const INTEGER = /^-?\d{1,40}$/;

/**
 * Levels that a value may nest. Upstream stops at 10,000, which functions that walk a value cannot do on a JavaScript stack:
 * what is stored must be safe to walk from anywhere.
 */
export const MAX_JSON_DEPTH = 1000;
const TOO_DEEP = 'exceeded max depth';

/** Parses JSON text (RFC 8259). Throws SyntaxError. Of duplicate keys the last one counts (see duplicateKeys). */
export function parseJson(source: string | Buffer): Json {
  const text = typeof source === 'string' ? source : source.toString('utf8');
  if (!hasLongNumber(text)) return JSON.parse(text) as Json;
  try {
    return JSON.parse(text, exact) as Json;
  } catch (error) {
    // A reviver walks the value, on the stack.
    throw error instanceof RangeError ? new SyntaxError(TOO_DEEP, { cause: error }) : error;
  }
}

/** A run of that many digits has one at a position that their number divides: only there it is looked for. */
function hasLongNumber(text: string): boolean {
  for (let i = 0; i < text.length; i += LONG_NUMBER_DIGITS) {
    if (!isDigit(text, i)) continue;
    let [start, end] = [i, i + 1];
    while (isDigit(text, start - 1)) start--;
    while (isDigit(text, end)) end++;
    if (end - start >= LONG_NUMBER_DIGITS) return true;
  }
  return false;
}

function isDigit(text: string, at: number): boolean {
  const c = text.charCodeAt(at);
  return c >= 0x30 && c <= 0x39;
}

/** Throws SyntaxError for a value that nests deeper than MAX_JSON_DEPTH. */
export function checkDepth(value: unknown, depth = 0): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth >= MAX_JSON_DEPTH) throw new SyntaxError(TOO_DEEP);
  if (Array.isArray(value)) for (const item of value) checkDepth(item, depth + 1);
  else for (const key in value) checkDepth((value as { [key: string]: unknown })[key], depth + 1);
}

/** Writes a value as JSON, bigints as plain integers. Undefined members are left out. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // JSON.stringify refuses bigints; a replacer slows every other value, so it is used only now.
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_key, v) => (typeof v === 'bigint' ? JSON.rawJSON(String(v)) : v));
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A member that is the map's own: what every object inherits ("constructor") was sent by nobody. */
export function ownMember<T>(map: { readonly [key: string]: T } | null | undefined, key: string): T | undefined {
  return map && Object.hasOwn(map, key) ? map[key] : undefined;
}

/** Sets an own member, also one named __proto__, which plain assignment would take for the prototype. */
export function setMember(object: { [key: string]: unknown }, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}

/** A deep copy of a JSON value: faster than structuredClone, and it shares nothing. */
export function cloneJson<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneJson) as T;
  const copy: { [key: string]: unknown } = {};
  for (const key of Object.keys(value)) setMember(copy, key, cloneJson((value as { [key: string]: unknown })[key]));
  return copy as T;
}

/** Whether two JSON values are the same: member order does not count, an undefined member is an absent one. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a === 'bigint' || typeof b === 'bigint') return isNumeric(a) && isNumeric(b) && BigInt(a) === BigInt(b);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => sameJson(item, b[i]));
  }
  const left = a as { [key: string]: unknown };
  const right = b as { [key: string]: unknown };
  for (const key of Object.keys(left)) {
    if (left[key] !== undefined && (!Object.hasOwn(right, key) || !sameJson(left[key], right[key]))) return false;
  }
  for (const key of Object.keys(right)) {
    if (right[key] !== undefined && (!Object.hasOwn(left, key) || left[key] === undefined)) return false;
  }
  return true;
}

function isNumeric(value: unknown): value is number | bigint {
  return typeof value === 'bigint' || Number.isInteger(value);
}

function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || context?.source === undefined) return value;
  return INTEGER.test(context.source) ? BigInt(context.source) : value;
}

/**
 * Paths of members that occur twice in one object (`spec.containers[0].name`), in order of occurrence. `value` is what the
 * text parsed to: when it has as many members as the text there is no duplicate, and the text is not read further. Throws
 * SyntaxError when either nests deeper than MAX_JSON_DEPTH.
 */
export function duplicateKeys(text: string, value: unknown): string[] {
  if (countColons(text) === countMembers(value)) return [];
  return new DuplicateFinder(text).find();
}

/** Colons outside strings: the members of valid JSON text. */
function countColons(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x3a) count++;
    else if (c === 0x22) i = endOfString(text, i);
  }
  return count;
}

function countMembers(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth >= MAX_JSON_DEPTH) throw new SyntaxError(TOO_DEEP);
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item, depth + 1);
    return count;
  }
  for (const key in value) count += 1 + countMembers((value as { [key: string]: unknown })[key], depth + 1);
  return count;
}

/** Index of the quote that closes the string opened at `start`. */
function endOfString(text: string, start: number): number {
  let i = text.indexOf('"', start + 1);
  while (i > 0) {
    let backslashes = 0;
    while (text.charCodeAt(i - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return i;
    i = text.indexOf('"', i + 1);
  }
  return text.length;
}

/** Walks valid JSON text once, keeping the keys of every open object. */
class DuplicateFinder {
  readonly #text: string;
  readonly #found = new Set<string>();
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  find(): string[] {
    this.#value('');
    return [...this.#found];
  }

  #value(path: string): void {
    this.#space();
    const c = this.#text[this.#at];
    if (++this.#depth > MAX_JSON_DEPTH) throw new SyntaxError(TOO_DEEP);
    if (c === '{') this.#object(path);
    else if (c === '[') this.#array(path);
    else if (c === '"') this.#at = endOfString(this.#text, this.#at) + 1;
    else while (this.#at < this.#text.length && !/[,\]}\s]/.test(this.#text[this.#at]!)) this.#at++;
    this.#depth--;
    this.#space();
  }

  #object(path: string): void {
    const keys = new Set<string>();
    this.#at++;
    this.#space();
    while (this.#text[this.#at] === '"') {
      const end = endOfString(this.#text, this.#at) + 1;
      const key = JSON.parse(this.#text.slice(this.#at, end)) as string;
      const member = path === '' ? key : `${path}.${key}`;
      if (keys.has(key)) this.#found.add(member);
      keys.add(key);
      this.#at = end;
      this.#space();
      this.#at++; // the colon
      this.#value(member);
      if (this.#text[this.#at] === ',') this.#at++;
      this.#space();
    }
    this.#at++;
  }

  #array(path: string): void {
    this.#at++;
    this.#space();
    for (let i = 0; this.#at < this.#text.length && this.#text[this.#at] !== ']'; i++) {
      this.#value(`${path}[${i}]`);
      if (this.#text[this.#at] === ',') this.#at++;
      this.#space();
    }
    this.#at++;
  }

  #space(): void {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }
}
