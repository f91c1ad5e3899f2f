// The failures that a highly available cluster is measured by, and what each may cost.

import type { HaStatus } from '../../cluster/ha/status.ts';
import { ETCD_PEER_PORT } from '../../cluster/ha/topology.ts';
import { sleep } from '../../lib/clock.ts';
import { endpointsGone, removePod, replaced, scheduled } from '../probes/pods.ts';
import { Fence } from './fence.ts';
import type { Load } from './load.ts';
import { refusals } from './refusals.ts';
import { REPLICAS, SELECTOR, SERVICE, type Stage } from './stage.ts';

export interface Scene {
  readonly stage: Stage;
  /** The whole cluster, before. */
  readonly status: HaStatus;
  readonly load: Load;
  readonly repetition: number;
  readonly pauseMs: number;
  readonly signal: AbortSignal;
}

/** What else was measured, by name: milliseconds, or a number that its name says. */
export type Extra = Readonly<Record<string, number>>;

export interface Row {
  readonly id: string;
  readonly title: string;
  /** How long without acknowledged writes, median and worst; absent: not judged by this. */
  readonly writesMs?: readonly [median: number, worst: number];
  /** By the names of Extra: the most that the worst may be. */
  readonly extraMs?: Extra;
  /** No request fails that a client asks again once. */
  readonly retryHelps?: true;
  /** What mending it costs counts as well. */
  readonly throughout?: true;
  /** Until it is mended. */
  readonly watchMs: number;
  /** A host that the failure does not concern: the service is asked through it. */
  readonly via?: (scene: Scene) => string;
  /** Brings about what the failure needs, before the time counts. */
  prepare?(scene: Scene): Promise<void>;
  /** Resolves when it is done and what is to be measured is measured. */
  strike(scene: Scene): Promise<Extra | undefined>;
  mend?(scene: Scene): Promise<Extra | undefined>;
  /** Takes back what `prepare` and `strike` left, also when they failed half-way; nothing where nothing is left. */
  clear?(scene: Scene): Promise<void>;
}

function controlPlanes({ status }: Scene): readonly string[] {
  return status.hosts.filter(({ role }) => role === 'control-plane').map(({ name }) => name);
}

/** The server that the clients are connected to. */
function serving(scene: Scene): string {
  const name = controlPlanes(scene).find((one) => scene.load.servedBy.includes(one));
  if (!name) throw new Error(`nobody knows who serves: ${scene.load.servedBy.join(', ')}`);
  return name;
}

function others(scene: Scene, than: string): readonly string[] {
  return controlPlanes(scene).filter((name) => name !== than);
}

function holder({ status }: Scene): string {
  return status.holders[0]!;
}

/** The control planes whose servers lead controllers and scheduler. */
function leading(scene: Scene): readonly string[] {
  const holders = scene.status.leases.map(({ holder }) => holder);
  return controlPlanes(scene).filter((name) => holders.some((id) => id === name || id.startsWith(`${name}_`)));
}

function worker({ repetition }: Scene): string {
  return `worker-${1 + (repetition % 3)}`;
}

/** The address and the leader of etcd on one host. */
async function together(scene: Scene): Promise<void> {
  await scene.stage.moveEtcdLeader(holder(scene), scene.status, scene.signal);
}

/** How soon a new pod has a node. */
async function newPod({ stage, repetition, signal }: Scene): Promise<Extra> {
  const pods = await stage.pods();
  const name = `new-${repetition}`;
  try {
    const scheduledMs = await scheduled(pods, name, stage.image, signal);
    await removePod(pods, name, signal);
    return { scheduledMs };
  } finally {
    pods.connection.close();
  }
}

/** More than the default profile's 50 s of silence and 300 s of toleration. */
const PODS_WITHIN_MS = 420_000;

async function workerPods({ stage, signal }: Scene, lost: string): Promise<Extra> {
  const pods = await stage.pods();
  try {
    const [replacedMs, endpointsGoneMs] = await Promise.all([
      replaced(pods, { selector: SELECTOR, count: REPLICAS, lost }, PODS_WITHIN_MS, signal),
      endpointsGone(pods, { service: SERVICE, lost }, PODS_WITHIN_MS, signal),
    ]);
    return { replacedMs, endpointsGoneMs };
  } finally {
    pods.connection.close();
  }
}

