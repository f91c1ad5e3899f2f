// What happened to the store, in its order, with who did it; and the digest of it all.
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import type { KubeObject } from '../api/object.ts';
import type { Revision, Store, StoreEvent, Write, WriteOutcome } from '../store/contract.ts';
import type { Violations } from './violations.ts';

/** Whose request led to a write. */
export interface Origin {
  /** The simulated process. */
  readonly program: string;
  readonly user: string;
  readonly verb: string;
  readonly resource: string;
  readonly subresource: string;
}

/** One committed change. */
export interface Change {
  readonly revision: Revision;
  readonly key: string;
  readonly object: KubeObject | undefined;
  readonly previous: KubeObject | undefined;
  /** Undefined: the store's own (a key whose time was over), or nobody known. */
  readonly origin: Origin | undefined;
}

/** The request that is being carried out: writes happen within it. */
export const requestOrigin = new AsyncLocalStorage<Origin>();

interface Attempt {
  /** Which API server's: what a killed one had begun may be done, but rather the present one's is. */
  readonly life: number;
  readonly expected: Revision;
  readonly value: Buffer | null;
  readonly origin: Origin | undefined;
}

/**
 * Follows every API server's store: each change once, in order. Checks that what was acknowledged is what happened, and that
 * the store's watch leaves nothing out.
 */
export class History {
  readonly #violations: Violations;
  readonly #digest = createHash('sha256');
  readonly #observers: ((change: Change) => void)[] = [];
  readonly #revisions = new Map<string, Revision[]>();
  readonly #live = new Map<string, { readonly object: KubeObject; readonly revision: Revision }>();
  /** Writes whose event has not come yet, by key. */
  readonly #attempts = new Map<string, Attempt[]>();
  /** Acknowledged, and not yet seen. */
  readonly #acknowledged = new Map<Revision, Write>();
  readonly #seen = new Map<Revision, { readonly key: string; readonly hash: string }>();
  #head: Revision = 0;
  #lives = 0;
  #deliveries = 0;

  constructor(violations: Violations) {
    this.#violations = violations;
  }

  get head(): Revision {
    return this.#head;
  }

  get deliveries(): number {
    return this.#deliveries;
  }

  observe(observer: (change: Change) => void): void {
    this.#observers.push(observer);
  }

  get(key: string): KubeObject | undefined {
    return this.#live.get(key)?.object;
  }

  /** The live objects under a prefix ("/registry/pods/"). */
  *list<T extends KubeObject>(prefix: string): Generator<T> {
    for (const [key, { object }] of this.#live) if (key.startsWith(prefix)) yield object as T;
  }

  /** The revisions of the changes under a prefix that are later than `after`, up to `upTo`. */
  between(prefix: string, after: Revision, upTo: Revision): Revision[] {
    const all = this.#revisions.get(prefix) ?? [];
    let from = all.length;
    while (from > 0 && all[from - 1]! > after) from--;
    return all.slice(from).filter((revision) => revision <= upTo);
  }

  /** Adds a line to what the digest is of. */
  note(line: string): void {
    this.#digest.update(line);
    this.#digest.update('\n');
  }

  delivered(line: string): void {
    this.#deliveries++;
    this.note(line);
  }

  digest(): string {
    return this.#digest.copy().digest('hex');
  }

  /** What was acknowledged and never seen. To be asked when everything is quiet. */
  finish(): void {
    for (const [revision, { key }] of this.#acknowledged) {
      this.#violations.add(
        'acknowledged write lost',
        `${key} at revision ${revision} was acknowledged and never happened`,
      );
    }
  }

  /** The store as one API server uses it. */
  follow(store: Store): Store {
    const life = ++this.#lives;
    return {
      get: (key, signal) => store.get(key, signal),
      list: (options) => store.list(options),
      write: (write, signal) => this.#write(store, life, write, signal),
      watch: (options) => this.#watch(store.watch(options)),
      revision: (signal) => store.revision(signal),
      compact: (revision, signal) => store.compact(revision, signal),
      snapshot: (signal) => store.snapshot(signal),
      close: () => store.close(),
    };
  }

