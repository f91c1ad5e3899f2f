// Audit: what is told of requests, in the order of their stages, to whoever keeps it. Nothing waits for it: events are put into
// a queue with bounds, made into text and handed on in slices; what does not fit is counted and lost.
import { Counter, type Registry } from 'prom-client';
import type { Environment } from '../../lib/environment.ts';
import { nextTurn } from '../../lib/turns.ts';
import type { Attributes, Authorizer, UserInfo } from '../contract.ts';
import type { RequestInfo } from '../http/request-info.ts';
import type { Response } from '../http/response.ts';
import { type AuditPolicy, wantedOf } from './policy.ts';
import { AuditRecord } from './record.ts';

/** Where events go: lines of JSON. Resolves when they are written. */
export type AuditSink = (lines: readonly string[]) => Promise<void>;

export interface AuditOptions {
  readonly policy: AuditPolicy;
  readonly sink: AuditSink;
}

/** Events that wait to be written; upstream's buffer. */
export const MAX_QUEUED_EVENTS = 10_000;
/** What they may weigh, about: bodies of requests are kept as text, answers keep objects that the cache may have given up. */
export const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** Events that are written together. */
const BATCH = 400;
/** Characters that are handed on together: an event alone may have more. */
export const BATCH_CHARACTERS = 1024 * 1024;
/** Characters that are made into text in one turn. */
const CHARACTERS_PER_TURN = 256 * 1024;

/** One event, made into text when its turn comes. */
export interface AuditEvent {
  /** What it holds on to, about, in bytes. */
  readonly weight: number;
  text(): string | Promise<string>;
}

export interface AuditorOptions extends AuditOptions {
  readonly env: Pick<Environment, 'clock' | 'log'> & { readonly metrics: Registry };
  readonly authorizer: Authorizer;
}

export class Auditor {
  readonly #options: AuditorOptions;
  readonly #events: Counter;
  readonly #errors: Counter<'plugin'>;
  #queue: AuditEvent[] = [];
  #bytes = 0;
  #writing: Promise<void> | undefined;
  #failing = false;

  constructor(options: AuditorOptions) {
    this.#options = options;
    const registers = [options.env.metrics];
    const total = 'Counter of audit events generated and sent to the audit backend.';
    this.#events = new Counter({ name: 'apiserver_audit_event_total', help: total, registers });
    const lost =
      'Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.';
    this.#errors = new Counter({ name: 'apiserver_audit_error_total', help: lost, labelNames: ['plugin'], registers });
  }

  /** What is to be told of a request; undefined: nothing. `as` is who acts, where `user` speaks for somebody else. */
  begin(
    info: RequestInfo,
    response: Response,
    who: { readonly user: UserInfo | undefined; readonly as?: UserInfo | undefined },
  ): AuditRecord | undefined {
    const wanted = wantedOf(this.#options.policy, info, who.user);
    if (wanted.level === 'None') return undefined;
    const { clock } = this.#options.env;
    const offer = (event: AuditEvent): void => this.#offer(event);
    const decide = (attributes: Attributes): { allowed: boolean; reason: string } | undefined =>
      (who.as ?? who.user) && this.#options.authorizer.authorize((who.as ?? who.user)!, attributes);
    return new AuditRecord({ info, response, ...who, wanted, now: () => clock.now(), offer, decide });
  }

  /** Tells that nobody knows who asked: once, when that has been answered. */
  unauthenticated(info: RequestInfo, response: Response): void {
    const wanted = wantedOf(this.#options.policy, info, undefined);
    if (wanted.level === 'None') return;
    const { clock } = this.#options.env;
    const offer = (event: AuditEvent): void => this.#offer(event);
    const unknown = { user: undefined, isUnauthenticated: true, decide: () => undefined } as const;
    const record = new AuditRecord({ info, response, ...unknown, wanted, now: () => clock.now(), offer });
    record.unauthenticated(response.code);
  }

  #offer(event: AuditEvent): void {
    // One that is too heavy by itself is taken when nothing else waits.
    const heavy = this.#bytes > 0 && this.#bytes + event.weight > MAX_QUEUED_BYTES;
    if (this.#queue.length >= MAX_QUEUED_EVENTS || heavy) {
      this.#errors.inc({ plugin: 'buffered' });
      return;
    }
    this.#queue.push(event);
    this.#bytes += event.weight;
    this.#events.inc();
    this.#writing ??= this.#write();
  }

  /** Resolves when everything that was told so far is written, or lost. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #write(): Promise<void> {
    // What is told in this turn goes together.
    await nextTurn();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH);
      let lines: string[] = [];
      let [gathered, inTurn] = [0, 0];
      for (const event of batch) {
        const text = await this.#textOf(event);
        this.#bytes -= event.weight;
        if (text === undefined) continue;
        lines.push(text);
        gathered += text.length;
        inTurn += text.length;
        if (gathered >= BATCH_CHARACTERS) {
          await this.#hand(lines);
          lines = [];
          gathered = 0;
        }
        if (inTurn < CHARACTERS_PER_TURN) continue;
        await nextTurn();
        inTurn = 0;
      }
      if (lines.length > 0) await this.#hand(lines);
    }
    this.#writing = undefined;
  }

  /** One event that cannot be told is counted and lost; those after it are told. */
  async #textOf(event: AuditEvent): Promise<string | undefined> {
    try {
      return await event.text();
    } catch (error) {
      this.#errors.inc({ plugin: 'log' });
      this.#options.env.log.error('an audit event could not be written', error);
      return undefined;
    }
  }

  /** A sink that fails loses what it was given; the log says so once, until it works again. */
  async #hand(lines: readonly string[]): Promise<void> {
    try {
      await this.#options.sink(lines);
      this.#failing = false;
    } catch (error) {
      this.#errors.inc({ plugin: 'log' }, lines.length);
      if (!this.#failing) this.#options.env.log.error('audit events could not be written', error);
      this.#failing = true;
    }
  }
}
