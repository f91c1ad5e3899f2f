// Every stored resource of the table goes through the whole registry.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { KubeObject } from '../../api/object.ts';
import { groupResource, type Resource } from '../../api/tables.ts';
import { settle } from '../../lib/fake-clock.ts';
import { StatusError } from '../../machinery/status.ts';
import type { WatchDelivery } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';
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
