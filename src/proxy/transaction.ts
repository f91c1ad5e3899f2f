// The proxy's table as it should be, kept Service by Service, and what an nft transaction must do to get there.

import { renderRule, renderVerdict } from './render.ts';
import { EMPTY_FRAGMENT, type Fragment, type Verdict, type VerdictMap } from './rules.ts';
import type { TableOptions } from './table.ts';
import { atOnce, SERVICES_PER_TURN } from './turns.ts';

/** One step of a transaction. Rules and verdicts are already in nft's language. */
export type Operation =
  | { readonly op: 'addChain' | 'flushChain' | 'deleteChain'; readonly chain: string }
  | { readonly op: 'addRule'; readonly chain: string; readonly rule: string }
  | { readonly op: 'addAffinitySet'; readonly set: string; readonly timeoutSeconds: number }
  | { readonly op: 'deleteSet'; readonly set: string }
  | { readonly op: 'addElement'; readonly map: string; readonly key: string; readonly verdict?: string }
  | { readonly op: 'deleteElement'; readonly map: string; readonly key: string };

/** Name of the set of all cluster IPs: traffic to one of them on a port that no Service has is refused. */
export const CLUSTER_IPS = 'cluster-ips';

interface Rendered {
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly fragment: Fragment;
}

/** Per map and key, every owner's wish; the first by rank and name is in force. */
interface Wish {
  readonly owner: string;
  readonly rank: number;
  readonly verdicts: ReadonlyMap<string, string>;
}

const NO_ELEMENTS: ReadonlyMap<string, string> = new Map();

/**
 * The desired table. `update` takes over new fragments of some Services and returns the steps from the table as it was to
 * the table as it is now; `full` returns the steps that make all of it in an empty table. The two always agree.
 */
export class DesiredTable {
  readonly #options: TableOptions;
  readonly #services = new Map<string, Rendered>();
  readonly #wishes = new Map<string, readonly Wish[]>();

  constructor(options: TableOptions) {
    this.#options = options;
  }

  fragment(service: string): Fragment {
    return this.#services.get(service)?.fragment ?? EMPTY_FRAGMENT;
  }

