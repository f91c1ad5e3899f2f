import type { Node } from '../api/generated/types.ts';
import type { NodeMatcher } from '../machinery/node-selector.ts';

/** Values that outlived their nodes are thrown away when they outnumber the columns' capacity by this factor. */
const STALE_FACTOR = 2;

/** The values of one label as small numbers: `ids[slot]` is 0 where the node has no such label. */
export class LabelColumn {
  readonly key: string;
  ids: Int32Array;
  /** How many nodes carry the label. */
  present = 0;
  /** Changes whenever any node's value does. */
  version = 0;
  /** It is kept up to date no more; what was worked out of it is worthless. */
  isRetired = false;
  #numbers = new Map<string, number>();
  #texts: (string | undefined)[];

  constructor(key: string, capacity: number) {
    this.key = key;
    this.ids = new Int32Array(capacity);
    this.#texts = new Array(capacity).fill(undefined);
  }

  /** One more than the largest number in use: the length of an array indexed by value. */
  get size(): number {
    return this.#numbers.size + 1;
  }

  set(slot: number, node: Node | undefined): void {
    const text = node?.metadata.labels?.[this.key];
    if (this.#texts[slot] === text) return;
    this.present += (text === undefined ? 0 : 1) - (this.#texts[slot] === undefined ? 0 : 1);
    this.#texts[slot] = text;
    this.version++;
    this.ids[slot] = text === undefined ? 0 : this.#number(text);
    if (this.#numbers.size > STALE_FACTOR * this.ids.length) this.#renumber();
  }

  retire(): void {
    this.isRetired = true;
  }

  grow(capacity: number): void {
    const ids = new Int32Array(capacity);
    ids.set(this.ids);
    this.ids = ids;
  }

  #number(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#numbers.size + 1;
      this.#numbers.set(text, number);
    }
    return number;
  }

  #renumber(): void {
    this.#numbers = new Map();
    for (let slot = 0; slot < this.ids.length; slot++) {
      const text = this.#texts[slot];
      this.ids[slot] = text === undefined ? 0 : this.#number(text);
    }
  }
}

const UNKNOWN = 0;
const YES = 1;
const NO = 2;

/** What a predicate says of every node; asked at most once for a version of a node's labels. */
export class MatchColumn {
  readonly #matcher: NodeMatcher;
  #verdicts: Uint8Array;

  constructor(matcher: NodeMatcher, capacity: number) {
    this.#matcher = matcher;
    this.#verdicts = new Uint8Array(capacity);
  }

  matches(slot: number, nodes: readonly (Node | undefined)[]): boolean {
    const verdict = this.#verdicts[slot];
    if (verdict !== UNKNOWN) return verdict === YES;
    const node = nodes[slot];
    const answer = node !== undefined && this.#matcher.matches(node);
    this.#verdicts[slot] = answer ? YES : NO;
    return answer;
  }

  forget(slot: number): void {
    this.#verdicts[slot] = UNKNOWN;
  }

  grow(capacity: number): void {
    const verdicts = new Uint8Array(capacity);
    verdicts.set(this.#verdicts);
    this.#verdicts = verdicts;
  }
}

/**
 * A small number for every node that depends on nothing but the node's own capacity and usage: -1 where it is to be worked
 * out anew. Pods come from few templates, and placing one changes one node.
 */
export class UsageColumn {
  values: Int16Array;

  constructor(capacity: number) {
    this.values = new Int16Array(capacity).fill(-1);
  }

  forget(slot: number): void {
    this.values[slot] = -1;
  }

  grow(capacity: number): void {
    const values = new Int16Array(capacity).fill(-1);
    values.set(this.values);
    this.values = values;
  }
}
