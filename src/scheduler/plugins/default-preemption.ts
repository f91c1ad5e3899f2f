import type { Client } from '../../client/contract.ts';
import type { EventRecorder } from '../../client/event-recorder.ts';
import type { BoundedTasks } from '../../lib/bounded-tasks.ts';
import { rfc3339 } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { isReason } from '../../machinery/status.ts';
import type { Cycle, Diagnosis, PostFilterPlugin, PostFilterResult, Profile } from '../framework.ts';
import type { SchedulerMetrics } from '../metrics.ts';
import type { NominatedPods } from '../nominated-pods.ts';
import type { PodInfo } from '../pod-info.ts';
import { podReference } from '../pod-reference.ts';
import { patchPodStatus } from '../pod-status.ts';
import { type Candidate, findCandidate } from '../preemption.ts';

export interface DefaultPreemptionOptions {
  readonly client: Client;
  readonly env: Environment;
  readonly events: EventRecorder;
  readonly metrics: SchedulerMetrics;
  readonly nominated: NominatedPods;
  /** The profile whose filters say whether a node would do. */
  readonly profile: () => Profile;
  readonly pause: () => Promise<void>;
  readonly tasks: BoundedTasks;
  /** Puts a waiting pod next in line. */
  readonly activate: (key: string) => void;
}

/** Evicts pods of lower priority where that makes room, and promises the node to the pod. */
export function defaultPreemption(options: DefaultPreemptionOptions): PostFilterPlugin {
  return {
    name: 'DefaultPreemption',
    postFilter: async (cycle: Cycle, diagnosis: Diagnosis, signal: AbortSignal): Promise<PostFilterResult> => {
      const { nominated, pause, env } = options;
      options.metrics.preemptionAttempts.inc();
      const found = await findCandidate(cycle, diagnosis, {
        profile: options.profile(),
        nominated,
        random: () => env.random.next(),
        pause,
      });
      if (found.kind === 'ineligible') return { message: `preemption: ${found.message}` };
      if (found.kind === 'none') return { message: `preemption: ${found.message}`, nominatedNodeName: '' };
      const { candidate } = found;
      options.metrics.preemptionVictims.observe(candidate.victims.length);
      await options.tasks.room();
      options.tasks.start(() => evict(options, cycle.info, candidate, signal));
      return { message: '', nominatedNodeName: candidate.nodeName };
    },
  };
}

/** Victims' deletion events wake the pod; when evicting fails it is tried again at once. */
async function evict(
  options: DefaultPreemptionOptions,
  preemptor: PodInfo,
  candidate: Candidate,
  signal: AbortSignal,
): Promise<void> {
  const { nominated, env, activate } = options;
  try {
    for (const other of nominated.on(candidate.nodeName)) {
      if (other.priority >= preemptor.priority || other.key === preemptor.key) continue;
      nominated.delete(other.key);
      const now = rfc3339(env.clock.now());
      await patchPodStatus(options.client, other.pod, { nominatedNodeName: '' }, { now, signal });
      activate(other.key);
    }
    const alive = candidate.victims.filter((victim) => !victim.terminating);
    await Promise.all(alive.map((victim) => preempt(options, { preemptor, victim, candidate, signal })));
  } catch (error) {
    if (signal.aborted) return;
    env.log.warn('preemption failed', { pod: preemptor.key, node: candidate.nodeName, error: String(error) });
    activate(preemptor.key);
  }
}

interface Preempted {
  readonly preemptor: PodInfo;
  readonly victim: PodInfo;
  readonly candidate: Candidate;
  readonly signal: AbortSignal;
}

async function preempt(
  options: DefaultPreemptionOptions,
  { preemptor, victim, candidate, signal }: Preempted,
): Promise<void> {
  const { client, env, events } = options;
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'PreemptionByScheduler',
    message: `${preemptor.pod.spec.schedulerName}: preempting to accommodate a higher priority pod`,
  };
  await patchPodStatus(client, victim.pod, { condition }, { now: rfc3339(env.clock.now()), signal });
  const ref = { namespace: victim.namespace, name: victim.pod.metadata.name };
  try {
    await client.resource('pods').delete(ref, { preconditions: { uid: victim.uid }, signal });
  } catch (error) {
    if (!isReason(error, 'NotFound') && !isReason(error, 'Conflict')) throw error;
    return;
  }
  const message = `Preempted by pod ${preemptor.uid} on node ${candidate.nodeName}`;
  events.event(podReference(victim.pod), 'Normal', 'Preempted', message);
}
