import type { Event, ObjectReference } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import { rfc3339, sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { nextTurn } from '../lib/turns.ts';
import { isReason, StatusError } from '../machinery/status.ts';
import type { Client, ResourceClient } from './contract.ts';
import { countPatch, EventCorrelator } from './event-correlation.ts';
import type { EventRecorder, EventSubject } from './event-recorder.ts';

/** Events that may wait to be written, as client-go; further ones are dropped and logged. */
export const MAX_QUEUED_EVENTS = 1000;

/** Tries of one event when the server cannot be reached, and the wait between them, as client-go. */
const WRITE_TRIES = 12;
const WRITE_RETRY_MS = 10_000;

/** Refusals that say nothing about the event itself. */
const PASSING = new Set(['TooManyRequests', 'ServiceUnavailable', 'Timeout', 'ServerTimeout', 'InternalError']);

export interface EventsOptions {
  readonly client: Client;
  readonly env: Environment;
  /** source.component. */
  readonly component: string;
  /** source.host: the node's name for a kubelet. */
  readonly host?: string;
}

/** Records events until the signal aborts. One writer serves a recorder and all that come from its `as`. */
export function recordEvents(options: EventsOptions, signal: AbortSignal): EventRecorder {
  const writer = new EventWriter(options.client.resource('events'), options.env, signal);
  return recorder(options, writer, options.component);
}

function recorder(options: EventsOptions, writer: EventWriter, component: string): EventRecorder {
  const { env, host } = options;
  return {
    event(subject, type, reason, message, annotations) {
      const source = { component, ...(host !== undefined && { host }) };
      const at = { nowMs: env.clock.now(), suffix: writer.nextSuffix() };
      writer.add(makeEvent({ subject, type, reason, message, source, annotations, ...at }));
    },
    as: (other) => recorder(options, writer, other),
  };
}

interface EventParts {
  readonly subject: EventSubject;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly source: { readonly component: string; readonly host?: string };
  readonly annotations?: { readonly [key: string]: string } | undefined;
  readonly nowMs: number;
  /** Makes the name unique among events about one object. */
  readonly suffix: string;
}

/** The Event for one report, in core/v1. Events about cluster-scoped objects live in "default". */
export function makeEvent(parts: EventParts): Event {
  const { source, type, reason, message, annotations } = parts;
  const involvedObject = referenceTo(parts.subject);
  const at = rfc3339(parts.nowMs);
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `${(involvedObject.name ?? '').slice(0, 253 - 1 - parts.suffix.length)}.${parts.suffix}`,
      namespace: involvedObject.namespace || 'default',
      ...(annotations && { annotations }),
    },
    involvedObject,
    reason,
    message,
    source,
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
    type,
    reportingComponent: source.component,
    reportingInstance: source.host ?? '',
  };
}

function referenceTo(subject: EventSubject): ObjectReference {
  if (!('metadata' in subject)) return subject;
  const { apiVersion, kind, metadata } = subject as KubeObject;
  const { namespace, name, uid, resourceVersion } = metadata;
  return {
    ...(kind !== undefined && { kind }),
    ...(namespace !== undefined && { namespace }),
    name,
    ...(uid !== undefined && { uid }),
    ...(apiVersion !== undefined && { apiVersion }),
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
}

class EventWriter {
  readonly #client: ResourceClient<Event>;
  readonly #env: Environment;
  readonly #signal: AbortSignal;
  readonly #correlator = new EventCorrelator();
  readonly #queue: Event[] = [];
  #writing = false;
  #dropped = 0;
  #serial = 0;

  constructor(client: ResourceClient<Event>, env: Environment, signal: AbortSignal) {
    this.#client = client;
    this.#env = { ...env, log: env.log.child('events') };
    this.#signal = signal;
  }

  /** Hexadecimal nanoseconds as upstream; the digits below the clock's grain count, so that no two are alike. */
  nextSuffix(): string {
    this.#serial = (this.#serial + 1) % 1_000_000;
    return (BigInt(Math.floor(this.#env.clock.now())) * 1_000_000n + BigInt(this.#serial)).toString(16);
  }

  add(event: Event): void {
    if (this.#signal.aborted) return;
    if (this.#queue.length >= MAX_QUEUED_EVENTS) {
      if (this.#dropped++ % MAX_QUEUED_EVENTS === 0) this.#env.log.warn('too many events wait, dropping');
      return;
    }
    this.#queue.push(event);
    if (!this.#writing) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    // Not within the caller's own turn: recording an event costs its reporter nothing.
    await nextTurn();
    for (let event = this.#queue.shift(); event && !this.#signal.aborted; event = this.#queue.shift()) {
      try {
        await this.#record(event);
      } catch (error) {
        this.#env.log.error('an event could not be recorded', error, { reason: event.reason });
      }
    }
    this.#writing = false;
  }

  async #record(event: Event): Promise<void> {
    const { clock, log } = this.#env;
    const decided = this.#correlator.correlate(event, clock.now());
    if (decided.kind === 'drop') return;
    for (let attempt = 0; attempt < WRITE_TRIES; attempt++) {
      try {
        const written = await this.#write(decided.kind, decided.event);
        this.#correlator.written(decided.key, written);
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        if (error instanceof StatusError && !PASSING.has(error.reason)) {
          // A namespace that goes away has no place for events, which is nobody's fault.
          const write = isReason(error, 'Forbidden', 'NotFound', 'AlreadyExists') ? 'debug' : 'warn';
          log[write]('server rejected event (will not retry)', { reason: event.reason, error: String(error) });
          return;
        }
        log.debug('unable to write event (may retry after sleeping)', { error: String(error) });
        if (attempt + 1 === WRITE_TRIES) return log.warn('unable to write event (retry limit exceeded)');
        await sleep(clock, WRITE_RETRY_MS, this.#signal).catch(() => undefined);
      }
    }
  }

  async #write(kind: 'create' | 'patch', event: Event): Promise<Event> {
    const query = { signal: this.#signal };
    if (kind === 'patch') {
      try {
        return await this.#client.patch(event.metadata, { type: 'strategic', body: countPatch(event) }, query);
      } catch (error) {
        // It outlived its time to live: begin a new one, which keeps the count.
        if (!isReason(error, 'NotFound')) throw error;
      }
    }
    return this.#client.create(event, query);
  }
}
