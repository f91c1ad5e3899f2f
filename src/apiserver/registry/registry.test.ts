import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Deployment, Pod, Service } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { groupResource, type Resource } from '../../api/tables.ts';
import { settle } from '../../lib/fake-clock.ts';
import { StatusError } from '../../machinery/status.ts';
import type { AdmissionPlugin } from '../admission/plugin.ts';
import type { WatchDelivery } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import type { Registry } from './registry.ts';
import { secondRegistry, type TestRegistry, testRegistry } from './test-registry.ts';
import { MINIMAL } from './testdata/minimal-objects.ts';

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry();
});
after(() => registry.close());

const refused =
  (reason: string, pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, pattern);
    return true;
  };

const stored = (row: Resource): boolean => row.etcdPrefix !== undefined;

describe('every stored resource of the table', async () => {
  const probe = await testRegistry();
  const rows = [...probe.tables.resources()].filter(stored);
  await probe.close();
  for (const row of rows) {
    test(`${groupResource(row)} ${row.version} goes round`, () => roundTrip(row));
  }
});

/** Kinds whose names say what they are about. */
const NAMES: { readonly [resource: string]: string } = {
  apiservices: 'v1.example.com',
  customresourcedefinitions: 'things.example.com',
};

async function roundTrip(row: Resource): Promise<void> {
  const { api } = registry;
  const ctx = registry.ctx();
  const name = NAMES[row.resource] ?? `round-${row.version}`;
  const namespace = row.namespaced ? { namespace: 'default' } : {};
  const target = { resource: row, ...namespace };
  const one = { ...target, name };
  const body = (labels: object): KubeObject =>
    registry.body(target, {
      ...(MINIMAL[`${groupResource(row)}/${row.version}`] ?? MINIMAL[groupResource(row)]),
      metadata: { name, ...namespace, labels },
    });
  const events: WatchDelivery[] = [];
  const stop = new AbortController();
  const start = await registry.caches.consistent(ctx.signal);
  const sink = { deliver: (batch: readonly WatchDelivery[]) => events.push(...batch), end: () => undefined };
  await api.watch(registry.ctx(undefined, stop.signal), one, { resourceVersion: String(start) }, sink);

  const created = await api.create(ctx, target, body({ step: 'created' }), {});
  assert.equal(created.created, true);
  const { metadata } = created.object.object;
  assert.ok(metadata.uid && metadata.creationTimestamp && metadata.resourceVersion);
  assert.deepEqual(JSON.parse(created.object.bytes.toString()), JSON.parse(JSON.stringify(created.object.object)));

  const got = await api.get(ctx, one, {});
  assert.deepEqual(got.object, created.object.object);
  const listed = await api.list(ctx, target, { labelSelector: 'step=created' });
  assert.deepEqual(
    listed.items.map((i) => i.name),
    [name],
  );

  const change = structuredClone(got.object) as unknown as { metadata: { labels: Record<string, string> } };
  change.metadata.labels = { step: 'updated' };
  const updated = await api.update(ctx, one, change as unknown as KubeObject, {});
  assert.equal(updated.object.object.metadata.labels?.step, 'updated');
  assert.equal(updated.object.object.metadata.uid, metadata.uid);
  const again = await api.update(ctx, one, structuredClone(updated.object.object) as KubeObject, {});
  assert.equal(again.object.revision, updated.object.revision, 'an update that changes nothing writes nothing');

  const patched = await api.patch(
    ctx,
    one,
    { type: 'application/merge-patch+json', body: { metadata: { labels: { step: 'patched' } } } },
    {},
  );
  assert.equal(patched.object.object.metadata.labels?.step, 'patched');
  assert.equal(patched.object.object.kind, row.kind);

  const status = statusOf(row);
  if (status) {
    const statusTarget = { ...one, subresource: 'status' };
    const spoiled = { metadata: { labels: { step: 'patched' } }, spec: null, status };
    const write = { type: 'application/merge-patch+json' as const, body: spoiled };
    await api.patch(ctx, statusTarget, write, {});
    const { object: after } = await api.get(ctx, statusTarget, {});
    const { status: kept, spec } = after as { status?: object; spec?: object };
    assert.deepEqual({ ...kept, ...status }, kept, 'the status is what was written');
    assert.deepEqual(spec, (patched.object.object as { spec?: object }).spec, 'the spec is not the status endpoint’s');
  }

  await api.delete(ctx, one, { propagationPolicy: 'Background', gracePeriodSeconds: 0 });
  // Kinds whose deletion somebody else completes.
  if (row.resource === 'namespaces' || strategyOf(row).finalizerOnDelete) return stop.abort();
  await assert.rejects(api.get(ctx, one, {}), refused('NotFound', /not found$/));
  await settle();
  assert.deepEqual(
    events.map((e) => e.type),
    status ? ['ADDED', 'MODIFIED', 'MODIFIED', 'MODIFIED', 'DELETED'] : ['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED'],
  );
  stop.abort();
  if (NAMES[row.resource] || !row.verbs.includes('deletecollection')) return;
  const atOnce = { gracePeriodSeconds: 0, propagationPolicy: 'Background' as const };
  for (const set of ['go', 'go', 'stay']) {
    const more = body({ set });
    await api.create(ctx, target, { ...more, metadata: { ...more.metadata, name: `${name}-${++made}` } }, {});
  }
  await api.deleteCollection(ctx, target, { labelSelector: 'set=go', ...atOnce });
  const left = await api.list(ctx, target, { labelSelector: 'set' });
  assert.deepEqual(
    left.items.map((item) => item.object.metadata.labels?.set),
    ['stay'],
  );
  await api.deleteCollection(ctx, target, { labelSelector: 'set', ...atOnce });
}

