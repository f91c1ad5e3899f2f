// Addresses and ports of Services, over the whole registry.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Service } from '../../api/generated/types.ts';
import { StatusError } from '../../machinery/status.ts';
import { secondRegistry, type TestRegistry, testRegistry } from './test-registry.ts';

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
