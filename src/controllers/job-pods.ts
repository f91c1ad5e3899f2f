// Pods of a Job: how they are made, how they are told apart, when they have ended. Pure.
import type { Container, EnvVar, Job, Pod } from '../api/generated/types.ts';
import { hasFinalizer, isTerminating } from '../machinery/meta.ts';
import { podCondition } from '../machinery/pods.ts';
import { COMPLETION_INDEX } from './job-indexes.ts';
import { podFromTemplate } from './pod-ownership.ts';

export const JOB = { apiVersion: 'batch/v1', kind: 'Job' } as const;

/** A pod keeps it until the Job has counted how the pod ended. */
export const TRACKING = 'batch.kubernetes.io/job-tracking';

const FAILURE_COUNT = 'batch.kubernetes.io/job-index-failure-count';
const IGNORED_FAILURE_COUNT = 'batch.kubernetes.io/job-index-ignored-failure-count';

export interface NewPod {
  /** Only for an Indexed Job. */
  readonly index?: number;
  /** How often the index has failed so far, and how often that was ignored; only with backoffLimitPerIndex. */
  readonly failures?: { readonly counted: number; readonly ignored: number };
}

export const isIndexed = (job: Job): boolean => job.spec.completionMode === 'Indexed';
export const isSuspended = (job: Job): boolean => job.spec.suspend === true;
export const isTracked = (pod: Pod): boolean => hasFinalizer(pod, TRACKING);

export function jobPod(job: Job, { index, failures }: NewPod): Pod {
  const pod = podFromTemplate(JOB, job, job.spec.template);
  const finalizers = [...(pod.metadata.finalizers ?? []), TRACKING];
  if (index === undefined) return { ...pod, metadata: { ...pod.metadata, finalizers } };
  const text = String(index);
  const annotations = {
    ...pod.metadata.annotations,
    [COMPLETION_INDEX]: text,
    ...(failures && { [FAILURE_COUNT]: String(failures.counted) }),
    ...(failures && failures.ignored > 0 && { [IGNORED_FAILURE_COUNT]: String(failures.ignored) }),
  };
  const { containers, initContainers } = pod.spec;
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      generateName: `${job.metadata.name}-${text}-`,
      labels: { ...pod.metadata.labels, [COMPLETION_INDEX]: text },
      annotations,
      finalizers,
    },
    spec: {
      ...pod.spec,
      hostname: `${job.metadata.name}-${text}`,
      containers: containers.map(withIndex),
      ...(initContainers && { initContainers: initContainers.map(withIndex) }),
    },
  };
}

const INDEX_VARIABLE: EnvVar = {
  name: 'JOB_COMPLETION_INDEX',
  valueFrom: { fieldRef: { fieldPath: `metadata.labels['${COMPLETION_INDEX}']` } },
};

function withIndex(container: Container): Container {
  const env = container.env ?? [];
  return env.some(({ name }) => name === INDEX_VARIABLE.name)
    ? container
    : { ...container, env: [...env, INDEX_VARIABLE] };
}

/** How often the pod's index had failed before this pod was made. */
export function failuresBefore(pod: Pod): { counted: number; ignored: number } {
  const read = (key: string): number => Number(pod.metadata.annotations?.[key] ?? 0) || 0;
  return { counted: read(FAILURE_COUNT), ignored: read(IGNORED_FAILURE_COUNT) };
}

/** Pods are replaced only when they have failed for good, not while they terminate. */
export function replacesOnlyFailed(job: Job): boolean {
  return job.spec.podReplacementPolicy === 'Failed' || job.spec.podFailurePolicy !== undefined;
}

/** Whether the pod counts as failed. */
export function isFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return !replacesOnlyFailed(job) && isTerminating(pod) && pod.status?.phase !== 'Succeeded';
}

/** When the pod ended, as well as it can be told. */
export function finishedAtMs(pod: Pod, nowMs: number): number {
  const ends = (pod.status?.containerStatuses ?? []).flatMap((one) => one.state?.terminated?.finishedAt ?? []);
  if (ends.length > 0) return Math.max(...ends.map((text) => Date.parse(text)));
  // A pod that never ran, and was refused or evicted, says nothing else.
  const { deletionTimestamp, creationTimestamp } = pod.metadata;
  const text = podCondition(pod, 'Ready')?.lastTransitionTime ?? deletionTimestamp ?? creationTimestamp;
  return text === undefined ? nowMs : Date.parse(text);
}
