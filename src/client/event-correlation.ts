// Which event to write when something is reported: decided without clock or I/O. Numbers and keys are client-go's.
import type { Event } from '../api/generated/types.ts';
import type { Draft } from '../api/object.ts';
import { rfc3339 } from '../lib/clock.ts';

/** Objects, groups and events remembered, each; the least recently used is forgotten first. */
const REMEMBERED = 4096;

/** This many messages of one reason about one object within the interval: the following ones are written as one event. */
const SIMILAR_EVENTS = 10;
const SIMILAR_INTERVAL_MS = 600_000;

/** One source may report this often about one object, and then once in five minutes. */
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;

export type Correlated =
  | { readonly kind: 'create'; readonly event: Event; readonly key: string }
  | { readonly kind: 'patch'; readonly event: Event; readonly key: string }
  | { readonly kind: 'drop' };

/** The identity of an event object: the same key counts up. */
interface Observed {
  readonly name: string;
  readonly count: number;
  readonly firstTimestamp: string;
}

interface Group {
  readonly messages: Set<string>;
  lastMs: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export class EventCorrelator {
  readonly #observed = new RecentlyUsed<Observed>(REMEMBERED);
  readonly #groups = new RecentlyUsed<Group>(REMEMBERED);
  readonly #buckets = new RecentlyUsed<Bucket>(REMEMBERED);

  /** What to do about `event`, reported at `nowMs`. */
  correlate(event: Event, nowMs: number): Correlated {
    const { event: grouped, key } = this.#group(event, nowMs);
    const counted = this.#count(grouped, key);
    if (!this.#allowed(subjectKey(grouped), nowMs)) return { kind: 'drop' };
    const kind = (counted.count ?? 1) > 1 ? 'patch' : 'create';
    return { kind, event: counted, key };
  }

  /** The server answered with another name or count than was decided (an event that had to be made again). */
  written(key: string, event: Event): void {
    this.#remember(key, event);
  }

  #group(event: Event, nowMs: number): { event: Event; key: string } {
    const groupKey = [subjectKey(event), event.type, event.reason, event.reportingComponent].join('\0');
    let group = this.#groups.get(groupKey);
    if (!group || nowMs - group.lastMs > SIMILAR_INTERVAL_MS) group = { messages: new Set(), lastMs: nowMs };
    group.messages.add(event.message ?? '');
    group.lastMs = nowMs;
    this.#groups.set(groupKey, group);
    if (group.messages.size < SIMILAR_EVENTS) return { event, key: eventKey(event) };
    for (const message of group.messages) {
      group.messages.delete(message);
      break;
    }
    const at = rfc3339(nowMs);
    const combined = {
      ...event,
      message: `(combined from similar events): ${event.message ?? ''}`,
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
    return { event: combined, key: groupKey };
  }

  #count(event: Event, key: string): Event {
    const last = this.#observed.get(key);
    const counted: Event = last
      ? {
          ...event,
          metadata: { ...event.metadata, name: last.name },
          firstTimestamp: last.firstTimestamp,
          count: last.count + 1,
        }
      : event;
    this.#remember(key, counted);
    return counted;
  }

  #remember(key: string, event: Event): void {
    this.#observed.set(key, {
      name: event.metadata.name,
      count: event.count ?? 1,
      firstTimestamp: event.firstTimestamp ?? '',
    });
  }

  #allowed(key: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(key) ?? { tokens: SPAM_BURST, atMs: nowMs };
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + (nowMs - bucket.atMs) / SPAM_REFILL_MS);
    bucket.atMs = nowMs;
    this.#buckets.set(key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}

/** The strategic merge patch that counts an event up. */
export function countPatch(event: Event): Draft<Pick<Event, 'count' | 'lastTimestamp' | 'message'>> {
  const { count = 1, lastTimestamp = '', message = '' } = event;
  return { count, lastTimestamp, message };
}

function subjectKey(event: Event): string {
  const { kind, namespace, name, uid, apiVersion } = event.involvedObject;
  return [event.source?.component, event.source?.host, kind, namespace, name, uid, apiVersion].join('\0');
}

function eventKey(event: Event): string {
  return [subjectKey(event), event.involvedObject.fieldPath, event.type, event.reason, event.message].join('\0');
}

/** A map that forgets what was not used for longest. */
class RecentlyUsed<V> {
  readonly #bound: number;
  readonly #map = new Map<string, V>();

  constructor(bound: number) {
    this.#bound = bound;
  }

  get(key: string): V | undefined {
    return this.#map.get(key);
  }

  set(key: string, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size <= this.#bound) return;
    for (const oldest of this.#map.keys()) {
      this.#map.delete(oldest);
      return;
    }
  }
}
