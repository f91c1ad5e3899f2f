// The HTTP/2 sessions of a listener: ended when idle, asked whether they live, and now and then sent to connect anew.
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Random } from '../../lib/random.ts';
import { onNextTurn } from '../../lib/turns.ts';

export interface SessionOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** For the next request on a session that has none under way. */
  readonly idleMs: number;
  /** A session with requests under way is asked this often whether its client lives. */
  readonly pingAfterMs: number;
  /** And is ended when no answer came within this: its watches with it. */
  readonly pingTimeoutMs: number;
  /**
   * Probability that a request's client is asked to connect anew (GOAWAY), so that connections spread over the servers again
   * after one was away. What is under way goes on. 0: never.
   */
  readonly goawayChance: number;
  /** A session that is younger is not asked: a request that was turned away comes again on a new one, and is answered there. */
  readonly goawayAfterMs: number;
}

export class Sessions {
  readonly #options: SessionOptions;
  /** And when each began, on the monotonic clock. */
  readonly #sessions = new Map<ServerHttp2Session, number>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  add(session: ServerHttp2Session): void {
    this.#sessions.set(session, this.#options.clock.monotonic());
    let streams = 0;
    let timer: Timer | undefined;
    session.once('close', () => {
      timer?.cancel();
      this.#sessions.delete(session);
    });
    const { clock, idleMs, pingAfterMs, pingTimeoutMs } = this.#options;
    const ask = (): void => {
      if (session.destroyed) return;
      timer = clock.timer(pingTimeoutMs, () => session.destroy());
      session.ping((error) => {
        timer?.cancel();
        if (!error && streams > 0) timer = clock.timer(pingAfterMs, ask);
      });
    };
    session.on('stream', (stream) => {
      if (streams++ === 0) timer = clock.timer(pingAfterMs, ask);
      stream.once('close', () => {
        if (--streams === 0) timer?.cancel();
      });
    });
    session.setTimeout(idleMs, () => {
      if (streams === 0) session.close();
    });
  }

  /** To be called for every request. */
  onRequest(stream: ServerHttp2Stream): void {
    const { goawayChance, goawayAfterMs, random, clock } = this.#options;
    if (goawayChance === 0 || random.next() >= goawayChance) return;
    const session = stream.session as ServerHttp2Session | undefined;
    const beganMs = session && this.#sessions.get(session);
    if (beganMs === undefined || clock.monotonic() - beganMs < goawayAfterMs) return;
    // What came together with this request is taken as well.
    onNextTurn(() => session?.close());
  }

  /** No further requests; what is under way goes on, and what a client has not sent yet goes elsewhere. */
  close(): void {
    for (const session of this.#sessions.keys()) session.close();
  }

  destroy(): void {
    for (const session of this.#sessions.keys()) session.destroy();
  }
}