let made = 0;

const TIMES = ['lastTransitionTime', 'lastUpdateTime', 'lastProbeTime', 'lastHeartbeatTime'];
const CONDITION = {
  ...Object.fromEntries(TIMES.map((name) => [name, '2026-01-01T00:00:00Z'])),
  ...{ type: 'Tested', status: 'True', reason: 'Test', message: 'it is' },
};

/** Statuses of kinds that have no plain conditions. */
const STATUSES: { readonly [resource: string]: object } = {
  resourcequotas: { hard: { pods: '1' } },
  'volumeattachments.storage.k8s.io': { attached: true },
};

/** Something that a resource's status endpoint takes; undefined: it has none, or none that any writer may fill like this. */
function statusOf(row: Resource): object | undefined {
  if (!row.subresources.has('status')) return undefined;
  const known = STATUSES[groupResource(row)];
  if (known) return known;
  const status = registry.tables.type(row.type).fields?.get('status')?.code;
  const fields = status ? registry.tables.type(status.slice(1)).fields : undefined;
  const item = fields?.get('conditions')?.code;
  if (!item) return undefined;
  const members = registry.tables.type(item.slice(3)).fields;
  return { conditions: [Object.fromEntries(Object.entries(CONDITION).filter(([name]) => members?.has(name)))] };
}

const podOf = (name: string, more: object = {}): object => ({
  metadata: { namespace: 'default', name, ...more },
  spec: { containers: [{ name: 'c', image: 'busybox' }] },
});

