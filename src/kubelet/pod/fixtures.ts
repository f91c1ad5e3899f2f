// Pods and what the runtime has of them, for tests.
import type { Container, Pod, PodSpec } from '../../api/generated/types.ts';
import type { Verdicts } from './decide.ts';
import type { ObservedContainer, ObservedPod, ObservedSandbox } from './observed.ts';
import { containerHash } from './restart.ts';

export const NOW_MS = Date.UTC(2026, 0, 1, 12);

export function aPod(spec: Partial<PodSpec> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    metadata: { name: 'web', namespace: 'shop', uid: 'u-1', generation: 1, ...metadata },
    spec: { containers: [aContainer('main')], restartPolicy: 'Always', ...spec },
  };
}

export function aContainer(name: string, more: Partial<Container> = {}): Container {
  return { name, image: `${name}:1`, ...more };
}

export function seen(name: string, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: `id-${name}`,
    name,
    sandboxId: 's-0',
    state: 'running',
    createdAtMs: NOW_MS - 60_000,
    startedAtMs: NOW_MS - 59_000,
    finishedAtMs: 0,
    exitCode: 0,
    reason: '',
    message: '',
    image: `${name}:1`,
    imageId: `sha256:${name}`,
    restartCount: 0,
    hash: containerHash(aContainer(name)),
    logPath: '',
    ...more,
  };
}

/** One that has ended. */
export function over(name: string, exitCode: number, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return seen(name, { state: 'exited', exitCode, finishedAtMs: NOW_MS - 1000, ...more });
}

export function aSandbox(more: Partial<ObservedSandbox> = {}): ObservedSandbox {
  return {
    id: 's-0',
    attempt: 0,
    ready: true,
    createdAtMs: NOW_MS - 61_000,
    hostNetwork: false,
    ips: ['10.0.0.7'],
    ...more,
  };
}

export function observed(
  containers: readonly ObservedContainer[] = [],
  sandboxes: readonly ObservedSandbox[] = [aSandbox()],
): ObservedPod {
  return { uid: 'u-1', name: 'web', namespace: 'shop', sandboxes, containers };
}

export const NO_VERDICTS: Verdicts = { liveness: () => 'unknown', startup: () => 'unknown' };
