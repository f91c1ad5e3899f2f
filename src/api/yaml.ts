// YAML as Kubernetes reads it (sigs.k8s.io/yaml): YAML 1.1 scalars as Go's parser resolves them, turned into JSON values.

import type { Node, Pair, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { Document, isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseAllDocuments, visit } from 'yaml';
import type { Json } from './generated/types.ts';
import { MAX_JSON_DEPTH, parseJson, setMember } from './json.ts';

/** Text that is no YAML, or YAML that has no JSON form. */
export class YamlError extends Error {
  override name = 'YamlError';
}

/** Nodes that the aliases of one document may expand to. */
const ALIASED_LIMIT = 400_000;
/** Characters of scalars that they may expand to: one long text can be meant very often. */
const STACK_OVERFLOW = 'Maximum call stack size exceeded';
const ALIASED_CHARACTERS_LIMIT = 10 * 1024 * 1024;

/**
 * The value of a text of one document; of an empty text, null. Keys that occur twice are written to `problems` when it is
 * given (`line 3: key "a" already set in map`); the last one counts. Throws YamlError.
 */
export function parseYaml(source: string | Buffer, problems?: string[]): Json {
  const values = readDocuments(text(source), problems);
  if (values.length > 1) throw new YamlError('yaml: expected a single document in the stream');
  return values[0] ?? null;
}

/** The values of all documents of a text, empty ones left out. Throws YamlError. */
export function parseYamlAll(source: string | Buffer, problems?: string[]): Json[] {
  return readDocuments(text(source), problems).filter((value) => value !== null);
}

/** A value as YAML that every YAML parser, of 1.1 or 1.2, reads back as it is. */
export function stringifyYaml(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_key, scalar) {
      if (typeof scalar.value === 'string' && needsQuotes(scalar.value)) scalar.type = 'QUOTE_DOUBLE';
    },
  });
  return document.toString({ lineWidth: 0 });
}

/** Whether a string, written plainly, would be read as something else. */
function needsQuotes(word: string): boolean {
  return word === '<<' || NOT_FINITE.test(word) || plainValue(word) !== word;
}

function text(source: string | Buffer): string {
  return typeof source === 'string' ? source : source.toString('utf8');
}

