// What a Job's status may say, and how it may change (KEP-4368): since a Job may be managed by somebody else, everybody else
// relies on this. A rule has a say only when something that it is about has changed: a status that was wrong before, or that a
// change of the spec has made wrong, does not keep its controller from writing the rest.
import type { Job, JobStatus } from '../../api/generated/types.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning, sameValue } from './equality.ts';
import { duplicate, FIELD_IMMUTABLE, invalidValue, nonNegative, refusedValue, required } from './field-errors.ts';
import { countIndexes, indexInterval } from './validation/jobs.ts';

/** What the rules look at. */
interface Facts {
  readonly complete: boolean;
  readonly failed: boolean;
  readonly finished: boolean;
  readonly failureTarget: boolean;
  readonly criteriaMet: boolean;
  readonly active: number;
  readonly ready: number | undefined;
  readonly terminating: number | undefined;
  readonly completedIndexes: string;
  readonly failedIndexes: string | undefined;
  readonly startTime: string | undefined;
  readonly completionTime: string | undefined;
  readonly uncounted: JobStatus['uncountedTerminatedPods'];
}

const has = ({ status }: Job, type: string, value = 'True'): boolean =>
  status?.conditions?.some((c) => c.type === type && c.status === value) ?? false;

function factsOf(job: Job): Facts {
  const { status } = job;
  const [complete, failed] = [has(job, 'Complete'), has(job, 'Failed')];
  return {
    ...{ complete, failed, finished: complete || failed },
    ...{ failureTarget: has(job, 'FailureTarget'), criteriaMet: has(job, 'SuccessCriteriaMet') },
    ...{ active: status?.active ?? 0, ready: status?.ready, terminating: status?.terminating },
    ...{ completedIndexes: status?.completedIndexes ?? '', failedIndexes: status?.failedIndexes },
    ...{ startTime: status?.startTime, completionTime: status?.completionTime },
    uncounted: status?.uncountedTerminatedPods,
  };
}

/** Times are told in whole seconds. */
const second = (time: string): number => Math.floor(Date.parse(time) / 1000);
const sameTime = (a: string | undefined, b: string | undefined): boolean =>
  a === undefined || b === undefined ? a === b : second(a) === second(b);

const SAME: { readonly [fact in keyof Facts]?: (a: never, b: never) => boolean } = {
  startTime: sameTime,
  completionTime: sameTime,
  uncounted: sameMeaning,
};

/** `now` and `job` are the new ones. */
interface Rule {
  /** It has a say when one of these has changed. */
  readonly about: readonly (keyof Facts)[];
  find(now: Facts, job: Job, old: Job): FieldError | false | undefined;
}

const conditions = (detail: string): FieldError => refusedValue('status.conditions', detail);
const indexed = ({ spec }: Job): boolean => spec.completionMode === 'Indexed';

