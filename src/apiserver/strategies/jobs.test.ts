// What may be said of a Job's selector and labels, and what may change of it, as findings `field: message`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode } from '../../api/codec.ts';
import { applyDefaults } from '../../api/defaults.ts';
import type { CronJob, Job } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import { strategyOf } from './strategies.ts';
import { countIndexes } from './validation/jobs.ts';

const tables = new Tables();

interface Fields {
  readonly [key: string]: unknown;
}

function rowOf(kind: string) {
  const row = tables.byKind('batch/v1', kind)!;
  return {
    row,
    strategy: strategyOf(row),
    scope: { resource: row, now: '2026-01-01T00:00:00Z', user: { username: 'u', groups: [] } },
  };
}

function decoded<T extends KubeObject>(kind: string, spec: Fields, status?: Fields): T {
  const { row } = rowOf(kind);
  const metadata = { name: 'j', namespace: 'n', uid: 'u-1' };
  const { object } = decode<T>(tables, row.type, {
    apiVersion: 'batch/v1',
    kind,
    metadata,
    spec,
    ...(status && { status }),
  });
  applyDefaults(tables, row.type, object);
  return object as T;
}

const podSpec = (more: Fields = {}): Fields => ({
  restartPolicy: 'Never',
  containers: [{ name: 'c', image: 'i', ...more }],
});
const template = (labels: Fields = {}, spec: Fields = podSpec()): Fields => ({ metadata: { labels }, spec });

/** A Job as the server makes it of `spec`. */
function job(spec: Fields, status?: Fields): Job {
  const { strategy, scope } = rowOf('Job');
  const made = decoded<Job>('Job', { template: template(), ...spec });
  strategy.prepareForCreate!(made as never, scope);
  return { ...made, ...(status && { status: status as unknown as Job['status'] }) } as Job;
}

const text = (found: readonly { field: string; message: string }[]): string[] =>
  found.map((f) => `${f.field}: ${f.message}`);

function created(made: Job): string[] {
  const { strategy, scope } = rowOf('Job');
  return text(strategy.validate!(made, scope));
}

function updated(now: Job, old: Job): string[] {
  const { strategy, scope } = rowOf('Job');
  return text(strategy.validateUpdate!(now, old, scope));
}

const withTemplate = (made: Job, change: (template: Record<string, never>) => void): Job => {
  const copy = structuredClone(made) as unknown as { spec: { template: Record<string, never> } };
  change(copy.spec.template);
  return copy as unknown as Job;
};

describe('the labels of a Job', () => {
  test('are made by the server', () => {
    const made = job({});
    assert.deepEqual(created(made), []);
    assert.deepEqual(made.spec.selector, { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u-1' } });
    assert.deepEqual(made.spec.template.metadata?.labels, {
      'batch.kubernetes.io/controller-uid': 'u-1',
      'batch.kubernetes.io/job-name': 'j',
      'controller-uid': 'u-1',
      'job-name': 'j',
    });
  });

  test('may not be others', () => {
    const said = created(job({ template: template({ 'job-name': 'x', 'batch.kubernetes.io/controller-uid': 'y' }) }));
    assert.deepEqual(
      said.map((line) => line.replace(/\{.*\}/, '{}')),
      [
        "spec.template.metadata.labels[job-name]: Invalid value: {}: must be 'j'",
        "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]: Invalid value: {}: must be 'u-1'",
        'spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`',
      ],
    );
    assert.deepEqual(
      created(job({ selector: { matchLabels: { a: 'b' } }, template: template({ a: 'b' }) })).map((l) =>
        l.replace(/\{.*\}/, '{}'),
      ),
      ['spec.selector: Invalid value: {}: `selector` not auto-generated'],
    );
  });

  test('are what the Job says with a selector of its own', () => {
    assert.deepEqual(
      created(job({ manualSelector: true, selector: { matchLabels: { a: 'b' } }, template: template({ a: 'b' }) })),
      [],
    );
    assert.deepEqual(created(job({ manualSelector: true })), [
      'spec.selector: Required value',
      'spec.template.metadata.labels: Invalid value: "null": `selector` does not match template `labels`',
    ]);
  });

  test('stay when the Job changes; those with a prefix only if they were there', () => {
    const old = job({});
    const without = (of: Job, label: string): Job =>
      withTemplate(of, (t) => {
        const { labels } = (t as unknown as { metadata: { labels: Record<string, unknown> } }).metadata;
        delete labels[label];
      });
    const said = updated(without(old, 'job-name'), old).map((line) => line.replace(/\{.*\}/, '{}'));
    assert.deepEqual(said, [
      "spec.template.metadata.labels[job-name]: Required value: must be 'j'",
      'spec.template: Invalid value: {}: field is immutable',
    ]);
    const older = without(
      job({ selector: { matchLabels: { 'controller-uid': 'u-1' } } }),
      'batch.kubernetes.io/job-name',
    );
    delete (older.spec.selector as { matchLabels: Record<string, unknown> }).matchLabels[
      'batch.kubernetes.io/controller-uid'
    ];
    assert.deepEqual(updated(older, older), []);
    assert.deepEqual(created(older).slice(0, 1), [
      "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'j'",
    ]);
  });
});

describe('what of a Job may change', () => {
  const immutable = /^spec\.template: Invalid value: .*: field is immutable$/;

  test('the image never, the resources and where it runs while it is suspended', () => {
    const old = job({ suspend: true });
    const changed = (of: Job): Job =>
      withTemplate(of, (t) => {
        const spec = (t as unknown as { spec: Record<string, unknown> }).spec;
        spec.nodeSelector = { a: 'b' };
        spec.tolerations = [{ key: 'a', operator: 'Exists' }];
        spec.affinity = {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [] }] },
          },
        };
        (spec.containers as { resources: Fields }[])[0]!.resources = { requests: { cpu: '1' } };
      });
    const image = (of: Job): Job =>
      withTemplate(of, (t) => {
        (t as unknown as { spec: { containers: { image: string }[] } }).spec.containers[0]!.image = 'other';
      });
    const templateSaid = (now: Job, before: Job): string[] =>
      updated(now, before).filter((line) => immutable.test(line));
    assert.deepEqual(templateSaid(changed(old), old), []);
    assert.equal(templateSaid(image(old), old).length, 1);
    const running = job({ suspend: false });
    assert.equal(templateSaid(changed(running), running).length, 1);
    const startTime = '2026-01-01T00:00:00Z';
    const stopping = job({ suspend: true }, { startTime });
    assert.equal(templateSaid(changed(stopping), stopping).length, 1);
    const conditions = [{ type: 'Suspended', status: 'True' }];
    const stopped = job({ suspend: true }, { startTime, conditions });
    assert.deepEqual(templateSaid(changed(stopped), stopped), []);
    const ending = job({ suspend: true }, { startTime, conditions, active: 1 });
    assert.equal(templateSaid(changed(ending), ending).length, 1);
  });

  test('affinity to pods never', () => {
    const term = { topologyKey: 'k', labelSelector: { matchLabels: { a: 'b' } } };
    const podAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [term] };
    const old = job({ suspend: true, template: template({}, { ...podSpec(), affinity: { podAffinity } }) });
    const now = withTemplate(old, (t) => delete (t as unknown as { spec: { affinity?: object } }).spec.affinity);
    assert.equal(updated(now, old).filter((line) => immutable.test(line)).length, 1);
  });

  test('policies never, completions with the parallelism of an Indexed Job', () => {
    const index = (completions: number, parallelism: number, more: Fields = {}): Job =>
      job({ completionMode: 'Indexed', completions, parallelism, ...more });
    assert.deepEqual(updated(index(3, 3), index(2, 2)), []);
    assert.deepEqual(updated(index(3, 2), index(2, 2)), [
      'spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism',
    ]);
    assert.deepEqual(updated(job({ completions: 2 }), job({ completions: 1 })), [
      'spec.completions: Invalid value: 2: field is immutable',
    ]);
    assert.deepEqual(updated(index(2, 2, { backoffLimitPerIndex: 1 }), index(2, 2)), [
      'spec.backoffLimitPerIndex: Invalid value: 1: field is immutable',
    ]);
    assert.deepEqual(updated(job({ managedBy: 'a.example/b' }), job({})), [
      'spec.managedBy: Invalid value: "a.example/b": field is immutable',
    ]);
  });
});

