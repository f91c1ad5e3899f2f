import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice, Endpoints } from '../api/generated/types.ts';
import { decideMirror, endpointSliceMirroringController } from './endpoint-slice-mirroring.ts';
import { runTestControllers } from './test-controllers.ts';

const subset = (...ips: string[]) => ({ addresses: ips.map((ip) => ({ ip })), ports: [{ port: 80 }] });

test('Endpoints of a service without a selector are mirrored, follow their changes and go with them', async () => {
  const cluster = await runTestControllers(endpointSliceMirroringController());
  const { client } = cluster;
  const at = { namespace: 'default', name: 'outside' };
  const slices = async (): Promise<EndpointSlice[]> => {
    await cluster.pass(1000);
    return [...(await client.resource('endpointslices.discovery.k8s.io').list({ namespace: 'default' })).items].filter(
      ({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'outside',
    );
  };
  await client
    .resource('endpoints')
    .create({ metadata: { ...at, labels: { team: 'a' } }, subsets: [subset('192.0.2.1')] });
  assert.deepEqual(await slices(), [], 'there is no service');
  await client.resource('services').create({ metadata: at, spec: { ports: [{ port: 80 }] } });
  const [slice, ...others] = await slices();
  assert.equal(others.length, 0);
  assert.deepEqual(slice?.metadata.labels, {
    team: 'a',
    'kubernetes.io/service-name': 'outside',
    'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io',
  });
  assert.equal(slice.metadata.ownerReferences?.[0]?.kind, 'Endpoints');
  assert.deepEqual(slice.endpoints, [{ addresses: ['192.0.2.1'], conditions: { ready: true } }]);
  assert.deepEqual(slice.ports, [{ name: '', port: 80, protocol: 'TCP' }]);

  const endpoints = (await client.resource('endpoints').get(at)) as Endpoints;
  await client.resource('endpoints').update({ ...endpoints, subsets: [subset('192.0.2.2'), subset('2001:db8::1')] });
  const two = await slices();
  assert.deepEqual(two.map(({ addressType, endpoints: all }) => [addressType, all?.[0]?.addresses[0]]).sort(), [
    ['IPv4', '192.0.2.2'],
    ['IPv6', '2001:db8::1'],
  ]);
  assert.ok(
    two.some(({ metadata }) => metadata.name === slice.metadata.name),
    'the first slice was changed, not replaced',
  );
  await client.resource('endpoints').delete(at);
  assert.deepEqual(await slices(), []);
  await cluster.close();
});

test('a second look changes nothing; what asks not to be mirrored is not', () => {
  const endpoints: Endpoints = {
    metadata: { namespace: 'default', name: 'e', uid: 'u' },
    subsets: [{ ...subset('192.0.2.1'), notReadyAddresses: [{ ip: '192.0.2.2', hostname: 'h' }] }, subset('192.0.2.3')],
  };
  const first = decideMirror(endpoints, []);
  assert.deepEqual(
    first.create[0]?.endpoints?.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
    [
      ['192.0.2.1', true],
      ['192.0.2.2', false],
      ['192.0.2.3', true],
    ],
  );
  assert.deepEqual(decideMirror(endpoints, first.create), { create: [], update: [], remove: [] });
  const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
  const skipped = { ...endpoints, metadata: { ...endpoints.metadata, labels } };
  assert.deepEqual(decideMirror(skipped, first.create), { create: [], update: [], remove: first.create });
  const annotations = { 'control-plane.alpha.kubernetes.io/leader': '{}' };
  assert.deepEqual(decideMirror({ ...endpoints, metadata: { ...endpoints.metadata, annotations } }, []).create, []);
});