  *fragments(): Iterable<Fragment> {
    for (const { fragment } of this.#services.values()) yield fragment;
  }

  /** `undefined` takes a Service's rules away. In the order in which nft must do them. */
  update(changes: Iterable<readonly [string, Fragment | undefined]>): readonly Operation[] {
    return atOnce(this.updateInTurns(changes));
  }

  *updateInTurns(changes: Iterable<readonly [string, Fragment | undefined]>): Generator<void, readonly Operation[]> {
    const steps = new Steps();
    let count = 0;
    for (const [service, fragment] of changes) {
      const before = this.#services.get(service);
      const after = fragment && this.#render(fragment);
      steps.chains(before?.chains ?? new Map(), after?.chains ?? new Map());
      steps.sets(before?.fragment.sets ?? new Map(), fragment?.sets ?? new Map());
      this.#claim(service, before?.fragment, fragment, steps);
      if (after) this.#services.set(service, after);
      else this.#services.delete(service);
      if (++count % SERVICES_PER_TURN === 0) yield;
    }
    return steps.inOrder();
  }

  full(): readonly Operation[] {
    return atOnce(this.fullInTurns());
  }

  *fullInTurns(): Generator<void, readonly Operation[]> {
    const steps = new Steps();
    let count = 0;
    for (const { chains, fragment } of this.#services.values()) {
      steps.chains(new Map(), chains);
      steps.sets(new Map(), fragment.sets);
      if (++count % SERVICES_PER_TURN === 0) yield;
    }
    for (const [key, wishes] of this.#wishes) steps.elements(key, NO_ELEMENTS, wishes[0]!.verdicts);
    return steps.inOrder();
  }

  #render(fragment: Fragment): Rendered {
    const chains = [...fragment.chains].map(([name, rules]): [string, string[]] => [
      name,
      rules.map((rule) => renderRule(rule, this.#options.family)),
    ]);
    return { chains: new Map(chains), fragment };
  }

  #claim(owner: string, before: Fragment | undefined, after: Fragment | undefined, steps: Steps): void {
    const wishes = wishesOf(owner, after);
    for (const key of new Set([...wishesOf(owner, before).keys(), ...wishes.keys()])) {
      const known = this.#wishes.get(key) ?? [];
      const mine = wishes.get(key);
      const next = known.filter((wish) => wish.owner !== owner);
      if (mine) next.push(mine);
      next.sort(byPrecedence);
      steps.elements(key, known[0]?.verdicts ?? NO_ELEMENTS, next[0]?.verdicts ?? NO_ELEMENTS);
      if (next.length > 0) this.#wishes.set(key, next);
      else this.#wishes.delete(key);
    }
  }
}

function byPrecedence(a: Wish, b: Wish): number {
  return a.rank - b.rank || (b.owner > a.owner ? -1 : 1);
}

function wishesOf(owner: string, fragment: Fragment | undefined): ReadonlyMap<string, Wish> {
  const wishes = new Map<string, Wish>();
  for (const { key, rank, verdicts } of fragment?.claims ?? [])
    wishes.set(key, { owner, rank, verdicts: texts(verdicts) });
  for (const ip of fragment?.clusterIPs ?? [])
    wishes.set(ip, { owner, rank: 0, verdicts: new Map([[CLUSTER_IPS, '']]) });
  return wishes;
}

function texts(verdicts: ReadonlyMap<VerdictMap, Verdict>): ReadonlyMap<string, string> {
  return new Map([...verdicts].map(([map, verdict]) => [map, renderVerdict(verdict)]));
}

/**
 * Steps by kind, because of what refers to what: a rule or element needs its target chain to exist, and a chain or set can
 * go only when nothing refers to it any more. Several Services may change in one transaction, and an element may pass from
 * one to the other in it: only what it was at first and is at last counts.
 */
class Steps {
  readonly #make: Operation[] = [];
  readonly #flush: Operation[] = [];
  readonly #rules: Operation[] = [];
  readonly #remove: Operation[] = [];
  readonly #elements = new Map<string, { before: ReadonlyMap<string, string>; after: ReadonlyMap<string, string> }>();

  chains(before: ReadonlyMap<string, readonly string[]>, after: ReadonlyMap<string, readonly string[]>): void {
    for (const [chain, rules] of after) {
      const known = before.get(chain);
      if (known && sameRules(known, rules)) continue;
      if (known) this.#flush.push({ op: 'flushChain', chain });
      else this.#make.push({ op: 'addChain', chain });
      for (const rule of rules) this.#rules.push({ op: 'addRule', chain, rule });
    }
    for (const chain of before.keys()) {
      if (after.has(chain)) continue;
      this.#flush.push({ op: 'flushChain', chain });
      this.#remove.push({ op: 'deleteChain', chain });
    }
  }

  sets(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
    for (const [set, timeoutSeconds] of after) {
      if (!before.has(set)) this.#make.push({ op: 'addAffinitySet', set, timeoutSeconds });
    }
    for (const set of before.keys()) if (!after.has(set)) this.#remove.push({ op: 'deleteSet', set });
  }

  elements(key: string, before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): void {
    this.#elements.set(key, { before: this.#elements.get(key)?.before ?? before, after });
  }

  inOrder(): readonly Operation[] {
    const taken: Operation[] = [];
    const given: Operation[] = [];
    for (const [key, { before, after }] of this.#elements) {
      for (const [map, verdict] of before)
        if (after.get(map) !== verdict) taken.push({ op: 'deleteElement', map, key });
      for (const [map, verdict] of after) {
        if (before.get(map) === verdict) continue;
        given.push(verdict === '' ? { op: 'addElement', map, key } : { op: 'addElement', map, key, verdict });
      }
    }
    return [...this.#make, ...this.#flush, ...this.#rules, ...taken, ...given, ...this.#remove];
  }
}

function sameRules(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((rule, i) => rule === b[i]);
}