/** Two control planes: those without the address, and in every other repetition the one with it. */
function two(scene: Scene): readonly [string, string] {
  const [first, second] = others(scene, holder(scene));
  return scene.repetition % 2 === 0 ? [first!, second!] : [holder(scene), first!];
}

async function writtenAgain({ stage, load, signal }: Scene, fromMs: number): Promise<number> {
  for (;;) {
    const at = load.firstGoodAfter('writes', fromMs);
    if (at !== undefined) return at - fromMs;
    if (stage.env.clock.monotonic() - fromMs > PODS_WITHIN_MS) throw new Error('no write was taken again');
    await sleep(stage.env.clock, 20, signal);
  }
}

const HOST_LOST: Pick<Row, 'writesMs' | 'watchMs' | 'prepare'> = {
  writesMs: [2_000, 4_000],
  watchMs: 3_000,
  prepare: together,
};

/** What clients notice of nothing: a busy machine alone makes such gaps. */
const NONE = [100, 300] as const;

/** One fence a run of the row: made before, asked after. */
const fences = new WeakMap<Load, Fence>();

export const ROWS: readonly Row[] = [
  {
    id: 'server-killed',
    title: 'kill -9 of the API server that the client is connected to',
    writesMs: [300, 500],
    retryHelps: true,
    watchMs: 2_000,
    strike: async (scene) => {
      await scene.stage.hosts.kill(serving(scene), 'server');
      return undefined;
    },
  },
  {
    id: 'server-paused',
    title: 'the API server that the client is connected to paused (SIGSTOP) for 3 s',
    watchMs: 3_000,
    strike: async (scene) => {
      await scene.stage.hosts.pause(serving(scene), 'server');
      return undefined;
    },
    mend: async (scene) => {
      // Whoever serves by now is not paused.
      for (const name of controlPlanes(scene)) await scene.stage.hosts.resume(name, 'server');
      return undefined;
    },
  },
  {
    id: 'etcd-leader-killed',
    title: 'kill -9 of the etcd leader',
    writesMs: [1_200, 2_500],
    watchMs: 3_000,
    strike: async ({ stage, status }) => {
      await stage.hosts.kill(status.leader!, 'etcd');
      return undefined;
    },
  },
  {
    ...HOST_LOST,
    id: 'host-unplugged',
    title: 'host with the address and the etcd leader: cable pulled',
    strike: async (scene) => {
      await scene.stage.hosts.unplug(holder(scene));
      return undefined;
    },
    mend: async (scene) => {
      await scene.stage.hosts.plug(holder(scene));
      return undefined;
    },
  },
  {
    ...HOST_LOST,
    id: 'host-powered-off',
    title: 'host with the address and the etcd leader: powered off',
    strike: async (scene) => {
      await scene.stage.hosts.powerOff(holder(scene), scene.signal);
      return undefined;
    },
    mend: async (scene) => {
      await scene.stage.hosts.powerOn(holder(scene), scene.signal);
      return undefined;
    },
  },
  {
    id: 'etcd-leader-cut-off',
    title: 'etcd leader cut off from the other members only',
    writesMs: [1_500, 3_000],
    watchMs: 3_500,
    strike: async (scene) => {
      const { stage, status } = scene;
      await stage.hosts.partition({
        from: [status.leader!],
        to: others(scene, status.leader!),
        ports: [ETCD_PEER_PORT],
      });
      return undefined;
    },
    mend: async ({ stage }) => {
      await stage.hosts.heal();
      return undefined;
    },
  },
  {
    id: 'leaders-killed',
    title: 'kill -9 of the servers that lead controllers and scheduler (clients on another)',
    writesMs: NONE,
    extraMs: { scheduledMs: 2_000 },
    watchMs: 2_500,
    prepare: (scene) => scene.load.leave(leading(scene), scene.signal),
    strike: async (scene) => {
      for (const name of leading(scene)) await scene.stage.hosts.kill(name, 'server');
      return newPod(scene);
    },
  },
  {
    id: 'leaders-paused',
    title: 'the server that leads the controllers paused (SIGSTOP), then continued (clients on another)',
    writesMs: NONE,
    extraMs: { latePods: 0 },
    watchMs: 0,
    prepare: async (scene) => {
      await scene.load.leave(leading(scene), scene.signal);
      const [name] = leading(scene);
      const fence = await Fence.make(scene.stage, name!, scene.signal);
      fences.set(scene.load, fence);
      await fence.started(scene.signal);
    },
    strike: async (scene) => {
      await scene.stage.hosts.pause(fences.get(scene.load)!.leader, 'server');
      const pod = newPod(scene);
      pod.catch(() => undefined);
      await sleep(scene.stage.env.clock, scene.pauseMs, scene.signal);
      await fences.get(scene.load)!.shrink(scene.signal);
      return pod;
    },
    mend: async (scene) => {
      const fence = fences.get(scene.load)!;
      const atMs = scene.stage.env.clock.monotonic();
      await scene.stage.hosts.resume(fence.leader, 'server');
      return { latePods: await fence.late(atMs, scene.signal) };
    },
    clear: async ({ stage, load }) => {
      const fence = fences.get(load);
      if (!fence || fence.isRemoved) return;
      await stage.hosts.resume(fence.leader, 'server');
      await fence.remove(new AbortController().signal);
    },
  },
  {
    id: 'worker-lost',
    title: 'worker powered off',
    extraMs: { replacedMs: 10_000, endpointsGoneMs: 5_000 },
    watchMs: 0,
    via: (scene) => `worker-${1 + ((scene.repetition + 1) % 3)}`,
    strike: async (scene) => {
      const pods = workerPods(scene, worker(scene));
      pods.catch(() => undefined);
      await scene.stage.hosts.powerOff(worker(scene), scene.signal);
      return pods;
    },
    mend: async (scene) => {
      await scene.stage.hosts.powerOn(worker(scene), scene.signal);
      return undefined;
    },
  },
  {
    id: 'quorum-lost',
    title: 'two of three control planes powered off, then on',
    extraMs: { backMs: 3_000, unclear: 0, cachedReadsGoneMs: 4_000 },
    watchMs: 0,
    strike: async (scene) => {
      const { stage, load, signal } = scene;
      const { clock } = stage.env;
      const fromMs = clock.monotonic();
      await Promise.all(two(scene).map((name) => stage.hosts.powerOff(name, signal)));
      const found = await refusals(stage, signal);
      return { ...found, cachedReadsGoneMs: load.seen(fromMs, clock.monotonic()).cachedReadsGoneMs };
    },
    mend: async (scene) => {
      const { stage, signal } = scene;
      const [first, second] = two(scene);
      const fromMs = stage.env.clock.monotonic();
      await stage.hosts.powerOn(first, signal);
      const backMs = await writtenAgain(scene, fromMs);
      await stage.hosts.powerOn(second, signal);
      return { backMs };
    },
  },
  {
    id: 'first-server-replaced',
    title: 'the first server destroyed for good (address and etcd leader elsewhere), a new one joined',
    writesMs: [500, 500],
    throughout: true,
    watchMs: 1_000,
    prepare: async (scene) => {
      const gone = firstServer(scene);
      if (scene.status.leader !== gone) return;
      await scene.stage.moveEtcdLeader(others(scene, gone)[0]!, scene.status, scene.signal);
    },
    strike: async (scene) => {
      await scene.stage.tsukube(['host', 'destroy', firstServer(scene)], scene.signal);
      return undefined;
    },
    mend: async (scene) => {
      const numbers = controlPlanes(scene).map((name) => Number(name.replace('cp-', '')));
      const beganMs = scene.stage.env.clock.monotonic();
      await scene.stage.tsukube(['server', 'join', `cp-${Math.max(...numbers) + 1}`], scene.signal);
      return { joinedMs: scene.stage.env.clock.monotonic() - beganMs };
    },
  },
];

/** The oldest control plane that does not hold the address. */
function firstServer(scene: Scene): string {
  return others(scene, holder(scene))[0]!;
}
