// A way to a server that can be broken: a relay of TCP connections which passes on late, passes nothing on, or is gone. Bytes that it
// passes on keep their order.
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { Random } from '../lib/random.ts';

export interface LinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly target: { readonly address: string; readonly port: number };
  /** Default: all of this machine's. */
  readonly listenAddress?: string;
}

/**
 * whole: everything arrives. silent: nothing does, and connections stay open. gone: connections are reset, and new ones refused.
 */
export type LinkState = 'whole' | 'silent' | 'gone';

export interface Lateness {
  readonly delayMs: number;
  /** Each piece is late by delayMs ± this. */
  readonly jitterMs: number;
}

/** Bytes on their way in one direction of one connection; beyond it the sender is made to wait. */
const MAX_HELD_BYTES = 4 << 20;

export class Link {
  readonly #options: LinkOptions;
  readonly #pairs = new Set<Pair>();
  readonly #server: Server;
  #state: LinkState = 'whole';
  lateness: Lateness = { delayMs: 0, jitterMs: 0 };

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (from) =>
      this.#accept(from),
    );
  }

  /** Resolves with the port; 0 takes any that is free. */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, this.#options.listenAddress, () => {
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound ? bound.port : port);
      });
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  set state(state: LinkState) {
    this.#state = state;
    for (const pair of [...this.#pairs]) {
      if (state === 'gone') pair.reset();
      else pair.setSilent(state === 'silent');
    }
  }

  close(): void {
    this.#server.close();
    for (const pair of [...this.#pairs]) pair.reset();
  }

  #accept(from: Socket): void {
    if (this.#state === 'gone') {
      from.resetAndDestroy();
      return;
    }
    const { address, port } = this.#options.target;
    const to = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const late = (): number => {
      const { delayMs, jitterMs } = this.lateness;
      return Math.max(0, delayMs + (2 * this.#options.random.next() - 1) * jitterMs);
    };
    const pair = new Pair(from, to, { clock: this.#options.clock, late });
    this.#pairs.add(pair);
    for (const socket of [from, to]) {
      socket.on('error', () => undefined);
      socket.once('close', () => {
        if (from.destroyed && to.destroyed) this.#pairs.delete(pair);
      });
    }
    pair.setSilent(this.#state === 'silent');
  }
}

interface Timing {
  readonly clock: Clock;
  readonly late: () => number;
}

class Pair {
  readonly #ways: readonly [OneWay, OneWay];

  constructor(from: Socket, to: Socket, timing: Timing) {
    this.#ways = [new OneWay(from, to, timing), new OneWay(to, from, timing)];
  }

  setSilent(silent: boolean): void {
    for (const way of this.#ways) way.setSilent(silent);
  }

  reset(): void {
    for (const way of this.#ways) way.reset();
  }
}

class OneWay {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #timing: Timing;
  /** What is due while nothing passes, bounded by MAX_HELD_BYTES. */
  #waiting: (() => void)[] = [];
  #silent = true;
  #held = 0;
  #dueMs = 0;

  constructor(from: Socket, to: Socket, timing: Timing) {
    this.#from = from;
    this.#to = to;
    this.#timing = timing;
    from.on('data', (piece) => this.#later(piece.length, () => to.writable && to.write(piece)));
    to.on('drain', () => this.#flow());
    from.on('end', () => this.#later(0, () => to.end()));
    from.on('close', (failed) => {
      if (failed) to.resetAndDestroy();
    });
  }

  setSilent(silent: boolean): void {
    this.#silent = silent;
    if (silent) return;
    for (const act of this.#waiting.splice(0)) act();
    this.#flow();
  }

  reset(): void {
    this.#waiting = [];
    this.#from.resetAndDestroy();
  }

  #later(bytes: number, act: () => void): void {
    const { clock, late } = this.#timing;
    this.#held += bytes;
    this.#flow();
    const arrive = (): void => {
      if (this.#silent) {
        this.#waiting.push(arrive);
        return;
      }
      this.#held -= bytes;
      act();
      this.#flow();
    };
    const lateMs = late();
    const nowMs = clock.monotonic();
    // Nothing overtakes what came before it.
    this.#dueMs = Math.max(this.#dueMs, nowMs + lateMs);
    if (this.#dueMs <= nowMs) arrive();
    else clock.timer(this.#dueMs - nowMs, arrive);
  }

  /** The sender waits while too much is held, or the receiver takes nothing. */
  #flow(): void {
    if (this.#held > MAX_HELD_BYTES || this.#to.writableNeedDrain) this.#from.pause();
    else this.#from.resume();
  }
}
