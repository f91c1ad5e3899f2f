// What a Job's status may say and how it may change, as findings `field: message`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Job, JobSpec, JobStatus } from '../../api/generated/types.ts';
import { Tables } from '../../api/tables.ts';
import { strategyOf } from './strategies.ts';

const resource = new Tables().byKind('batch/v1', 'Job')!;
const scope = { resource, now: '2026-01-01T00:00:00Z', user: { username: 'u', groups: [] } };
const START = '2026-01-01T00:00:00Z';
const END = '2026-01-01T00:01:00Z';
const LATER = '2026-01-01T00:02:00Z';

const job = (status: JobStatus, spec: Partial<JobSpec> = {}): Job => ({
  metadata: { name: 'j', namespace: 'n', uid: 'u-1' },
  spec: { template: {}, ...spec } as JobSpec,
  status,
});
/** Conditions that are True, or with a minus before their type False. */
const are = (...types: string[]): Pick<JobStatus, 'conditions'> => ({
  conditions: types.map((type) => ({ type: type.replace('-', ''), status: type.startsWith('-') ? 'False' : 'True' })),
});

function said(old: JobStatus, now: JobStatus, spec: Partial<JobSpec> = {}): string[] {
  const found = strategyOf(resource).endpoints!.status!.validateUpdate!(job(now, spec), job(old, spec), scope);
  return found.map((f) => `${f.field}: ${f.message}`);
}

const COMPLETE: JobStatus = { ...are('SuccessCriteriaMet', 'Complete'), startTime: START, completionTime: END };
const FAILED: JobStatus = { ...are('FailureTarget', 'Failed'), startTime: START };
const INDEXED = { completionMode: 'Indexed', completions: 5, parallelism: 2, backoffLimitPerIndex: 1 } as const;
const at = (conditions: string): string => `status.conditions: Invalid value: ${conditions}`;

describe('what a status may not say', () => {
  const cases: readonly (readonly [what: string, now: JobStatus, spec: Partial<JobSpec>, findings: readonly string[]])[] = [
    ['counts below zero', { active: -1, succeeded: -1, failed: -1, ready: -1, terminating: -1 }, {}, [
      ...['active', 'succeeded', 'failed', 'ready', 'terminating'].map((f) => `status.${f}: Invalid value: -1: must be greater than or equal to 0`),
      'status.failed: Invalid value: -1: cannot decrease the failed counter',
      'status.succeeded: Invalid value: -1: cannot decrease the succeeded counter',
    ]],
    ['the same pod twice, or none', { uncountedTerminatedPods: { succeeded: ['a', '', 'a'], failed: ['a', ''] } }, {}, [
      'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
      'status.uncountedTerminatedPods.succeeded[2]: Duplicate value: "a"',
      'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
      'status.uncountedTerminatedPods.failed[1]: Invalid value: "": must not be empty',
    ]],
    ['complete and failed', { ...COMPLETE, ...are('SuccessCriteriaMet', 'Complete', 'Failed') }, {}, [
      at('cannot set SuccessCriteriaMet=True and Failed=true conditions'),
      at('cannot set Complete=True and Failed=true conditions'),
      at('cannot set Failed=True condition without the FailureTarget=true condition'),
    ]],
    ['complete and about to fail', { ...COMPLETE, ...are('SuccessCriteriaMet', 'Complete', 'FailureTarget') }, {}, [
      at('cannot set SuccessCriteriaMet=True and FailureTarget=true conditions'),
      at('cannot set Complete=True and FailureTarget=true conditions'),
    ]],
    ['a time of completion before that', { startTime: START, completionTime: END }, {}, [
      `status.completionTime: Invalid value: "${END}": cannot set completionTime when there is no Complete=True condition`,
    ]],
    ['completion without its time', { ...are('SuccessCriteriaMet', 'Complete'), startTime: START }, {}, [
      'status.completionTime: Required value: completionTime is required for Complete jobs',
    ]],
    ['completion before the start', { ...COMPLETE, startTime: LATER }, {}, [
      `status.completionTime: Invalid value: "${END}": must be equal to or after \`startTime\``,
    ]],
    ['failure at once', { ...are('Failed'), startTime: START }, {}, [
      at('cannot set Failed=True condition without the FailureTarget=true condition'),
    ]],
    ['completion at once', { ...COMPLETE, ...are('Complete') }, {}, [
      at('cannot set Complete=True condition without the SuccessCriteriaMet=true condition'),
    ]],
    ['completion at once where a policy says when', { ...COMPLETE, ...are('Complete') }, { ...INDEXED, successPolicy: { rules: [] } }, [
      at('cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True'),
      at('cannot set Complete=True condition without the SuccessCriteriaMet=true condition'),
    ]],
    ['an end with pods', { ...COMPLETE, active: 2, terminating: 1, uncountedTerminatedPods: { failed: ['a'] } }, {}, [
      'status.active: Invalid value: 2: active>0 is invalid for finished job',
      'status.uncountedTerminatedPods: Invalid value: {"failed":["a"]}: must be empty for finished job',
      'status.terminating: Invalid value: 1: terminating>0 is invalid for finished job',
    ]],
    ['an end without a start', { ...are('FailureTarget', 'Failed') }, { suspend: true }, [
      'status.startTime: Required value: startTime is required for finished job',
    ]],
    ['indexes that there are not', { completedIndexes: '1-7', failedIndexes: '3,2' }, INDEXED, [
      'status.completedIndexes: Invalid value: "1-7": error parsing completedIndexes: too large index: "7"',
      'status.failedIndexes: Invalid value: "3,2": error parsing failedIndexes: non-increasing order, previous: 3, current: 2',
    ]],
    ['indexes of a Job without', { completedIndexes: '1', failedIndexes: '' }, { completions: 3 }, [
      'status.completedIndexes: Invalid value: "1": cannot set non-empty completedIndexes when non-indexed completion mode',
      'status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
    ]],
    ['an index that has succeeded and failed', { completedIndexes: '0,2-4', failedIndexes: '1,3-4' }, INDEXED, [
      'status.failedIndexes: Invalid value: "1,3-4": failedIndexes and completedIndexes overlap at index: 3',
    ]],
    ['more ready pods than there are', { active: 1, ready: 2 }, {}, [
      'status.ready: Invalid value: 2: cannot set more ready pods than active',
    ]],
  ]; // biome-ignore format: a table
  for (const [what, now, spec, findings] of cases) test(what, () => assert.deepEqual(said({}, now, spec), findings));
});

