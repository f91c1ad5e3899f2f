// What the API server says of itself: discovery, OpenAPI, version, health and metrics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONFIG_MAPS, http2, server } from './test-server.ts';

test('discovery: legacy, aggregated, and unchanged', async () => {
  assert.deepEqual((await http2('GET', '/api')).json.versions, ['v1']);
  const core = (await http2('GET', '/api/v1')).json.resources as { name: string; kind: string; group?: string }[];
  assert.equal(core.find((one) => one.name === 'pods')?.kind, 'Pod');
  assert.equal(core.find((one) => one.name === 'pods/eviction')?.group, 'policy');
  const groups = (await http2('GET', '/apis')).json.groups as {
    name: string;
    preferredVersion: { groupVersion: string };
  }[];
  assert.equal(groups.find((one) => one.name === 'autoscaling')?.preferredVersion.groupVersion, 'autoscaling/v2');
  assert.equal((await http2('GET', '/apis/apps')).json.kind, 'APIGroup');
  assert.equal((await http2('GET', '/apis/apps/v1')).json.groupVersion, 'apps/v1');
  assert.equal((await http2('GET', '/apis/none.example')).status, 404);
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
  const aggregated = await http2('GET', '/apis', { headers: { accept } });
  assert.equal(aggregated.json.kind, 'APIGroupDiscoveryList');
  assert.match(String(aggregated.headers['content-type']), /as=APIGroupDiscoveryList/);
  const again = await http2('GET', '/apis', { headers: { accept, 'if-none-match': String(aggregated.headers.etag) } });
  assert.equal(again.status, 304);
});

test('OpenAPI v3 and v2 describe what kubectl asks for', async () => {
  const index = (await http2('GET', '/openapi/v3')).json.paths;
  const apps = (await http2('GET', index['apis/apps/v1'].serverRelativeURL)).json;
  const item = apps.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'];
  assert.ok(item.patch.parameters.some((one: { name: string }) => one.name === 'fieldValidation'));
  assert.deepEqual(item.patch['x-kubernetes-group-version-kind'], { group: 'apps', version: 'v1', kind: 'Deployment' });
  const podSpec = apps.components.schemas['io.k8s.api.core.v1.PodSpec'];
  assert.equal(podSpec.properties.containers['x-kubernetes-patch-merge-key'], 'name');
  for (const reference of JSON.stringify(apps).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    assert.ok(apps.components.schemas[reference[1]!], `${reference[1]} is missing`);
  }
  const stale = await http2('GET', '/openapi/v3/apis/apps/v1?hash=0');
  assert.deepEqual([stale.status, stale.headers.location], [301, index['apis/apps/v1'].serverRelativeURL]);
  const v2 = (await http2('GET', '/openapi/v2')).json;
  assert.ok(v2.definitions['io.k8s.api.core.v1.Pod']);
  assert.ok(v2.paths['/api/v1/namespaces/{namespace}/pods/{name}/log'].get);
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  const protobuf = await http2('GET', '/openapi/v2', { headers: { accept } });
  assert.equal(protobuf.headers['content-type'], 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
});

test('version, health, metrics and the issuer’s documents', async () => {
  assert.equal((await http2('GET', '/version')).json.gitVersion, 'v1.36.0+tsukube');
  assert.match((await http2('GET', '/readyz?verbose')).text, /\[\+\]etcd ok\n[\s\S]*readyz check passed/);
  assert.equal((await http2('GET', '/readyz/etcd')).text, 'ok');
  assert.equal((await http2('GET', '/readyz/none')).status, 404);
  await http2('GET', CONFIG_MAPS);
  assert.match(
    (await http2('GET', '/metrics')).text,
    /apiserver_request_total\{verb="LIST"[^}]*resource="configmaps"[^}]*code="200"/,
  );
  const configuration = (await http2('GET', '/.well-known/openid-configuration')).json;
  assert.equal(configuration.issuer, server.tokens.issuer);
  assert.equal((await http2('GET', '/openid/v1/jwks')).json.keys.length, 1);
});