describe('create', () => {
  test('generates names, retries taken ones', async () => {
    const made = await registry.create('configmaps', { metadata: { namespace: 'default', generateName: 'gen-' } });
    assert.match(made.metadata.name, /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test('refuses what exists', async () => {
    await registry.create('configmaps', { metadata: { namespace: 'default', name: 'twice' } });
    const again = registry.create('configmaps', { metadata: { namespace: 'default', name: 'twice' } });
    await assert.rejects(again, refused('AlreadyExists', /^configmaps "twice" already exists$/));
  });

  test('refuses an absent namespace', async () => {
    const nowhere = registry.create('configmaps', { metadata: { namespace: 'nowhere', name: 'a' } });
    await assert.rejects(nowhere, refused('NotFound', /^namespaces "nowhere" not found$/));
  });

  test('a dry run stores nothing', async () => {
    const made = await registry.create(
      'configmaps',
      { metadata: { namespace: 'default', name: 'dry' } },
      { dryRun: true },
    );
    assert.ok(made.metadata.uid);
    await assert.rejects(registry.get('configmaps', 'dry', 'default'), refused('NotFound', /"dry" not found/));
  });

  test('says everything that is wrong', async () => {
    const bad = {
      metadata: { namespace: 'default', name: 'Bad_Name' },
      spec: { containers: [{ name: '', image: '' }] },
    };
    await assert.rejects(registry.create('pods', bad), (error: StatusError) => {
      assert.equal(error.code, 422);
      const fields = error.details?.causes?.map((c) => c.field);
      assert.deepEqual(fields, ['metadata.name', 'spec.containers[0].name', 'spec.containers[0].image']);
      assert.match(
        error.message,
        /^Pod "Bad_Name" is invalid: \[metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123/,
      );
      return true;
    });
  });
});

describe('pods', () => {
  test('get service account, tolerations, priority and class', async () => {
    const pod = (await registry.create('pods', podOf('full'))) as Pod;
    assert.equal(pod.status?.phase, 'Pending');
    assert.equal(pod.status?.qosClass, 'BestEffort');
    assert.equal(pod.spec.serviceAccountName, 'default');
    assert.equal(pod.spec.priority, 0);
    assert.equal(pod.spec.preemptionPolicy, 'PreemptLowerPriority');
    assert.deepEqual(
      pod.spec.tolerations?.map((t) => [t.key, t.tolerationSeconds]),
      [
        ['node.kubernetes.io/not-ready', 300],
        ['node.kubernetes.io/unreachable', 300],
      ],
    );
    const volume = pod.spec.volumes?.[0];
    assert.match(volume?.name ?? '', /^kube-api-access-.{5}$/);
    assert.equal(pod.spec.containers[0]?.volumeMounts?.[0]?.mountPath, '/var/run/secrets/kubernetes.io/serviceaccount');
    assert.equal(pod.metadata.generation, 1);
  });

  test('keep their spec but for image and the like', async () => {
    const pod = (await registry.create('pods', podOf('fixed'))) as Pod;
    const spec = structuredClone(pod.spec) as unknown as { containers: { image: string }[]; hostNetwork?: boolean };
    spec.containers[0]!.image = 'nginx';
    const updated = await registry.update('pods', { ...pod, spec });
    assert.equal(updated.metadata.generation, 2);
    spec.hostNetwork = true;
    const change = registry.update('pods', { ...updated, spec });
    await assert.rejects(
      change,
      refused(
        'Invalid',
        /^Pod "fixed" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`/,
      ),
    );
  });

  test('unscheduled: deleted at once; bound: after their grace', async () => {
    await registry.create('pods', podOf('loose'));
    const loose = await registry.api.delete(registry.ctx(), registry.target('pods', 'default', 'loose'), {});
    assert.equal(loose.kind, 'object');
    await assert.rejects(registry.get('pods', 'loose', 'default'), refused('NotFound', /loose/));

    await registry.create('pods', podOf('bound'));
    const binding = { metadata: { name: 'bound', namespace: 'default' }, target: { kind: 'Node', name: 'n1' } };
    const at = registry.target('pods/binding', 'default', 'bound');
    await registry.api.create(registry.ctx(), at, binding as KubeObject, {});
    const bound = (await registry.get('pods', 'bound', 'default')) as Pod;
    assert.equal(bound.spec.nodeName, 'n1');
    assert.equal(bound.status?.conditions?.[0]?.type, 'PodScheduled');
    await assert.rejects(
      registry.api.create(registry.ctx(), at, structuredClone(binding) as KubeObject, {}),
      refused(
        'Conflict',
        /^Operation cannot be fulfilled on pods\/binding "bound": pod bound is already assigned to node "n1"$/,
      ),
    );
    const target = registry.target('pods', 'default', 'bound');
    await registry.api.delete(registry.ctx(), target, {});
    const going = await registry.get('pods', 'bound', 'default');
    assert.equal(going.metadata.deletionGracePeriodSeconds, 30);
    assert.equal(going.metadata.deletionTimestamp, '2026-01-01T00:00:30Z');
    await registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 10 });
    const sooner = await registry.get('pods', 'bound', 'default');
    assert.equal(sooner.metadata.deletionTimestamp, '2026-01-01T00:00:10Z');
    await registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 20 });
    assert.equal((await registry.get('pods', 'bound', 'default')).metadata.deletionGracePeriodSeconds, 10);
    await assert.rejects(
      registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 0, preconditions: { uid: 'other' } }),
      refused('Conflict', /the UID in the precondition \(other\) does not match/),
    );
    await registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 0 });
    await assert.rejects(registry.get('pods', 'bound', 'default'), refused('NotFound', /bound/));
  });
});

describe('update', () => {
  test('an old resourceVersion is a conflict', async () => {
    const made = await registry.create('configmaps', {
      metadata: { namespace: 'default', name: 'old' },
      data: { a: '1' },
    });
    await registry.update('configmaps', { ...made, data: { a: '2' } });
    const late = registry.update('configmaps', { ...made, data: { a: '3' } });
    await assert.rejects(
      late,
      refused(
        'Conflict',
        /^Operation cannot be fulfilled on configmaps "old": the object has been modified; please apply your changes to the latest version and try again$/,
      ),
    );
    const { resourceVersion: _, ...metadata } = made.metadata;
    const forced = (await registry.update('configmaps', { ...made, metadata, data: { a: '4' } })) as { data?: object };
    assert.deepEqual(forced.data, { a: '4' });
  });

  test('status and spec have an endpoint each, generation counts the spec', async () => {
    const made = (await registry.create('deployments.apps', {
      ...MINIMAL['deployments.apps'],
      metadata: { namespace: 'default', name: 'split' },
      status: { replicas: 9 },
    })) as Deployment;
    assert.equal(made.status?.replicas, undefined);
    assert.equal(made.metadata.generation, 1);
    const status = (await registry.update('deployments.apps/status', {
      ...made,
      spec: { ...made.spec, replicas: 7 },
      status: { replicas: 3 },
    })) as Deployment;
    assert.equal(status.spec.replicas, 1);
    assert.equal(status.status?.replicas, 3);
    assert.equal(status.metadata.generation, 1);
    const spec = (await registry.update('deployments.apps', {
      ...status,
      spec: { ...made.spec, replicas: 5 },
      status: {},
    })) as Deployment;
    assert.equal(spec.status?.replicas, 3);
    assert.equal(spec.metadata.generation, 2);
  });

  test('scale reads and writes replicas', async () => {
    const at = { namespace: 'default', name: 'split' };
    const scale = await registry.get('deployments.apps/scale', 'split', 'default');
    assert.equal(scale.kind, 'Scale');
    assert.deepEqual((scale as { status?: object }).status, { replicas: 3, selector: 'app=a' });
    const scaled = await registry.merge('deployments.apps/scale', at, { spec: { replicas: 2 } });
    assert.deepEqual((scaled.object.object as { spec?: object }).spec, { replicas: 2 });
    assert.equal(((await registry.get('deployments.apps', 'split', 'default')) as Deployment).spec.replicas, 2);
  });

  test('a claim template is a volume of the pods', async () => {
    const mounting = { name: 'c', image: 'i', volumeMounts: [{ name: 'data', mountPath: '/data' }] };
    const spec = {
      serviceName: 's',
      selector: { matchLabels: { app: 'a' } },
      template: { metadata: { labels: { app: 'a' } }, spec: { containers: [mounting] } },
    };
    const metadata = { namespace: 'default', name: 'mounting' };
    const without = registry.create('statefulsets.apps', { metadata, spec });
    await assert.rejects(without, refused('Invalid', /volumeMounts\[0\].name: Not found: "data"$/));
    const claim = { metadata: { name: 'data' }, ...MINIMAL.persistentvolumeclaims };
    const made = await registry.create('statefulsets.apps', {
      metadata,
      spec: { ...spec, volumeClaimTemplates: [claim] },
    });
    assert.equal(made.metadata.generation, 1);
  });

  test('a selector is for good', async () => {
    const made = (await registry.get('deployments.apps', 'split', 'default')) as Deployment;
    const spec = {
      ...made.spec,
      selector: { matchLabels: { app: 'b' } },
      template: { ...made.spec.template, metadata: { labels: { app: 'b' } } },
    };
    await assert.rejects(
      registry.update('deployments.apps', { ...made, spec }),
      refused('Invalid', /spec.selector: Invalid value: \{.*\}: field is immutable$/),
    );
  });

  test('finalizers hold an object until the last is gone', async () => {
    await registry.create('configmaps', {
      metadata: { namespace: 'default', name: 'held', finalizers: ['example.com/a'] },
    });
    const target = registry.target('configmaps', 'default', 'held');
    const deleted = await registry.api.delete(registry.ctx(), target, {});
    assert.equal(deleted.kind, 'object');
    const held = await registry.get('configmaps', 'held', 'default');
    assert.ok(held.metadata.deletionTimestamp);
    const added = registry.merge('configmaps', held.metadata as never, {
      metadata: { finalizers: ['example.com/a', 'example.com/b'] },
    });
    await assert.rejects(
      added,
      refused(
        'Invalid',
        /no new finalizers can be added if the object is being deleted, found new finalizers \[\]string\{"example.com\/b"\}/,
      ),
    );
    await registry.merge('configmaps', held.metadata as never, { metadata: { finalizers: null } });
    await assert.rejects(registry.get('configmaps', 'held', 'default'), refused('NotFound', /held/));
  });
});

test('a list of the past has what has not changed since, and what has as it was', async () => {
  const place = { namespace: 'past' };
  await registry.create('namespaces', { metadata: { name: 'past' } });
  for (const name of ['same', 'other']) await registry.create('configmaps', { metadata: { ...place, name } });
  const { revision } = await registry.api.list(registry.ctx(), registry.target('configmaps', 'past'), {});
  await registry.merge('configmaps', { ...place, name: 'other' }, { data: { a: 'b' } });
  const then = await registry.api.list(registry.ctx(), registry.target('configmaps', 'past'), {
    resourceVersion: String(revision),
    resourceVersionMatch: 'Exact',
  });
  assert.equal(then.revision, revision);
  assert.deepEqual(
    then.items.map(({ name, object }) => [name, (object as { data?: object }).data]),
    [
      ['other', undefined],
      ['same', undefined],
    ],
  );
});

describe('patch', () => {
  test('strategic merge uses merge keys; json patch and its tests', async () => {
    const target = registry.target('deployments.apps', 'default', 'split');
    const body = { spec: { template: { spec: { containers: [{ name: 'side', image: 'side' }] } } } };
    const { object } = await registry.api.patch(
      registry.ctx(),
      target,
      { type: 'application/strategic-merge-patch+json', body },
      {},
    );
    assert.deepEqual(
      (object.object as Deployment).spec.template.spec?.containers.map((c) => c.name),
      ['side', 'c'],
    );
    const failing = [{ op: 'test', path: '/spec/replicas', value: 99 }];
    await assert.rejects(
      registry.api.patch(registry.ctx(), target, { type: 'application/json-patch+json', body: failing }, {}),
      (e: StatusError) => e.code === 422,
    );
  });

  test('many at once all take effect', async () => {
    await registry.create('configmaps', { metadata: { namespace: 'default', name: 'busy' } });
    const patches = Array.from({ length: 20 }, (_, i) =>
      registry.merge('configmaps', { namespace: 'default', name: 'busy' }, { data: { [`k${i}`]: 'v' } }),
    );
    await Promise.all(patches);
    const busy = (await registry.get('configmaps', 'busy', 'default')) as { data?: object };
    assert.equal(Object.keys(busy.data ?? {}).length, 20);
  });

  test('unknown fields are told of', async () => {
    registry.warnings.length = 0;
    await registry.merge('configmaps', { namespace: 'default', name: 'busy' }, { nonsense: 1 });
    assert.deepEqual(registry.warnings, ['unknown field "nonsense"']);
  });
});

describe('list', () => {
  test('pages are of one revision', async () => {
    for (const i of [1, 2, 3, 4, 5])
      await registry.create('secrets', { metadata: { namespace: 'default', name: `s${i}` } });
    const target = registry.target('secrets', 'default');
    const first = await registry.api.list(registry.ctx(), target, { limit: 2 });
    assert.deepEqual(
      first.items.map((i) => i.name),
      ['s1', 's2'],
    );
    assert.equal(first.remainingItemCount, 3);
    await registry.api.delete(registry.ctx(), registry.target('secrets', 'default', 's3'), {});
    await registry.create('secrets', { metadata: { namespace: 'default', name: 's6' } });
    const second = await registry.api.list(registry.ctx(), target, { limit: 2, continue: first.continue! });
    assert.deepEqual(
      second.items.map((i) => i.name),
      ['s3', 's4'],
    );
    assert.equal(second.revision, first.revision);
    const third = await registry.api.list(registry.ctx(), target, { limit: 2, continue: second.continue! });
    assert.deepEqual(
      third.items.map((i) => i.name),
      ['s5'],
    );
    assert.equal(third.continue, undefined);
    const exact = await registry.api.list(registry.ctx(), target, {
      resourceVersion: String(first.revision),
      resourceVersionMatch: 'Exact',
    });
    assert.equal(exact.items.length, 5);
  });

  test('a list whose revision was compacted goes on at the present, consistently from there', async () => {
    const namespace = 'paged';
    await registry.create('namespaces', { metadata: { name: namespace } });
    const secret = (name: string): Promise<unknown> => registry.create('secrets', { metadata: { namespace, name } });
    for (const name of ['s1', 's2', 's3', 's4', 's5']) await secret(name);
    const target = registry.target('secrets', namespace);
    const page = (limit: number, at: string) => registry.api.list(registry.ctx(), target, { limit, continue: at });
    const first = await registry.api.list(registry.ctx(), target, { limit: 2 });
    await registry.api.delete(registry.ctx(), registry.target('secrets', namespace, 's3'), {});
    await secret('s6');
    await registry.store.compact(await registry.store.revision(registry.ctx().signal), registry.ctx().signal);
    let expired: StatusError | undefined;
    await assert.rejects(page(2, first.continue!), (error: StatusError) => {
      expired = error;
      return error.code === 410 && error.reason === 'Expired';
    });
    const second = await page(2, expired!.status.metadata.continue!);
    assert.deepEqual(
      second.items.map((i) => i.name),
      ['s4', 's5'],
    );
    assert.ok(BigInt(second.revision) > BigInt(first.revision));
    assert.equal(second.remainingItemCount, 1);
    await secret('s7');
    const third = await page(2, second.continue!);
    assert.deepEqual(
      third.items.map((i) => i.name),
      ['s6'],
    );
    assert.deepEqual([third.revision, third.continue], [second.revision, undefined]);
  });

  test('field selectors: what the kind offers, and nothing else', async () => {
    const target = registry.target('pods', 'default');
    const found = await registry.api.list(registry.ctx(), target, {
      fieldSelector: 'metadata.name=fixed,status.phase=Pending',
    });
    assert.deepEqual(
      found.items.map((i) => i.name),
      ['fixed'],
    );
    await assert.rejects(
      registry.api.list(registry.ctx(), target, { fieldSelector: 'spec.foo=1' }),
      refused('BadRequest', /^field label not supported: spec.foo$/),
    );
    const maps = registry.target('configmaps', 'default');
    await assert.rejects(
      registry.api.list(registry.ctx(), maps, { fieldSelector: 'data=1' }),
      refused('BadRequest', /^"data" is not a known field selector: only "metadata.name", "metadata.namespace"$/),
    );
  });

  test('a revision that is not yet: too large', async () => {
    const future = registry.api.list(registry.ctx(), registry.target('pods', 'default'), { resourceVersion: '999999' });
    const refusedLate = assert.rejects(
      future,
      refused('Timeout', /^Timeout: Too large resource version: 999999, current: \d+$/),
    );
    await registry.clock.advance(3000);
    await refusedLate;
  });
});

describe('watch', () => {
  test('begins with what is there, then says what changes, with bookmarks, until its time is up', async () => {
    const events: WatchDelivery[] = [];
    let ended: { error?: Error } | undefined;
    const sink = {
      deliver: (batch: readonly WatchDelivery[]) => events.push(...batch),
      end: (error?: Error) => {
        ended = error ? { error } : {};
      },
    };
    const target = registry.target('limitranges', 'default');
    const timers = registry.clock.pending;
    await registry.create('limitranges', { metadata: { namespace: 'default', name: 'a' } });
    await registry.api.watch(
      registry.ctx(),
      target,
      { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan', allowWatchBookmarks: true, timeoutSeconds: 100 },
      sink,
    );
    await registry.create('limitranges', { metadata: { namespace: 'default', name: 'b' } });
    await settle();
    assert.deepEqual(
      events.map((e) => (e.type === 'BOOKMARK' ? `end=${e.initialEventsEnd}` : e.object.name)),
      ['a', 'end=true', 'b'],
    );
    await registry.clock.advance(80_000);
    assert.equal(events.at(-1)?.type, 'BOOKMARK');
    assert.equal(ended, undefined);
    await registry.clock.advance(20_001);
    await settle();
    assert.deepEqual(ended, {});
    assert.equal(registry.clock.pending, timers, 'no timer is left behind');
  });

  test('too old a revision ends it with Expired', async () => {
    await registry.store.compact(await registry.store.revision(registry.ctx().signal), registry.ctx().signal);
    const fresh = await secondRegistry(registry);
    const ended = await new Promise<Error | undefined>((resolve) => {
      void fresh.api.watch(
        fresh.ctx(),
        fresh.target('pods', 'default'),
        { resourceVersion: '1' },
        { deliver: () => undefined, end: resolve },
      );
    }).catch((e) => e);
    assert.equal((ended as StatusError).reason, 'Expired');
    assert.match((ended as StatusError).message, /^too old resource version: 1 \(\d+\)$/);
  });

  test('another version of a kind shows the same objects its own way', async () => {
    const events = registry.tables.resource('events.k8s.io', 'v1', 'events')!;
    const target = { resource: events, namespace: 'default' };
    const body = {
      metadata: { namespace: 'default', name: 'e1' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reason: 'Tested',
      note: 'hello',
      regarding: { kind: 'Pod', namespace: 'default', name: 'p' },
      reportingController: 'me',
      reportingInstance: 'me-1',
      action: 'Test',
      type: 'Normal',
    };
    const made = await registry.api.create(registry.ctx(), target, registry.body(target, body), {});
    assert.equal((made.object.object as { note?: string }).note, 'hello');
    const core = (await registry.get('events', 'e1', 'default')) as {
      message?: string;
      involvedObject?: { name?: string };
    };
    assert.equal(core.message, 'hello');
    assert.equal(core.involvedObject?.name, 'p');
    const found = await registry.api.list(registry.ctx(), target, { fieldSelector: 'regarding.name=p' });
    assert.equal(found.items.length, 1);
    assert.equal(found.items[0]?.object.apiVersion, 'events.k8s.io/v1');
  });
});

describe('services', () => {
  const service = (name: string, spec: object): object => ({
    metadata: { namespace: 'default', name },
    spec: { ports: [{ port: 80 }], ...spec },
  });

  test('get addresses and node ports that nobody else has', async () => {
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, i) => registry.create('services', service(`many-${i}`, { type: 'NodePort' }))),
    );
    const specs = made.map((s) => (s as Service).spec);
    assert.equal(new Set(specs.map((s) => s.clusterIP)).size, 30);
    assert.equal(new Set(specs.map((s) => s.ports?.[0]?.nodePort)).size, 30);
    for (const spec of specs) {
      assert.match(spec.clusterIP ?? '', /^10\.96\./);
      assert.deepEqual(spec.clusterIPs, [spec.clusterIP]);
      assert.deepEqual(spec.ipFamilies, ['IPv4']);
      assert.equal(spec.ipFamilyPolicy, 'SingleStack');
    }
  });

  test('what is asked for and taken is refused, and free again after deletion', async () => {
    await registry.create(
      'services',
      service('fixed', { clusterIP: '10.96.0.10', type: 'NodePort', ports: [{ port: 53, nodePort: 30053 }] }),
    );
    const same = registry.create('services', service('other', { clusterIP: '10.96.0.10' }));
    await assert.rejects(
      same,
      refused(
        'Invalid',
        /spec.clusterIPs: Invalid value: \["10.96.0.10"\]: failed to allocate IP 10.96.0.10: provided IP is already allocated$/,
      ),
    );
    const port = registry.create(
      'services',
      service('other', { type: 'NodePort', ports: [{ port: 53, nodePort: 30053 }] }),
    );
    await assert.rejects(
      port,
      refused('Invalid', /spec.ports\[0\].nodePort: Invalid value: 30053: provided port is already allocated$/),
    );
    const outside = registry.create(
      'services',
      service('other', { type: 'NodePort', ports: [{ port: 53, nodePort: 80 }] }),
    );
    await assert.rejects(
      outside,
      refused('Invalid', /provided port is not in the valid range. The range of valid ports is 30000-32767$/),
    );
    await registry.api.delete(registry.ctx(), registry.target('services', 'default', 'fixed'), {});
    const after = (await registry.create('services', service('other', { clusterIP: '10.96.0.10' }))) as Service;
    assert.equal(after.spec.clusterIP, '10.96.0.10');
  });

  test('change type: ports come and go, the address stays', async () => {
    const made = (await registry.create('services', service('typed', {}))) as Service;
    assert.equal(made.spec.ports?.[0]?.nodePort, undefined);
    const { spec } = (
      await registry.merge('services', { namespace: 'default', name: 'typed' }, { spec: { type: 'NodePort' } })
    ).object.object as Service;
    assert.ok(spec.ports?.[0]?.nodePort);
    assert.equal(spec.clusterIP, made.spec.clusterIP);
    const back = (
      await registry.merge('services', { namespace: 'default', name: 'typed' }, { spec: { type: 'ClusterIP' } })
    ).object.object as Service;
    assert.equal(back.spec.ports?.[0]?.nodePort, undefined);
    const external = (
      await registry.merge(
        'services',
        { namespace: 'default', name: 'typed' },
        { spec: { type: 'ExternalName', externalName: 'example.com' } },
      )
    ).object.object as Service;
    assert.equal(external.spec.clusterIP, undefined);
  });

  test('headless have none; two servers never give the same', async () => {
    const headless = (await registry.create('services', service('headless', { clusterIP: 'None' }))) as Service;
    assert.deepEqual(headless.spec.clusterIPs, ['None']);
    const other = await secondRegistry(registry);
    const both = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? other : registry).create('services', service(`two-${i}`, { type: 'NodePort' })),
      ),
    );
    assert.equal(new Set(both.map((s) => (s as Service).spec.clusterIP)).size, 20);
    assert.equal(new Set(both.map((s) => (s as Service).spec.ports?.[0]?.nodePort)).size, 20);
  });
});

test('the parameters of a connection are what admission left of them', async () => {
  const changes: AdmissionPlugin = {
    name: 'Changes',
    operations: ['CONNECT'],
    resources: ['pods/exec'],
    admit(_world, { target }, object) {
      const options = object as unknown as { command?: string[]; stdin?: boolean };
      if (target.name === 'changed') Object.assign(options, { command: ['sh', '-c'], stdin: false });
    },
  };
  const registry = await testRegistry({ admission: [changes] });
  try {
    const asked = new URLSearchParams('command=ls&stdin=true&stdout=true&other=1');
    const connect = async (name: string): Promise<string> => {
      const target = { ...registry.target('pods', 'default', name), subresource: 'exec' };
      return (await (registry.api as Registry).connect(registry.ctx(), target, asked)).toString();
    };
    assert.equal(await connect('same'), asked.toString());
    const changed = new URLSearchParams(await connect('changed'));
    assert.deepEqual(changed.getAll('command'), ['sh', '-c']);
    assert.deepEqual([changed.get('stdin'), changed.get('stdout')], ['false', 'true']);
  } finally {
    await registry.close();
  }
});
