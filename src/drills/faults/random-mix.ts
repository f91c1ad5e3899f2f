// A drill by chance, from a seed: one fault after another, never more hosts at the same time than the cluster is to bear. Pure.
import { ETCD_PEER_PORT } from '../../cluster/ha/topology.ts';
import { type Random, seededRandom } from '../../lib/random.ts';
import type { Drill, Step } from './drill.ts';
import type { Fault, Target } from './fault.ts';

/** What may be broken at the same moment. */
export interface BlastRadius {
  readonly controlPlanes: number;
  readonly workers: number;
}

export interface RandomMix {
  readonly seed: number;
  readonly durationMs: number;
  readonly radius: BlastRadius;
  readonly controlPlanes: readonly string[];
  readonly workers: readonly string[];
}

type Role = 'control-plane' | 'worker';

/** Each for one host; how long it lasts at most, 0: it heals by itself after this kind's settling time. */
const KINDS: readonly { readonly role: Role; readonly longestMs: number; readonly fault: (on: Target) => Fault }[] = [
  { role: 'control-plane', longestMs: 0, fault: (on) => ({ kind: 'kill', on, component: 'server' }) },
  { role: 'control-plane', longestMs: 0, fault: (on) => ({ kind: 'kill', on, component: 'etcd' }) },
  { role: 'control-plane', longestMs: 0, fault: (on) => ({ kind: 'kill', on, component: 'haproxy' }) },
  { role: 'control-plane', longestMs: 6_000, fault: (on) => ({ kind: 'pause', on, component: 'server' }) },
  { role: 'control-plane', longestMs: 6_000, fault: (on) => ({ kind: 'pause', on, component: 'etcd' }) },
  { role: 'control-plane', longestMs: 8_000, fault: (on) => ({ kind: 'unplug', on }) },
  { role: 'control-plane', longestMs: 8_000, fault: (on) => ({ kind: 'power-off', on }) },
  { role: 'control-plane', longestMs: 6_000, fault: (on) => ({ kind: 'loss', on, percent: 20 }) },
  { role: 'control-plane', longestMs: 6_000, fault: (on) => ({ kind: 'slow-disk', on, percent: 60 }) },
  {
    role: 'control-plane',
    longestMs: 6_000,
    fault: (on) => ({ kind: 'partition', from: on, to: 'others', ports: [ETCD_PEER_PORT] }),
  },
  { role: 'worker', longestMs: 0, fault: (on) => ({ kind: 'kill', on, component: 'agent' }) },
  { role: 'worker', longestMs: 0, fault: (on) => ({ kind: 'kill', on, component: 'containerd' }) },
  { role: 'worker', longestMs: 5_000, fault: (on) => ({ kind: 'pause', on, component: 'agent' }) },
  { role: 'worker', longestMs: 8_000, fault: (on) => ({ kind: 'unplug', on }) },
  { role: 'worker', longestMs: 8_000, fault: (on) => ({ kind: 'power-off', on }) },
];

/** Links and rules of several faults are healed together: only one of these at a time. */
const SHARED: readonly Fault['kind'][] = ['partition', 'loss'];
/** After its fault a host counts as broken for so long: it starts again, and catches up. */
const SETTLE_MS = 8_000;
const LEAST_MS = 1_500;
const BETWEEN_MS = 3_000;

export function randomMix(mix: RandomMix): Drill {
  const random = seededRandom(mix.seed);
  const steps: Step[] = [];
  const busy: { readonly role: Role; readonly host: string; readonly kind: Fault['kind']; readonly untilMs: number }[] =
    [];
  for (let atMs = 0; atMs < mix.durationMs; atMs += Math.round(BETWEEN_MS * (0.3 + random.next()))) {
    const now = busy.filter(({ untilMs }) => untilMs > atMs);
    const { role, longestMs, fault: make } = pick(random, KINDS);
    const limit = role === 'worker' ? mix.radius.workers : mix.radius.controlPlanes;
    const hosts = role === 'worker' ? mix.workers : mix.controlPlanes;
    if (now.filter((one) => one.role === role).length >= limit) continue;
    const free = hosts.filter((name) => !now.some(({ host }) => host === name));
    if (free.length === 0) continue;
    const host = pick(random, free);
    const fault = make({ hosts: [host] });
    if (SHARED.includes(fault.kind) && now.some(({ kind }) => kind === fault.kind)) continue;
    const left = mix.durationMs - atMs;
    const forMs = longestMs === 0 ? 0 : Math.min(left, Math.round(LEAST_MS + random.next() * (longestMs - LEAST_MS)));
    steps.push({ fault, atMs, ...(forMs > 0 && { forMs }) });
    busy.push({ role, host, kind: fault.kind, untilMs: atMs + forMs + SETTLE_MS });
  }
  return {
    name: 'random',
    title: `faults by chance, seed ${mix.seed}`,
    steps,
    objective: 'writes<6s,service<6s,recover<90s',
  };
}

function pick<T>(random: Random, all: readonly T[]): T {
  return all[Math.floor(random.next() * all.length)]!;
}
