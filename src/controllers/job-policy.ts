// What a Job's policies say of failed pods and of succeeded indexes (batch/v1 PodFailurePolicy, SuccessPolicy). Pure.
import type { Job, Pod, PodFailurePolicyRule } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { parseIndexes } from './job-indexes.ts';

export interface PodFailure {
  readonly action: PodFailurePolicyRule['action'] | undefined;
  /** Why the whole Job fails; only with FailJob. */
  readonly message?: string;
}

/** The first rule that the failed pod matches decides. */
export function judgeFailure(job: Job, pod: Pod): PodFailure {
  for (const [index, rule] of (job.spec.podFailurePolicy?.rules ?? []).entries()) {
    const why = exitCodeMatch(rule, pod) ?? conditionMatch(rule, pod);
    if (why === undefined) continue;
    const message = `${why} matching ${rule.action} rule at index ${index}`;
    return rule.action === 'FailJob' ? { action: rule.action, message } : { action: rule.action };
  }
  return { action: undefined };
}

function exitCodeMatch({ onExitCodes }: PodFailurePolicyRule, pod: Pod): string | undefined {
  if (!onExitCodes) return undefined;
  const { containerName, operator, values } = onExitCodes;
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  for (const { name, state } of statuses) {
    const exitCode = state?.terminated?.exitCode ?? 0;
    if (exitCode === 0 || (containerName !== undefined && containerName !== name)) continue;
    if (values.includes(exitCode) === (operator === 'In')) {
      return `Container ${name} for pod ${keyOf(pod)} failed with exit code ${exitCode}`;
    }
  }
  return undefined;
}

function conditionMatch({ onPodConditions }: PodFailurePolicyRule, pod: Pod): string | undefined {
  const found = (pod.status?.conditions ?? []).find((condition) =>
    onPodConditions?.some(({ type, status = 'True' }) => type === condition.type && status === condition.status),
  );
  return found && `Pod ${keyOf(pod)} has condition ${found.type}`;
}

/** Why the Job counts as successful though not every index has succeeded; undefined while it does not. */
export function successPolicyMet(job: Job, succeeded: ReadonlySet<number>): string | undefined {
  for (const [at, rule] of (job.spec.successPolicy?.rules ?? []).entries()) {
    const named = rule.succeededIndexes === undefined ? undefined : indexesOf(rule.succeededIndexes, job);
    const counted = named ? [...named].filter((index) => succeeded.has(index)).length : succeeded.size;
    const wanted = rule.succeededCount ?? named?.size;
    if (wanted !== undefined && counted >= wanted) return `Matched rules at index ${at}`;
  }
  return undefined;
}

const indexesOf = (text: string, job: Job): ReadonlySet<number> => parseIndexes(text, job.spec.completions ?? 0);
