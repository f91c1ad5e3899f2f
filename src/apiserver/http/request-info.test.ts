import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RequestInfo, requestInfo } from './request-info.ts';

const info = (method: string, target: string): RequestInfo => {
  const [path = '', query = ''] = target.split('?');
  return requestInfo(method, path, new URLSearchParams(query));
};

// method and target → verb, group/version, namespace, resource/subresource, name (upstream's requestinfo_test.go has the same cases)
const CASES: readonly (readonly [string, string, string, string, string, string, string])[] = [
  ['GET', '/api/v1/namespaces', 'list', '/v1', '', 'namespaces', ''],
  ['GET', '/api/v1/namespaces/other', 'get', '/v1', 'other', 'namespaces', 'other'],
  ['GET', '/api/v1/namespaces/other/pods', 'list', '/v1', 'other', 'pods', ''],
  ['GET', '/api/v1/namespaces/other/pods/foo', 'get', '/v1', 'other', 'pods', 'foo'],
  ['HEAD', '/api/v1/namespaces/other/pods/foo', 'get', '/v1', 'other', 'pods', 'foo'],
  ['GET', '/api/v1/pods', 'list', '/v1', '', 'pods', ''],
  ['HEAD', '/api/v1/pods', 'list', '/v1', '', 'pods', ''],
  ['GET', '/api/v1/namespaces/other/pods?watch=true', 'watch', '/v1', 'other', 'pods', ''],
  ['GET', '/api/v1/namespaces/other/pods?watch=false', 'list', '/v1', 'other', 'pods', ''],
  ['GET', '/api/v1/watch/namespaces/other/pods', 'watch', '/v1', 'other', 'pods', ''],
  ['GET', '/api/v1/watch/pods', 'watch', '/v1', '', 'pods', ''],
  ['GET', '/api/v1/namespaces/other/pods?fieldSelector=metadata.name%3Dfoo', 'list', '/v1', 'other', 'pods', 'foo'],
  ['GET', '/api/v1/namespaces/other/pods?fieldSelector=metadata.name!%3Dfoo', 'list', '/v1', 'other', 'pods', ''],
  ['GET', '/api/v1/namespaces/other/pods/foo/log', 'get', '/v1', 'other', 'pods/log', 'foo'],
  ['PUT', '/api/v1/namespaces/other/finalize', 'update', '/v1', 'other', 'namespaces/finalize', 'other'],
  ['PUT', '/api/v1/namespaces/other/status', 'update', '/v1', 'other', 'namespaces/status', 'other'],
  ['POST', '/api/v1/namespaces', 'create', '/v1', '', 'namespaces', ''],
  ['DELETE', '/api/v1/namespaces/other/pods', 'deletecollection', '/v1', 'other', 'pods', ''],
  ['DELETE', '/api/v1/namespaces/other/pods/foo', 'delete', '/v1', 'other', 'pods', 'foo'],
  ['PATCH', '/apis/apps/v1/namespaces/other/deployments/d', 'patch', 'apps/v1', 'other', 'deployments', 'd'],
  ['GET', '/apis/apps/v1/namespaces/other/deployments/d/scale', 'get', 'apps/v1', 'other', 'deployments/scale', 'd'],
  [
    'GET',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode',
    'get',
    'rbac.authorization.k8s.io/v1',
    '',
    'clusterroles',
    'system:node',
  ],
];

for (const [method, target, verb, version, namespace, resource, name] of CASES) {
  test(`${method} ${target}`, () => {
    const found = info(method, target);
    assert.equal(found.isResource, true);
    const what = found.subresource === '' ? found.resource : `${found.resource}/${found.subresource}`;
    const read = [found.verb, `${found.group}/${found.version}`, found.namespace, what, found.name];
    assert.deepEqual(read, [verb, version, namespace, resource, name]);
  });
}

test('paths that are no resources keep their method', () => {
  for (const path of ['/', '/api', '/api/v1', '/apis', '/apis/apps', '/apis/apps/v1', '/healthz', '/version']) {
    const found = info('GET', path);
    assert.equal(found.isResource, false, path);
    assert.deepEqual([found.verb, found.path], ['get', path]);
  }
});

test('a proxied path is kept as it was sent', () => {
  assert.equal(info('GET', '/api/v1/namespaces/n/pods/p/proxy/a%20b/c/').rest, 'a%20b/c/');
});

test('bad escapes and a bare watch prefix are refused', () => {
  assert.throws(() => info('GET', '/api/v1/pods/%zz'), /invalid URL escape/);
  assert.throws(() => info('GET', '/api/v1/watch'), /unable to determine kind and namespace from url/);
});
