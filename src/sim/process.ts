// A process of the simulated world: it may be stopped, continued and killed at any moment, as SIGSTOP, SIGCONT and SIGKILL do.
import { Registry } from 'prom-client';
import type { Clock } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import type { Log } from '../lib/log.ts';
import { type Random, seededRandom } from '../lib/random.ts';

/** What all processes of one simulation share. */
export interface World {
  readonly seed: number;
  readonly clock: Clock;
  readonly log: Log;
  /** How many processes of each name there have been. */
  readonly lives: Map<string, number>;
}

/** A generator of its own for each use, so that one more draw here changes nothing there. */
export function randomOf(seed: number, use: string): Random {
  let hash = seed ^ 0x811c9dc5;
  for (let i = 0; i < use.length; i++) hash = Math.imul(hash ^ use.charCodeAt(i), 0x01000193);
  return seededRandom(hash);
}

/**
 * Code runs in a process only because a timer fires or something arrives from the network: both come in through `receive`.
 * Stopped, it keeps what comes for later; killed, it gets nothing any more, and what it had begun never ends.
 */
export class SimulatedProcess {
  readonly name: string;
  readonly env: Environment;
  readonly #world: World;
  #state: 'running' | 'stopped' | 'dead' = 'running';
  readonly #life = new AbortController();
  /** Bounded by the length of a stop. */
  #held: (() => void)[] = [];

  constructor(world: World, name: string) {
    this.name = name;
    this.#world = world;
    const { clock, lives } = world;
    // A process that starts again draws other numbers than before, or it would give away the same uids twice.
    const life = (lives.get(name) ?? 0) + 1;
    lives.set(name, life);
    this.env = {
      clock: {
        now: () => clock.now(),
        monotonic: () => clock.monotonic(),
        timer: (delayMs, fire) => this.#timer(delayMs, fire),
      },
      random: randomOf(world.seed, `${name} ${life}`),
      log: world.log.child(name),
      metrics: new Registry(),
    };
  }

  /**
   * Aborts when the process is killed, for what runs in it: Node.js holds on to signals that somebody listens to. Whatever
   * that makes the dead code do has no effect.
   */
  get signal(): AbortSignal {
    return this.#life.signal;
  }

  get dead(): boolean {
    return this.#state === 'dead';
  }

  get stopped(): boolean {
    return this.#state === 'stopped';
  }

  receive(run: () => void): void {
    if (this.#state === 'running') run();
    else if (this.#state === 'stopped') this.#held.push(run);
  }

  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped';
  }

  /** What came meanwhile is handed over in its order. */
  continue(): void {
    if (this.#state !== 'stopped') return;
    this.#state = 'running';
    for (const run of this.#held.splice(0)) this.#world.clock.timer(0, () => this.receive(run));
  }

  kill(): void {
    this.#state = 'dead';
    this.#held = [];
    this.#life.abort(new Error('the process was killed'));
  }

  #timer(delayMs: number, fire: () => void): { cancel(): void } {
    let cancelled = false;
    if (this.dead) return { cancel: () => undefined };
    const timer = this.#world.clock.timer(delayMs, () =>
      this.receive(() => {
        if (!cancelled) fire();
      }),
    );
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }
}
