import { type KubeObject, keyOf } from '../api/object.ts';
import type { Clock } from '../lib/clock.ts';
import type { Informer } from './contract.ts';
import { compareResourceVersions } from './resource-version.ts';

/** A write whose event has not come after this long is no longer waited for, as client-go's ExpectationsTimeout. */
export const EXPECTATIONS_TIMEOUT_MS = 5 * 60_000;

type Expected =
  | { readonly kind: 'written'; readonly key: string; readonly uid: string; readonly resourceVersion: string }
  | { readonly kind: 'deleted'; readonly key: string; readonly uid: string };

/**
 * Whether an informer shows what a reconciler itself has written: a ReplicaSet must not count its pods before the ones that
 * it just made are among them. client-go counts events for this; here the cache is asked instead (has it reached the
 * version of the write, is the deleted object gone or going), so nothing is lost when events are merged or relisted.
 *
 * The use: `if (!expectations.satisfied(key)) return;` before deciding, `wrote` or `deleting` after every write. The event
 * that satisfies it enqueues the owner's key by the ordinary mapping.
 */
export class Expectations<T extends KubeObject> {
  readonly #clock: Clock;
  readonly #informer: Informer<T>;
  readonly #expected = new Map<string, { sinceMs: number; writes: Expected[] }>();

  constructor(clock: Clock, informer: Informer<T>) {
    this.#clock = clock;
    this.#informer = informer;
  }

  /** The owner's reconciler created or changed `object` (what the API answered). */
  wrote(owner: string, object: T): void {
    const { uid = '', resourceVersion = '' } = object.metadata;
    this.#expect(owner, { kind: 'written', key: keyOf(object), uid, resourceVersion });
  }

  /** The owner's reconciler deleted `object`; a graceful deletion's deletionTimestamp counts as seen. */
  deleting(owner: string, object: T): void {
    this.#expect(owner, { kind: 'deleted', key: keyOf(object), uid: object.metadata.uid ?? '' });
  }

  /** True when the cache shows all of the owner's writes, or they are too old to wait for. */
  satisfied(owner: string): boolean {
    const entry = this.#expected.get(owner);
    if (!entry) return true;
    const expired = this.#clock.monotonic() - entry.sinceMs > EXPECTATIONS_TIMEOUT_MS;
    entry.writes = expired ? [] : entry.writes.filter((write) => !this.#seen(write));
    if (entry.writes.length > 0) return false;
    this.#expected.delete(owner);
    return true;
  }

  /** The owner is gone. */
  forget(owner: string): void {
    this.#expected.delete(owner);
  }

  #expect(owner: string, write: Expected): void {
    const entry = this.#expected.get(owner) ?? { sinceMs: 0, writes: [] };
    entry.sinceMs = this.#clock.monotonic();
    entry.writes.push(write);
    this.#expected.set(owner, entry);
  }

  #seen(write: Expected): boolean {
    const cached = this.#informer.get(write.key);
    const same = cached?.metadata.uid === write.uid;
    if (write.kind === 'deleted') return !same || cached?.metadata.deletionTimestamp !== undefined;
    if (compareResourceVersions(this.#informer.resourceVersion, write.resourceVersion) >= 0) return true;
    return same && compareResourceVersions(cached?.metadata.resourceVersion ?? '', write.resourceVersion) >= 0;
  }
}
