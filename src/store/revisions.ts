// Every key's versions and the log of changes, in memory: what a store decides writes by. No clock, no disk, no waiting.
import { invariant } from '../lib/assert.ts';
import type { Revision } from './contract.ts';
import { SortedEntries } from './sorted.ts';

/** One version of a key. */
export interface Version {
  readonly revision: Revision;
  /** False: the key was deleted at this revision. */
  readonly live: boolean;
  /** Wall time in milliseconds at which the key is to be deleted. */
  readonly expiresAtMs: number | undefined;
  /** The bytes, as long as they are kept in memory; always undefined for a deletion. */
  value: Buffer | undefined;
}

/** One entry of the log. */
export interface Change {
  readonly key: string;
  readonly version: Version;
  /** The live version that this one replaced. */
  readonly previous: Version | undefined;
}

interface KeyVersions {
  readonly key: string;
  /** Ascending, never empty. A version stays as long as a change in the log replaced or made it, or it is the newest. */
  readonly versions: Version[];
}

export interface Page {
  readonly items: readonly { readonly key: string; readonly version: Version }[];
  readonly remaining: number;
}

/**
 * The log holds every change with a revision in (floor, head], one for each revision. The versions kept answer any read as of
 * a revision in [floor, head].
 */
export class Revisions {
  readonly #keys = new Map<string, KeyVersions>();
  readonly #sorted = new SortedEntries<KeyVersions>();
  readonly #log: Change[] = [];
  /** How many keys have a deletion as their newest version. */
  #deletedKeys = 0;
  #floor: Revision;
  #head: Revision;

  constructor(floor: Revision) {
    this.#floor = floor;
    this.#head = floor;
  }

  get head(): Revision {
    return this.#head;
  }

  get floor(): Revision {
    return this.#floor;
  }

  /** The live version of a key as of a revision. */
  at(key: string, revision: Revision): Version | undefined {
    const found = this.#keys.get(key);
    return found && liveAt(found, revision);
  }

  /** Takes a version from before the log (at or below the floor); returns what it replaces and nobody needs any more. */
  load(key: string, version: Version): Revision[] {
    invariant(this.#floor >= version.revision && this.#log.length === 0, 'versions are loaded before changes');
    const found = this.#keys.get(key);
    const replaced = found ? found.versions.map((v) => v.revision) : [];
    if (!version.live) {
      if (found) this.#forget(found);
      return [...replaced, version.revision];
    }
    if (found) found.versions.splice(0, found.versions.length, version);
    else this.#remember({ key, versions: [version] });
    return replaced;
  }

  /** Appends the next change. */
  append(key: string, version: Version): Change {
    invariant(version.revision === this.#head + 1, 'revisions grow by one');
    const found = this.#keys.get(key);
    const newest = found?.versions.at(-1);
    const previous = newest?.live ? newest : undefined;
    invariant(version.live || previous, 'only a live key is deleted');
    if (newest && !newest.live) this.#deletedKeys--;
    if (!version.live) this.#deletedKeys++;
    if (found) found.versions.push(version);
    else this.#remember({ key, versions: [version] });
    // The key that is there already: the log would keep as many copies of it as there are changes.
    const change = { key: found?.key ?? key, version, previous };
    this.#log.push(change);
    this.#head = version.revision;
    return change;
  }

  /** Undoes every change after a revision. */
  rollback(to: Revision): void {
    invariant(to >= this.#floor, 'only what the log holds can be undone');
    while (this.#head > to) {
      const { key, version, previous } = this.#log.pop()!;
      const found = this.#keys.get(key)!;
      invariant(found.versions.pop() === version, 'the newest change made the newest version');
      if (!version.live) this.#deletedKeys--;
      if (found.versions.length === 0) this.#forget(found);
      else if (!previous) this.#deletedKeys++;
      this.#head--;
    }
  }

  /** Up to `limit` changes after a revision, which must not be below the floor, up to and including `until`. */
  changes(after: Revision, until: Revision, limit: number): readonly Change[] {
    invariant(after >= this.#floor, 'changes are read from the log');
    const from = after - this.#floor;
    return this.#log.slice(from, Math.min(from + limit, until - this.#floor));
  }

  /** The keys of a prefix in order as of a revision. */
  list(options: { prefix: string; after?: string | undefined; limit?: number | undefined; revision: Revision }): Page {
    const { prefix, after, limit = Number.POSITIVE_INFINITY, revision } = options;
    const items: { key: string; version: Version }[] = [];
    let remaining = 0;
    for (const entry of this.#sorted.range(prefix, after)) {
      const version = liveAt(entry, revision);
      if (!version) continue;
      if (limit > items.length) items.push({ key: entry.key, version });
      else if (this.#deletedKeys > 0 || revision !== this.#head) remaining++;
      else {
        remaining = this.#sorted.count(prefix, items.at(-1)?.key ?? after);
        break;
      }
    }
    return { items, remaining };
  }

  /** Forgets the changes up to and including a revision; returns the revisions whose versions nobody needs any more. */
  trim(to: Revision): Revision[] {
    if (this.#floor >= to) return [];
    invariant(this.#head >= to, 'history is forgotten up to the present at most');
    const dropped: Revision[] = [];
    // A key that is written often has many versions: they are cut off at once, not one by one.
    const counts = new Map<KeyVersions, number>();
    for (const { key, version, previous } of this.#log.splice(0, to - this.#floor)) {
      const found = this.#keys.get(key)!;
      let count = counts.get(found) ?? 0;
      for (const old of [previous, version.live ? undefined : version]) {
        if (!old) continue;
        invariant(found.versions[count] === old, 'versions are dropped in order');
        dropped.push(old.revision);
        count++;
      }
      counts.set(found, count);
    }
    for (const [found, count] of counts) {
      found.versions.splice(0, count);
      if (found.versions.length > 0) continue;
      this.#deletedKeys--;
      this.#forget(found);
    }
    this.#floor = to;
    return dropped;
  }

  #remember(entry: KeyVersions): void {
    this.#keys.set(entry.key, entry);
    this.#sorted.add(entry);
  }

  #forget(entry: KeyVersions): void {
    this.#keys.delete(entry.key);
    this.#sorted.remove(entry.key);
  }
}

function liveAt({ versions }: KeyVersions, revision: Revision): Version | undefined {
  for (let i = versions.length - 1; i >= 0; i--) {
    const version = versions[i]!;
    if (revision >= version.revision) return version.live ? version : undefined;
  }
  return undefined;
}