  async #write(store: Store, life: number, write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    const { value, expected } = write;
    const attempt = { life, value, expected, origin: requestOrigin.getStore() };
    const attempts = this.#attempts.get(write.key) ?? [];
    attempts.push(attempt);
    this.#attempts.set(write.key, attempts);
    const withdraw = (): void => {
      const pending = this.#attempts.get(write.key) ?? [];
      const at = pending.indexOf(attempt);
      if (at >= 0) pending.splice(at, 1);
    };
    try {
      const outcome = await store.write(write, signal);
      if (outcome.kind === 'conflict') withdraw();
      if (outcome.kind === 'committed') this.#acknowledge(outcome.revision, write);
      return outcome;
    } catch (error) {
      withdraw();
      throw error;
    }
  }

  #acknowledge(revision: Revision, write: Write): void {
    const seen = this.#seen.get(revision);
    const other = this.#acknowledged.get(revision);
    if (other) this.#compare(revision, other, { key: write.key, hash: hashOf(write.value) });
    if (seen) this.#compare(revision, write, seen);
    else this.#acknowledged.set(revision, write);
  }

  #compare(revision: Revision, { key, value }: Write, seen: { readonly key: string; readonly hash: string }): void {
    if (seen.key === key && seen.hash === hashOf(value)) return;
    this.#violations.add(
      'acknowledged write lost',
      `${key} at revision ${revision} was acknowledged; ${seen.key} is there`,
    );
  }

  async *#watch(events: AsyncIterable<readonly StoreEvent[]>): AsyncGenerator<readonly StoreEvent[]> {
    for await (const batch of events) {
      for (const event of batch) this.#take(event);
      yield batch;
    }
  }

  #take(event: StoreEvent): void {
    const [key, revision, value] =
      event.type === 'put'
        ? [event.stored.key, event.stored.revision, event.stored.value]
        : [event.key, event.revision, null];
    const hash = hashOf(value);
    if (revision <= this.#head) {
      // An API server that started anew looks back; what happened must not have changed.
      const before = this.#seen.get(revision);
      if (before && (before.key !== key || before.hash !== hash)) {
        this.#violations.add('history rewritten', `revision ${revision} was ${before.key}, now ${key}`);
      }
      return;
    }
    if (revision !== this.#head + 1) {
      this.#violations.add('watch order', `the store's watch goes from ${this.#head} to ${revision}`);
    }
    this.#head = revision;
    this.#seen.set(revision, { key, hash });
    const acknowledged = this.#acknowledged.get(revision);
    if (acknowledged) this.#compare(revision, acknowledged, { key, hash });
    this.#acknowledged.delete(revision);
    this.note(`W ${revision} ${key} ${hash}`);
    this.#publish(key, revision, value);
  }

  #publish(key: string, revision: Revision, value: Buffer | null): void {
    const before = this.#live.get(key);
    const previous = before?.object;
    const origin = this.#originOf(key, value, before?.revision ?? 0);
    const object = value === null ? undefined : objectOf(value);
    if (object) this.#live.set(key, { object, revision });
    else this.#live.delete(key);
    const prefix = prefixOf(key);
    const revisions = this.#revisions.get(prefix);
    if (revisions) revisions.push(revision);
    else this.#revisions.set(prefix, [revision]);
    for (const observer of this.#observers) observer({ revision, key, object, previous, origin });
  }

  #originOf(key: string, value: Buffer | null, before: Revision): Origin | undefined {
    const attempts = this.#attempts.get(key) ?? [];
    const isSame = (other: Buffer | null): boolean =>
      other === null || value === null ? other === value : other.equals(value);
    const possible = attempts.filter((one) => one.expected === before && isSame(one.value));
    const newest = Math.max(...possible.map(({ life }) => life));
    const made = possible.find(({ life }) => life === newest);
    // Others that rested on the same are refused; later ones rest on this write already.
    const left = attempts.filter((one) => one.expected > before);
    if (left.length > 0) this.#attempts.set(key, left);
    else this.#attempts.delete(key);
    return made?.origin;
  }
}

/** Undefined for what is no object: the service network's allocations. */
function objectOf(value: Buffer): KubeObject | undefined {
  const found = JSON.parse(value.toString('utf8')) as { readonly metadata?: unknown };
  return found.metadata === undefined ? undefined : (found as KubeObject);
}

function hashOf(value: Buffer | null): string {
  return value === null ? '-' : createHash('sha256').update(value).digest('hex');
}

/** "/registry/pods/app/web-1" → "/registry/pods/"; keys of a resource share it. */
export function prefixOf(key: string): string {
  const parts = key.split('/');
  // Two parts where the resource's group is in the key, or the resource of services is.
  const deep = parts[2]!.includes('.') || parts[2] === 'services';
  return `${parts.slice(0, deep ? 4 : 3).join('/')}/`;
}
