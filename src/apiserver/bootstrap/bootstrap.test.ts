import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigMap, EndpointSlice, Endpoints, Service } from '../../api/generated/types.ts';
import { secondRegistry, testRegistry } from '../registry/test-registry.ts';
import { bootstrap, publishServers, SYSTEM_NAMESPACES } from './bootstrap.ts';

const inputs = {
  port: 6443,
  serviceIP: '10.96.0.1',
  serviceCIDR: '10.96.0.0/16',
  clientCA: 'client CA',
  requestHeaderCA: 'proxy CA',
  rootCA: 'root CA',
};

const servers = { addresses: ['10.0.0.2', '10.0.0.1'], port: 6443 };

test('two servers at once make the same cluster; a second start changes nothing', async () => {
  const first = await testRegistry();
  const second = await secondRegistry(first);
  const start = async (s: typeof first): Promise<void> => {
    await bootstrap(s.api, s.tables, s.ctx(), inputs);
    await publishServers(s.api, s.tables, s.ctx(), servers);
  };
  await Promise.all([first, second].map(start));
  for (const name of SYSTEM_NAMESPACES) assert.equal((await second.get('namespaces', name)).metadata.name, name);
  const service = (await first.get('services', 'kubernetes', 'default')) as Service;
  assert.equal(service.spec.clusterIP, '10.96.0.1');
  assert.deepEqual(service.spec.ipFamilies, ['IPv4']);
  const endpoints = (await first.get('endpoints', 'kubernetes', 'default')) as Endpoints;
  assert.deepEqual(
    endpoints.subsets?.[0]?.addresses?.map((a) => a.ip),
    ['10.0.0.1', '10.0.0.2'],
  );
  const ca = (await first.get('configmaps', 'kube-root-ca.crt', 'kube-system')) as ConfigMap;
  assert.equal(ca.data?.['ca.crt'], 'root CA');
  const before = await first.store.revision(first.ctx().signal);
  await start(second);
  assert.equal(await first.store.revision(first.ctx().signal), before);

  await publishServers(first.api, first.tables, first.ctx(), { addresses: ['10.0.0.9'], port: 6443 });
  const slice = (await second.get('endpointslices.discovery.k8s.io', 'kubernetes', 'default')) as EndpointSlice;
  assert.deepEqual(
    slice.endpoints?.map((e) => e.addresses),
    [['10.0.0.9']],
  );
  await second.close();
});
