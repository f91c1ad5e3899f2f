// How what runs of a pod is ended: one container, or all of them in their order.
import type { Container, Pod } from '../../api/generated/types.ts';
import type { ContainerToKill } from './decide.ts';
import { graceSeconds } from './grace.ts';
import type { ObservedPod } from './observed.ts';
import { everyContainer, sidecars } from './restart.ts';
import type { WorkerTools } from './worker-tools.ts';

export interface Ending {
  readonly tools: Pick<WorkerTools, 'runtime' | 'env'>;
  readonly pod: Pod;
  /** The pod is gone from the API: nobody is told. */
  readonly removed: boolean;
  readonly podIP: string;
  readonly signal: AbortSignal;
}

interface Kill {
  readonly container: Container;
  readonly id: string;
  readonly graceSeconds: number;
  readonly message: string;
}

function end({ tools, pod, removed, podIP, signal }: Ending, kill: Kill): Promise<void> {
  return tools.runtime.killContainer({ ...kill, pod: removed ? undefined : pod, podIP }, signal);
}

export async function killContainer(ending: Ending, { name, id, reason, message }: ContainerToKill): Promise<void> {
  const container = everyContainer(ending.pod).find((c) => c.name === name);
  if (!container) return;
  const probe =
    reason === 'livenessProbe'
      ? container.livenessProbe
      : reason === 'startupProbe'
        ? container.startupProbe
        : undefined;
  const seconds = probe?.terminationGracePeriodSeconds ?? graceSeconds(ending.pod);
  await end(ending, { container, id, graceSeconds: seconds, message });
}

/** Ends all containers: first those that do the work, then the sidecars in reverse order, all within the grace period. */
export async function killAll(ending: Ending, observed: ObservedPod): Promise<void> {
  const { pod, tools } = ending;
  const { clock } = tools.env;
  const seconds = graceSeconds(pod);
  const begunMs = clock.monotonic();
  const order = sidecars(pod).map((c) => c.name);
  const running = observed.containers.filter((c) => c.state === 'running' || c.state === 'unknown');
  const stop = async (name: string, id: string): Promise<void> => {
    const container = everyContainer(pod).find((c) => c.name === name) ?? { name };
    const leftSeconds = Math.max(0, seconds - Math.floor((clock.monotonic() - begunMs) / 1000));
    await end(ending, { container, id, graceSeconds: leftSeconds, message: '' });
  };
  await Promise.all(running.filter((c) => !order.includes(c.name)).map((c) => stop(c.name, c.id)));
  for (const name of order.toReversed()) {
    for (const container of running.filter((c) => c.name === name)) await stop(name, container.id);
  }
}