const RULES: readonly Rule[] = [
  {
    about: ['complete', 'failed'],
    find: (now) => now.complete && now.failed && conditions('cannot set Complete=True and Failed=true conditions'),
  },
  {
    about: ['complete', 'failureTarget'],
    find: (now) =>
      now.complete && now.failureTarget && conditions('cannot set Complete=True and FailureTarget=true conditions'),
  },
  {
    about: ['complete', 'completionTime'],
    find: ({ complete, completionTime }) => {
      const text = 'cannot set completionTime when there is no Complete=True condition';
      if (completionTime !== undefined) return !complete && invalidValue('status.completionTime', completionTime, text);
      return complete && required('status.completionTime', 'completionTime is required for Complete jobs');
    },
  },
  {
    about: ['startTime', 'completionTime'],
    find: ({ startTime, completionTime }) =>
      startTime !== undefined &&
      completionTime !== undefined &&
      second(completionTime) < second(startTime) &&
      invalidValue('status.completionTime', completionTime, 'must be equal to or after `startTime`'),
  },
  {
    about: ['failed', 'failedIndexes'],
    find: (now) =>
      now.failed &&
      !now.failureTarget &&
      conditions('cannot set Failed=True condition without the FailureTarget=true condition'),
  },
  {
    about: ['complete', 'criteriaMet'],
    find: (now) =>
      now.complete &&
      !now.criteriaMet &&
      conditions('cannot set Complete=True condition without the SuccessCriteriaMet=true condition'),
  },
  {
    about: ['finished', 'active'],
    find: ({ finished, active }) =>
      finished && active > 0 && invalidValue('status.active', active, 'active>0 is invalid for finished job'),
  },
  {
    about: ['finished', 'startTime'],
    find: ({ finished, startTime }, { spec }) =>
      // One that is suspended and wants nothing is complete without ever having been started.
      !(spec.suspend && spec.completions === 0) &&
      finished &&
      startTime === undefined &&
      required('status.startTime', 'startTime is required for finished job'),
  },
  {
    about: ['finished', 'uncounted'],
    find: ({ finished, uncounted }) =>
      finished &&
      (uncounted?.succeeded?.length ?? 0) + (uncounted?.failed?.length ?? 0) > 0 &&
      invalidValue('status.uncountedTerminatedPods', uncounted, 'must be empty for finished job'),
  },
  {
    about: ['completedIndexes'],
    find: ({ completedIndexes: indexes }, { spec }) => {
      const found = spec.completions === undefined ? 0 : countIndexes(indexes, spec.completions);
      const text = `error parsing completedIndexes: ${found}`;
      return typeof found === 'string' && invalidValue('status.completedIndexes', indexes, text);
    },
  },
  {
    about: ['failedIndexes'],
    find: ({ failedIndexes: indexes }, { spec }) => {
      if (indexes === undefined || spec.completions === undefined || spec.backoffLimitPerIndex === undefined) return;
      const found = countIndexes(indexes, spec.completions);
      const text = `error parsing failedIndexes: ${found}`;
      return typeof found === 'string' && invalidValue('status.failedIndexes', indexes, text);
    },
  },
  {
    about: ['completedIndexes'],
    find: ({ completedIndexes: indexes }, job) => {
      const text = 'cannot set non-empty completedIndexes when non-indexed completion mode';
      return indexes !== '' && !indexed(job) && invalidValue('status.completedIndexes', indexes, text);
    },
  },
  {
    about: ['failedIndexes'],
    find: ({ failedIndexes: indexes }, { spec }) => {
      const text = 'cannot set non-null failedIndexes when backoffLimitPerIndex is null';
      const unlimited = spec.backoffLimitPerIndex === undefined;
      return indexes !== undefined && unlimited && invalidValue('status.failedIndexes', indexes, text);
    },
  },
  {
    about: ['failedIndexes', 'completedIndexes'],
    find: ({ failedIndexes, completedIndexes }, { spec: { completions } }) => {
      if (failedIndexes === undefined || completions === undefined) return;
      const index = overlap(completedIndexes, failedIndexes, completions);
      const text = `failedIndexes and completedIndexes overlap at index: ${index}`;
      return index !== undefined && invalidValue('status.failedIndexes', failedIndexes, text);
    },
  },
  {
    about: ['finished', 'terminating'],
    find: ({ finished, terminating = 0 }) =>
      finished &&
      terminating > 0 &&
      invalidValue('status.terminating', terminating, 'terminating>0 is invalid for finished job'),
  },
  {
    about: ['ready', 'active'],
    find: ({ ready = 0, active }) =>
      ready > active && invalidValue('status.ready', ready, 'cannot set more ready pods than active'),
  },
];

/** The first index that both lists name; what is no interval is none of this. */
function overlap(completed: string, failed: string, completions: number): number | undefined {
  const intervals = (text: string) =>
    text.split(',').flatMap((part) => {
      const interval = indexInterval(part, completions);
      return typeof interval === 'string' ? [] : [interval];
    });
  const [left, right] = [intervals(completed), intervals(failed)];
  for (let i = 0, k = 0; i < left.length && k < right.length; ) {
    const [a, b] = [left[i]!, right[k]!];
    if (a[0] <= b[1] && b[0] <= a[1]) return Math.max(a[0], b[0]);
    if (a[0] <= b[0]) i++;
    else k++;
  }
  return undefined;
}

