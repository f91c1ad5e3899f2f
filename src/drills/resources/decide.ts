// What is to be done about Drills and DrillSchedules as they are. Pure.
import type { KubeObject } from '../../api/object.ts';
import type { Condition, DrillScheduleSpec, DrillScheduleStatus, DrillSpec, DrillStatus } from './definitions.ts';

export type DrillObject = KubeObject & { readonly spec: DrillSpec; readonly status?: DrillStatus };
export type ScheduleObject = KubeObject & { readonly spec: DrillScheduleSpec; readonly status?: DrillScheduleStatus };

export type Action =
  | { readonly do: 'start'; readonly drill: DrillObject }
  | { readonly do: 'plan'; readonly drill: DrillObject }
  /** The one that runs. */
  | { readonly do: 'abort'; readonly name: string }
  | { readonly do: 'finish'; readonly drill: DrillObject; readonly status: DrillStatus }
  /** Its turn has not come. */
  | { readonly do: 'wait'; readonly drill: DrillObject; readonly status: DrillStatus }
  /** Whether it can be followed; a Warning where it cannot. */
  | { readonly do: 'judge'; readonly schedule: ScheduleObject; readonly condition: Condition }
  | { readonly do: 'create'; readonly schedule: ScheduleObject; readonly name: string; readonly atMs: number }
  | { readonly do: 'remove'; readonly name: string };

export interface Seen {
  readonly drills: readonly DrillObject[];
  readonly schedules: readonly ScheduleObject[];
  /** Whose drill this controller runs. */
  readonly running: string | undefined;
  /** Who else breaks the cluster, in words. */
  readonly busy: string | undefined;
  readonly nowMs: number;
  /** Why a schedule cannot be read. */
  readonly unreadable: (schedule: string) => string | undefined;
  /** The first time of a schedule that can be read after a moment; undefined: there is none. */
  readonly next: (schedule: string, afterMs: number) => number | undefined;
}

export const SCHEDULE_LABEL = 'drills.tsukube.dev/schedule';
const DEFAULT_HISTORY = 3;
/** What was due longer ago than this while nobody looked is left out. */
const LATE_MS = 10 * 60_000;
const ENDED = new Set(['Succeeded', 'Failed', 'Aborted']);

export function decide(seen: Seen): readonly Action[] {
  return [...drillActions(seen), ...seen.schedules.flatMap((schedule) => [...scheduleActions(schedule, seen)])];
}

function* drillActions({ drills, running, busy }: Seen): Generator<Action> {
  const inOrder = drills.toSorted((a, b) => ageKey(a).localeCompare(ageKey(b)));
  let first = running;
  if (running !== undefined) {
    const own = drills.find(({ metadata }) => metadata.name === running);
    // One that was deleted is not to go on either.
    if (!own || own.spec.abort) yield { do: 'abort', name: running };
  }
  for (const drill of inOrder) {
    const { phase } = drill.status ?? {};
    if (ENDED.has(phase ?? '') || drill.metadata.name === running) continue;
    if (drill.spec.abort) {
      yield { do: 'finish', drill, status: { phase: 'Aborted', message: 'aborted before it began' } };
    } else if (phase === 'Running') {
      // Its controller is gone, and the watchdog has healed what it left.
      yield {
        do: 'finish',
        drill,
        status: { ...drill.status, phase: 'Failed', message: 'its controller was restarted' },
      };
    } else if (drill.spec.dryRun) {
      yield { do: 'plan', drill };
    } else if (first !== undefined || busy !== undefined) {
      const status = waits(first === undefined ? busy! : `Drill "${first}" runs`);
      if (drill.status?.message !== status.message) yield { do: 'wait', drill, status };
    } else {
      first = drill.metadata.name;
      yield { do: 'start', drill };
    }
  }
}

/** Nothing is broken twice at the same time. */
export const waits = (message: string): DrillStatus => ({ phase: 'Pending', reason: 'ClusterInUse', message });

function* scheduleActions(schedule: ScheduleObject, seen: Seen): Generator<Action> {
  const { drills, nowMs, next } = seen;
  const { name, creationTimestamp = '' } = schedule.metadata;
  const own = drills.filter(({ metadata }) => metadata.labels?.[SCHEDULE_LABEL] === name);
  const ended = own.filter(({ status }) => ENDED.has(status?.phase ?? ''));
  const { historyLimit = DEFAULT_HISTORY, suspend = false } = schedule.spec;
  const newestFirst = ended.toSorted((a, b) => ageKey(b).localeCompare(ageKey(a)));
  for (const drill of newestFirst.slice(historyLimit)) yield { do: 'remove', name: drill.metadata.name };
  const condition = ready(schedule, seen.unreadable(schedule.spec.schedule));
  const before = schedule.status?.conditions?.find(({ type }) => type === condition.type);
  if (!before || before.message !== condition.message || before.observedGeneration !== condition.observedGeneration) {
    yield { do: 'judge', schedule, condition };
  }
  if (condition.status === 'False') return;
  // Two at the same time would say nothing about either.
  if (suspend || own.length > ended.length) return;
  const sinceMs = Date.parse(schedule.status?.lastScheduleTime ?? creationTimestamp);
  const dueMs = due(schedule.spec.schedule, Math.max(sinceMs, nowMs - LATE_MS), nowMs, next);
  if (dueMs !== undefined) {
    yield { do: 'create', schedule, name: `${name}-${Math.floor(dueMs / 60_000)}`, atMs: dueMs };
  }
}

/** The reason and its words are a CronJob's. */
function ready({ metadata, spec }: ScheduleObject, problem: string | undefined): Condition {
  const base = { type: 'Ready', observedGeneration: metadata.generation ?? 0 };
  if (problem === undefined) return { ...base, status: 'True', reason: 'ScheduleParsed', message: '' };
  const message = `unparseable schedule: ${JSON.stringify(spec.schedule)} : ${problem}`;
  return { ...base, status: 'False', reason: 'UnparseableSchedule', message };
}

/** The last time between two moments; undefined: there is none. */
function due(schedule: string, afterMs: number, nowMs: number, next: Seen['next']): number | undefined {
  let found: number | undefined;
  for (let at = next(schedule, afterMs); at !== undefined && at <= nowMs; at = next(schedule, at)) found = at;
  return found;
}

const ageKey = ({ metadata }: KubeObject): string => `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
