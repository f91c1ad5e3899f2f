// What clients rely on in pods and in what pods are given, over the whole registry.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ConfigMap, Pod } from '../../api/generated/types.ts';
import { StatusError } from '../../machinery/status.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry();
});
after(() => registry.close());

const pod = (name: string, spec: object = {}, metadata: object = {}): object => ({
  metadata: { namespace: 'default', name, ...metadata },
  spec: { containers: [{ name: 'c', image: 'a' }], ...spec },
});

const refused =
  (pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error));
    assert.match(error.message, pattern);
    return true;
  };

test('the generation of a pod begins at one and counts what is wanted of it', async () => {
  const generation = async (): Promise<number | undefined> =>
    (await registry.get('pods', 'counted', 'default')).metadata.generation;
  await registry.create('pods', pod('counted', { nodeName: 'n' }, { generation: 100 }));
  assert.equal(await generation(), 1);
  await registry.merge('pods', { namespace: 'default', name: 'counted' }, { metadata: { labels: { a: 'b' } } });
  await registry.merge('pods/status', { namespace: 'default', name: 'counted' }, { status: { message: 'm' } });
  assert.equal(await generation(), 1);
  const spec = { containers: [{ name: 'c', image: 'b' }] };
  const type = 'application/strategic-merge-patch+json';
  const target = registry.target('pods', 'default', 'counted');
  await registry.api.patch(registry.ctx(), target, { type, body: { spec } }, {});
  assert.equal(await generation(), 2);
  await registry.api.delete(registry.ctx(), target, {});
  assert.equal(await generation(), 3);
});

test('a CSI volume inside a pod is kept as it was asked for', async () => {
  const driver = { metadata: { name: 'csi.example.com' }, spec: { volumeLifecycleModes: ['Ephemeral'] } };
  await registry.create('csidrivers.storage.k8s.io', driver);
  const csi = { driver: 'csi.example.com', readOnly: true, fsType: 'ext4', volumeAttributes: { size: '1Gi' } };
  for (const name of ['inline-1', 'inline-2']) {
    const made = (await registry.create('pods', pod(name, { volumes: [{ name: 'v', csi }] }))) as Pod;
    assert.deepEqual(made.spec.volumes?.[0], { name: 'v', csi });
  }
  await registry.merge('pods', { namespace: 'default', name: 'inline-1' }, { metadata: { labels: { a: 'b' } } });
  const kept = (await registry.get('pods', 'inline-1', 'default')) as Pod;
  assert.deepEqual([kept.metadata.labels, kept.spec.volumes?.[0]], [{ a: 'b' }, { name: 'v', csi }]);
  const nameless = pod('inline-3', { volumes: [{ name: 'v', csi: { readOnly: true } }] });
  await assert.rejects(registry.create('pods', nameless), refused(/spec.volumes\[0\].csi.driver: Required value/));
});

describe('ConfigMaps and Secrets', () => {
  for (const kind of ['configmaps', 'secrets']) {
    test(`${kind} that are immutable keep their data and their mark`, async () => {
      const at = { namespace: 'default', name: 'fixed' };
      const data = kind === 'secrets' ? 'YQ==' : 'a';
      await registry.create(kind, { metadata: at, data: { a: data } });
      await registry.merge(kind, at, { data: { b: data } });
      await registry.merge(kind, at, { immutable: true });
      const why = refused(/field is immutable when `immutable` is set/);
      await assert.rejects(registry.merge(kind, at, { data: { a: null } }), why);
      await assert.rejects(registry.merge(kind, at, { immutable: false }), why);
      await registry.merge(kind, at, { metadata: { labels: { a: 'b' } } });
      const kept = (await registry.get(kind, 'fixed', 'default')) as ConfigMap;
      assert.deepEqual([kept.data, kept.immutable], [{ a: data, b: data }, true]);
      await registry.api.delete(registry.ctx(), registry.target(kind, 'default', 'fixed'), {});
    });
  }
});

describe('a RuntimeClass', () => {
  test('that is not there, or no longer, is refused', async () => {
    const why = refused(/^pods "p" is forbidden: pod rejected: RuntimeClass "gone" not found$/);
    await assert.rejects(registry.create('pods', pod('p', { runtimeClassName: 'gone' })), why);
    await registry.create('runtimeclasses.node.k8s.io', { metadata: { name: 'gone' }, handler: 'h' });
    await registry.api.delete(registry.ctx(), registry.target('runtimeclasses.node.k8s.io', undefined, 'gone'), {});
    await assert.rejects(registry.create('pods', pod('p', { runtimeClassName: 'gone' })), why);
  });

  test('gives a pod its overhead, if it has any', async () => {
    const overhead = { podFixed: { cpu: '10m' } };
    await registry.create('runtimeclasses.node.k8s.io', { metadata: { name: 'heavy' }, handler: 'h', overhead });
    await registry.create('runtimeclasses.node.k8s.io', { metadata: { name: 'light' }, handler: 'h' });
    const heavy = (await registry.create('pods', pod('heavy', { runtimeClassName: 'heavy' }))) as Pod;
    const light = (await registry.create('pods', pod('light', { runtimeClassName: 'light' }))) as Pod;
    assert.deepEqual([heavy.spec.overhead, light.spec.overhead], [{ cpu: '10m' }, undefined]);
  });
});