const COUNTS = ['active', 'succeeded', 'failed', 'ready', 'terminating'] as const;

/** What holds of every status, whatever has changed. */
function always(job: Job, { failed, failureTarget, complete, criteriaMet }: Facts): FieldError[] {
  const errors = COUNTS.flatMap((field) => nonNegative(`status.${field}`, job.status?.[field]));
  const seen = new Set<string>();
  for (const list of ['succeeded', 'failed'] as const) {
    for (const [i, uid] of (job.status?.uncountedTerminatedPods?.[list] ?? []).entries()) {
      const at = `status.uncountedTerminatedPods.${list}[${i}]`;
      if (uid === '') errors.push(invalidValue(at, uid, 'must not be empty'));
      else if (seen.has(uid)) errors.push(duplicate(at, uid));
      seen.add(uid);
    }
  }
  if (criteriaMet && failed) errors.push(conditions('cannot set SuccessCriteriaMet=True and Failed=true conditions'));
  if (criteriaMet && failureTarget) {
    errors.push(conditions('cannot set SuccessCriteriaMet=True and FailureTarget=true conditions'));
  }
  if (job.spec.successPolicy && !criteriaMet && complete) {
    const text = 'cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True';
    errors.push(conditions(text));
  }
  return errors;
}

const TERMINAL = ['Failed', 'Complete', 'FailureTarget'];

/** What was said and may not be taken back. */
function kept(job: Job, old: Job, now: Facts, before: Facts): FieldError[] {
  const errors = TERMINAL.filter((type) => has(old, type) && !has(job, type)).map((type) =>
    conditions(`cannot disable the terminal ${type}=True condition`),
  );
  // Of an Indexed Job whose completions go with its parallelism fewer may be wanted than have succeeded.
  const scalable = indexed(job) && job.spec.completions === job.spec.parallelism;
  for (const field of ['failed', ...(scalable ? [] : (['succeeded'] as const))] as const) {
    const count = job.status?.[field] ?? 0;
    const text = `cannot decrease the ${field} counter`;
    if (count < (old.status?.[field] ?? 0)) errors.push(invalidValue(`status.${field}`, count, text));
  }
  const { completionTime, startTime } = now;
  const ended = completionTime !== undefined && before.completionTime !== undefined;
  if (ended && !sameTime(completionTime, before.completionTime)) {
    errors.push(invalidValue('status.completionTime', completionTime, FIELD_IMMUTABLE));
  }
  // One that goes on after it was suspended starts anew.
  const free = job.spec.suspend || (has(old, 'Suspended') && has(job, 'Suspended', 'False'));
  if (!free && before.startTime !== undefined && !sameTime(startTime, before.startTime)) {
    errors.push(invalidValue('status.startTime', startTime, 'field is immutable for unsuspended job once set'));
  }
  if (before.criteriaMet && !now.criteriaMet) {
    errors.push(conditions('cannot disable the SuccessCriteriaMet=True condition'));
  }
  if (before.complete && !before.criteriaMet && now.criteriaMet) {
    errors.push(conditions('cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions'));
  }
  return errors;
}

export function validateJobStatusUpdate(job: Job, old: Job): FieldError[] {
  const [now, before] = [factsOf(job), factsOf(old)];
  const changed = (fact: keyof Facts): boolean =>
    !((SAME[fact] ?? sameValue) as (a: unknown, b: unknown) => boolean)(now[fact], before[fact]);
  const found = RULES.filter((rule) => rule.about.some(changed)).map((rule) => rule.find(now, job, old));
  return [
    ...always(job, now),
    ...found.filter((error) => error !== false && error !== undefined),
    ...kept(job, old, now, before),
  ];
}