describe('the rules of a Job', () => {
  test('about indexes', () => {
    const said = (more: Fields): string[] => created(job({ completionMode: 'Indexed', completions: 5, ...more }));
    assert.deepEqual(said({ successPolicy: { rules: [{ succeededIndexes: '0,2-4', succeededCount: 5 }] } }), [
      'spec.successPolicy.rules[0].succeededCount: Invalid value: 5: must be less than or equal to 4 (the number of indexes in the specified succeededIndexes field)',
    ]);
    assert.deepEqual(said({ successPolicy: { rules: [{ succeededIndexes: '0,9' }] } }), [
      'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,9": error parsing succeededIndexes: too large index: "9"',
    ]);
    assert.deepEqual(said({ completions: 200_000, backoffLimitPerIndex: 1, parallelism: 20_000 }), [
      'spec.maxFailedIndexes: Required value: must be specified when completions is above 100000',
      'spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index',
    ]);
    assert.deepEqual(created(job({ managedBy: 'x', maxFailedIndexes: 1, backoffLimitPerIndex: 1 })), [
      'spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")',
      'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode',
      'spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode',
    ]);
  });

  test('count the indexes of a list of intervals', () => {
    const cases: readonly (readonly [string, number | string])[] = [
      ['', 0],
      ['0-4', 5],
      ['1,3', 2],
      ['1-1', 'non-increasing order, previous: 1, current: 1'],
      ['2,1', 'non-increasing order, previous: 2, current: 1'],
      ['a', 'cannot convert string to integer for index: "a"'],
      ['1-', 'cannot convert string to integer for index: ""'],
      ['1-5', 'too large index: "5"'],
      [
        '1-2-3',
        `the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`,
      ],
    ];
    for (const [list, wanted] of cases) assert.equal(countIndexes(list, 5), wanted, list);
  });

  test('about exit codes', () => {
    const rules = [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [2, 0, 2] } }];
    assert.deepEqual(created(job({ podFailurePolicy: { rules }, podReplacementPolicy: 'TerminatingOrFailed' })), [
      'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator',
      'spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2',
      'spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered',
      'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
    ]);
  });
});

test('the schedule and the time zone of a CronJob', () => {
  const { strategy, scope } = rowOf('CronJob');
  const cron = (spec: Fields): CronJob =>
    decoded('CronJob', { schedule: '* * * * *', jobTemplate: { spec: { template: template() } }, ...spec });
  const made = (spec: Fields): string[] => text(strategy.validate!(cron(spec), scope));
  assert.deepEqual(made({ timeZone: 'Europe/Vienna' }), []);
  assert.deepEqual(made({ timeZone: 'Nowhere/Land' }), [
    'spec.timeZone: Invalid value: "Nowhere/Land": unknown time zone Nowhere/Land',
  ]);
  assert.deepEqual(made({ timeZone: 'local' }), [
    'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
  ]);
  const zoned = 'TZ=UTC * * * * *';
  assert.equal(made({ schedule: zoned }).length, 1);
  assert.deepEqual(strategy.validateUpdate!(cron({ schedule: zoned }), cron({ schedule: zoned }), scope), []);
});
