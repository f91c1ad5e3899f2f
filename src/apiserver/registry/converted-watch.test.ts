// Watches of custom resources that a webhook converts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CustomResourceDefinition } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import { until } from '../../lib/test-until.ts';
import { nextTurn } from '../../lib/turns.ts';
import { never } from '../../store/contract.suite.ts';
import type { WatchDelivery } from '../contract.ts';
import { rowsOf } from '../custom/rows.ts';
import type { ConvertByWebhook } from './shown.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';

const definition = {
  metadata: { name: 'doors.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'doors', kind: 'Door' },
    conversion: { strategy: 'Webhook' },
    versions: ['v1', 'v2'].map((name) => ({
      ...{ name, served: true, storage: name === 'v1' },
      schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
    })),
  },
  status: { acceptedNames: { plural: 'doors', singular: 'door', kind: 'Door', listKind: 'DoorList' } },
} as unknown as CustomResourceDefinition;

async function withDoors(count: number, convertByWebhook: ConvertByWebhook): Promise<TestRegistry> {
  const tables = new Tables();
  for (const { resource, type, listType } of rowsOf(definition)) {
    tables.addType(type);
    tables.addType(listType);
    tables.addResource(resource);
  }
  const registry = await testRegistry({ tables, convertByWebhook });
  const door = (name: string): object => ({
    apiVersion: 'example.com/v1',
    kind: 'Door',
    metadata: { name, namespace: 'default', uid: name },
  });
  const writes = Array.from({ length: count }, (_, i) => {
    const value = Buffer.from(JSON.stringify(door(`d${i}`)));
    return registry.store.write({ key: `/registry/example.com/doors/default/d${i}`, value, expected: 0 }, never);
  });
  await Promise.all(writes);
  await registry.caches.consistent(never);
  return registry;
}

interface Seen {
  readonly deliveries: WatchDelivery[];
  ended: unknown[];
}

async function watched(registry: TestRegistry, version: string, signal: AbortSignal): Promise<Seen> {
  const seen: Seen = { deliveries: [], ended: [] };
  const resource = registry.tables.resource('example.com', version, 'doors')!;
  const sink = {
    deliver: (batch: readonly WatchDelivery[]) => void seen.deliveries.push(...batch),
    end: (error?: unknown) => void seen.ended.push(error),
  };
  await registry.api.watch(registry.ctx(undefined, signal), { resource, namespace: 'default' }, {}, sink);
  return seen;
}

const converted = (objects: readonly KubeObject[], apiVersion: string): KubeObject[] =>
  objects.map((object) => ({ ...object, apiVersion }));

test('more first states than changes may wait all come, however long the webhook takes for each', async () => {
  const count = 10_200;
  let asked = 0;
  const registry = await withDoors(count, async (_, objects, apiVersion) => {
    if (asked++ === 0) for (let i = 0; i < 1_000; i++) await nextTurn();
    return converted(objects, apiVersion);
  });
  const stop = new AbortController();
  const seen = await watched(registry, 'v2', stop.signal);
  await until('all are there', () => seen.ended.length > 0 || seen.deliveries.length === count);
  assert.deepEqual(seen.ended, []);
  const versions = new Set(seen.deliveries.map((one) => one.type !== 'BOOKMARK' && one.object.object.apiVersion));
  assert.deepEqual([...versions], ['example.com/v2']);
  stop.abort();
  await registry.close();
});

test('a webhook that never answers holds up those only who need it, and their ends are not held up', async () => {
  const asked: AbortSignal[] = [];
  const registry = await withDoors(3, (_name, _objects, _version, signal) => {
    asked.push(signal);
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  });
  const stop = new AbortController();
  const held = await watched(registry, 'v2', stop.signal);
  const plain = await watched(registry, 'v1', stop.signal);
  await until('the stored version comes', () => plain.deliveries.length === 3);
  await until('the webhook is asked', () => asked.length === 1);
  assert.deepEqual(held.deliveries, []);
  const resource = registry.tables.resource('example.com', 'v1', 'doors')!;
  const { items } = await registry.api.list(registry.ctx(), { resource }, {});
  assert.equal(items.length, 3);
  stop.abort(new Error('the client has gone'));
  assert.deepEqual([held.ended.length, plain.ended.length], [1, 1]);
  assert.ok(asked[0]!.aborted, 'nobody waits for the answer any more');
  await registry.close();
});