function readDocuments(source: string, problems: string[] | undefined): Json[] {
  if (/^\s*[{[]/.test(source) && problems === undefined) {
    try {
      return [parseJson(source)];
    } catch {
      // JSON-like, but not JSON: flow style.
    }
  }
  const lines = new LineCounter();
  // The schema reads every plain scalar as a string: what it means is decided below.
  const documents = parseAllDocuments(source, {
    schema: 'failsafe',
    version: '1.1',
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter: lines,
    logLevel: 'silent',
  });
  return Array.isArray(documents) ? documents.map((d) => new Reader(d, lines, problems).read()) : [];
}

class Reader {
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #problems: string[] | undefined;
  /** Aliases being expanded: an anchor that holds itself has no JSON form. */
  readonly #open = new Set<unknown>();
  /** Anchors so far, in the order of the text: an alias means the last one before it. */
  readonly #anchors = new Map<string, Node>();
  #aliased = 0;
  #aliasedCharacters = 0;
  #depth = 0;

  constructor(document: Document.Parsed, lines: LineCounter, problems: string[] | undefined) {
    this.#document = document;
    this.#lines = lines;
    this.#problems = problems;
  }

  read(): Json {
    const error = this.#document.errors[0];
    if (error) {
      const why = error.message.startsWith(STACK_OVERFLOW) ? 'exceeded max depth' : error.message;
      throw new YamlError(`yaml: line ${this.#lines.linePos(error.pos[0]).line}: ${why}`);
    }
    return this.#value(this.#document.contents);
  }

  #value(node: Node | null): Json {
    if (node === null) return null;
    if (this.#open.size > 0) this.#countAliased(node);
    else if (!isAlias(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return scalarValue(node);
    if (++this.#depth > MAX_JSON_DEPTH) throw new YamlError('yaml: exceeded max depth');
    const value = this.#collection(node);
    this.#depth--;
    return value;
  }

  #countAliased(node: Node): void {
    if (isScalar(node)) this.#aliasedCharacters += String(node.value ?? '').length;
    if (++this.#aliased > ALIASED_LIMIT || this.#aliasedCharacters > ALIASED_CHARACTERS_LIMIT)
      throw new YamlError('yaml: document contains excessive aliasing');
  }

  #collection(node: Node): Json {
    if (isSeq(node)) return (node as YAMLSeq<Node>).items.map((item) => this.#value(item));
    if (isMap(node)) return this.#map(node as YAMLMap<Node, Node | null>);
    if (!isAlias(node)) throw new YamlError('yaml: unexpected node');
    // The parser's own resolve() reads the whole document for each alias.
    const target = this.#anchors.get(node.source);
    if (!target) throw new YamlError(`yaml: unknown anchor '${node.source}' referenced`);
    if (this.#open.has(target)) throw new YamlError(`yaml: anchor '${node.source}' value contains itself`);
    this.#open.add(target);
    const value = this.#value(target);
    this.#open.delete(target);
    return value;
  }

  #map(map: YAMLMap<Node, Node | null>): Json {
    const object: { [key: string]: Json } = {};
    const merged: Pair<Node, Node | null>[] = [];
    const seen = new Set<string>();
    for (const pair of map.items) {
      if (!isPair(pair)) continue;
      if (isMergeKey(pair.key)) {
        merged.push(pair);
        continue;
      }
      const key = this.#key(pair.key);
      if (seen.has(key))
        this.#problems?.push(`line ${this.#lineOf(pair.key)}: key ${JSON.stringify(key)} already set in map`);
      seen.add(key);
      setMember(object, key, this.#value(pair.value));
    }
    for (const pair of merged) this.#merge(object, this.#value(pair.value));
    return object;
  }

  /** "<<": members of the other maps that this one has not. */
  #merge(object: { [key: string]: Json }, from: Json): void {
    for (const source of Array.isArray(from) ? (from as Json[]) : [from]) {
      if (typeof source !== 'object' || source === null || Array.isArray(source)) {
        throw new YamlError('yaml: map merge requires map or sequence of maps as the value');
      }
      for (const [key, value] of Object.entries(source)) if (!Object.hasOwn(object, key)) setMember(object, key, value);
    }
  }

  #key(node: Node): string {
    const value = this.#value(node);
    if (typeof value === 'object' && value !== null)
      throw new YamlError('yaml: invalid map key: a key must be a scalar');
    return String(value);
  }

  #lineOf(node: Node): number {
    return this.#lines.linePos(node.range?.[0] ?? 0).line;
  }
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.type === 'PLAIN' && key.value === '<<';
}

const CONSTANTS = new Map<string, boolean | null>([
  ...['', '~', 'null', 'Null', 'NULL'].map((word) => [word, null] as const),
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((word) => [word, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((word) => [word, false] as const),
]);
const DECIMAL = /^[-+]?(?:0|[1-9][0-9]*)$/;
const BASED = /^([-+]?)(?:0x([0-9a-fA-F]+)|0b([01]+)|0o?([0-7]+))$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
const NOT_FINITE = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
/** Longer words that look like numbers are taken for text. */
const MAX_NUMBER_CHARACTERS = 400;
const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;

const TAG = 'tag:yaml.org,2002:';
/** Tags that ask for the meaning of a plain scalar. Any other tag makes a string. */
const RESOLVED = new Set(['int', 'float', 'bool', 'null'].map((name) => TAG + name));

function scalarValue({ tag, type, value }: Scalar): Json {
  const word = String(value ?? '');
  if (tag === `${TAG}binary`) return Buffer.from(word, 'base64').toString('utf8');
  const plain = tag === undefined ? type === 'PLAIN' : RESOLVED.has(tag);
  return plain ? plainValue(word) : word;
}

function plainValue(word: string): Json {
  const constant = CONSTANTS.get(word);
  if (constant !== undefined) return constant;
  if (!/^[-+.0-9]/.test(word)) return word;
  if (NOT_FINITE.test(word)) throw new YamlError(`json: unsupported value: ${word}`);
  const plain = word.replaceAll('_', '');
  if (plain.length > MAX_NUMBER_CHARACTERS) return word;
  if (DECIMAL.test(plain)) return integer(BigInt(plain.startsWith('+') ? plain.slice(1) : plain));
  const based = BASED.exec(plain);
  if (based) {
    const [, sign, hex, binary, octal] = based;
    const size = BigInt(hex !== undefined ? `0x${hex}` : binary !== undefined ? `0b${binary}` : `0o${octal}`);
    return integer(sign === '-' ? -size : size);
  }
  return FLOAT.test(plain) ? Number(plain) : word;
}

function integer(value: bigint): Json {
  const number = Number(value);
  return Number.isSafeInteger(number) || value < INT64_MIN || value > UINT64_MAX ? number : value;
}