test('what every Job goes through may be said', () => {
  const running: JobStatus = { startTime: START, active: 2, ready: 1, terminating: 0, uncountedTerminatedPods: {} };
  const ending: JobStatus = {
    ...running,
    ...are('SuccessCriteriaMet'),
    active: 0,
    ready: 0,
    succeeded: 2,
    terminating: 1,
  };
  const done: JobStatus = { ...ending, ...COMPLETE, terminating: 0 };
  for (const [old, now] of [[{}, running], [running, ending], [ending, done], [done, done]] as const) {
    assert.deepEqual(said(old, now), []);
  } // biome-ignore format: a table
  assert.deepEqual(said({}, FAILED), []);
  assert.deepEqual(said({}, { ...COMPLETE, startTime: END.replace('Z', '.7Z') }), []);
  const apart: JobStatus = { completedIndexes: '0,3-4', failedIndexes: '1-2' };
  assert.deepEqual(said({}, apart, INDEXED), []);
  // One that wants nothing is complete though it never began.
  const { startTime: _, ...unbegun } = COMPLETE;
  assert.deepEqual(said({}, unbegun, { suspend: true, completions: 0 }), []);
});

describe('what a status may not take back', () => {
  test('an end, and what led to it', () => {
    const disabled = (type: string): string => at(`cannot disable the terminal ${type}=True condition`);
    assert.deepEqual(said(FAILED, { startTime: START }), [disabled('Failed'), disabled('FailureTarget')]);
    assert.deepEqual(said(COMPLETE, { ...are('SuccessCriteriaMet', '-Complete'), startTime: START }), [
      disabled('Complete'),
    ]);
    assert.deepEqual(said(are('SuccessCriteriaMet'), {}), [at('cannot disable the SuccessCriteriaMet=True condition')]);
    const older: JobStatus = { ...COMPLETE, ...are('Complete') };
    assert.deepEqual(said(older, COMPLETE), [
      at('cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions'),
    ]);
  });

  test('what was counted, unless an Indexed Job is made smaller', () => {
    const counted: JobStatus = { succeeded: 4, failed: 2 };
    const fewer: JobStatus = { succeeded: 3, failed: 1 };
    const failed = 'status.failed: Invalid value: 1: cannot decrease the failed counter';
    const succeeded = 'status.succeeded: Invalid value: 3: cannot decrease the succeeded counter';
    assert.deepEqual(said(counted, fewer), [failed, succeeded]);
    assert.deepEqual(said(counted, fewer, INDEXED), [failed, succeeded]);
    assert.deepEqual(said(counted, fewer, { ...INDEXED, parallelism: 5 }), [failed]);
  });

  test('its times, unless it is or was suspended', () => {
    const immutable = 'field is immutable for unsuspended job once set';
    const began: JobStatus = { startTime: START };
    assert.deepEqual(said(began, { startTime: LATER }), [`status.startTime: Invalid value: "${LATER}": ${immutable}`]);
    assert.deepEqual(said(began, {}), [`status.startTime: Invalid value: "null": ${immutable}`]);
    assert.deepEqual(said(began, { startTime: '2026-01-01T00:00:00.9Z' }), []);
    assert.deepEqual(said(began, {}, { suspend: true }), []);
    assert.deepEqual(said({ ...began, ...are('Suspended') }, { startTime: LATER, ...are('-Suspended') }), []);
    assert.equal(said({ ...began, ...are('Suspended') }, { startTime: LATER, ...are('Suspended') }).length, 1);
    assert.deepEqual(said(COMPLETE, { ...COMPLETE, completionTime: LATER }), [
      `status.completionTime: Invalid value: "${LATER}": field is immutable`,
    ]);
  });
});

test('what was wrong before keeps nobody from writing the rest', () => {
  const wrong: JobStatus = { ...are('Failed'), active: 2, ready: 3, completedIndexes: '9', terminating: 1 };
  assert.deepEqual(said(wrong, { ...wrong, failed: 1, ...are('Failed', 'Other') }), []);
  const early: JobStatus = { ...COMPLETE, startTime: LATER };
  assert.deepEqual(said(early, { ...early, startTime: LATER.replace('Z', '.5Z') }), []);
  assert.deepEqual(said(wrong, { ...wrong, active: 1 }), [
    'status.active: Invalid value: 1: active>0 is invalid for finished job',
    'status.ready: Invalid value: 3: cannot set more ready pods than active',
  ]);
});
