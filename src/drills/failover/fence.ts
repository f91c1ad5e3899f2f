// A trap for a leader that was paused: it is stopped in the middle of making pods, and what it was making is no longer wanted
// when it goes on. Pods that are made then are writes of a deposed leader.
import { sleep } from '../../lib/clock.ts';
import type { Connection } from '../probes/connection.ts';
import { WatchProbe } from '../probes/watch.ts';
import { NAMESPACE, type Stage } from './stage.ts';

const NAME = 'fence';
const MANY = 30;
const FEW = 5;
const PATH = `/apis/apps/v1/namespaces/${NAMESPACE}/replicasets`;
const TIMEOUT_MS = 2_000;
const LOOK_MS = 2;
/** How long after it goes on writes of the old leader are looked for. */
const LATE_MS = 3_000;
const PING_MS = 300;

/** What it takes of the stage. */
export type FenceStage = Pick<Stage, 'connect' | 'env' | 'image'>;

export class Fence {
  /** Whose server leads the controllers. */
  readonly leader: string;
  isRemoved = false;
  readonly #stage: FenceStage;
  readonly #connection: Connection;
  readonly #watch: WatchProbe;
  readonly #stop = new AbortController();

  private constructor(stage: FenceStage, leader: string, connection: Connection, watch: WatchProbe) {
    this.#stage = stage;
    this.leader = leader;
    this.#connection = connection;
    this.#watch = watch;
    void watch.run(this.#stop.signal);
  }

  static async make(stage: FenceStage, leader: string, signal: AbortSignal): Promise<Fence> {
    const connection = await stage.connect(PING_MS);
    const labels = { app: NAME };
    const body = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { name: NAME },
      spec: {
        replicas: MANY,
        selector: { matchLabels: labels },
        // No node has this: the pods cost nothing.
        template: {
          metadata: { labels },
          spec: { nodeSelector: { drill: 'none' }, containers: [{ name: 'web', image: stage.image }] },
        },
      },
    };
    try {
      const question = { method: 'POST', path: PATH, body, timeoutMs: TIMEOUT_MS };
      const { code, text } = await connection.insist(question, signal);
      if (code !== 201) throw new Error(`cannot make ReplicaSet ${NAME}: ${code} ${text}`);
      const { resourceVersion } = (JSON.parse(text) as { metadata: { resourceVersion: string } }).metadata;
      const path = `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app%3D${NAME}`;
      const watch = new WatchProbe({ connection, clock: stage.env.clock, path, resourceVersion });
      return new Fence(stage, leader, connection, watch);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Resolves as soon as the controllers are making pods. */
  async started(signal: AbortSignal): Promise<void> {
    while (this.#made().length < 2) await sleep(this.#stage.env.clock, LOOK_MS, signal);
  }

  /** Fewer are wanted now. Resolves when the new leader has seen to it. */
  async shrink(signal: AbortSignal): Promise<void> {
    const connection = await this.#stage.connect();
    try {
      const path = `${PATH}/${NAME}`;
      for (let done = false; !done; ) {
        const get = await connection.insist({ method: 'GET', path, timeoutMs: TIMEOUT_MS }, signal);
        const object = JSON.parse(get.text) as { spec: object };
        const body = { ...object, spec: { ...object.spec, replicas: FEW } };
        done = (await connection.insist({ method: 'PUT', path, body, timeoutMs: TIMEOUT_MS }, signal)).code === 200;
      }
      while (this.#left() !== FEW) await sleep(this.#stage.env.clock, 20, signal);
    } finally {
      connection.close();
    }
  }

  /** How many pods were made after this time, looked for a while; then everything of the trap is removed. */
  async late(afterMs: number, signal: AbortSignal): Promise<number> {
    await sleep(this.#stage.env.clock, LATE_MS, signal);
    const late = this.#made().filter(({ atMs }) => atMs > afterMs).length;
    const wrong = this.#left() === FEW ? late : Math.max(late, 1);
    await this.remove(signal);
    return wrong;
  }

  /** Ends the watch at once. */
  async remove(signal: AbortSignal): Promise<void> {
    this.#stop.abort();
    this.#connection.close();
    const connection = await this.#stage.connect();
    try {
      const path = `${PATH}/${NAME}?propagationPolicy=Background`;
      await connection.insist({ method: 'DELETE', path, timeoutMs: TIMEOUT_MS }, signal);
      this.isRemoved = true;
    } finally {
      connection.close();
    }
  }

  #made() {
    return this.#watch.events.filter(({ type }) => type === 'ADDED');
  }

  #left(): number {
    return this.#made().length - this.#watch.events.filter(({ type }) => type === 'DELETED').length;
  }
}
