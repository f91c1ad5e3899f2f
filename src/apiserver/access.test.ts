// Who may do what, as clients see it.
import assert from 'node:assert/strict';
import { Agent as HttpsAgent } from 'node:https';
import { test } from 'node:test';
import { until } from '../lib/test-until.ts';
import { CONFIG_MAPS, configMap, http1With, http2, server } from './test-server.ts';

test('who is not known may do little, who is known what the roles say', async () => {
  const bare = http1With(new HttpsAgent({ ca: server.caCertificate }));
  assert.equal((await bare('GET', '/readyz')).text, 'ok');
  const anonymous = await bare('GET', CONFIG_MAPS);
  assert.equal(anonymous.status, 403);
  assert.equal(
    anonymous.json.message,
    'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default"',
  );
  assert.equal((await bare('GET', '/api')).json.message, 'forbidden: User "system:anonymous" cannot get path "/api"');
  assert.equal((await bare('GET', CONFIG_MAPS, { headers: { authorization: 'Bearer nonsense' } })).status, 401);
  const headers = { authorization: 'Bearer viewer-token' };
  assert.equal((await bare('GET', CONFIG_MAPS, { headers })).status, 403);
  const binding = {
    metadata: { name: 'vera' },
    subjects: [{ kind: 'User', name: 'vera', apiGroup: 'rbac.authorization.k8s.io' }],
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
  };
  const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings';
  assert.equal((await http2('POST', path, { body: binding })).status, 201);
  await until('vera may list', async () => (await bare('GET', CONFIG_MAPS, { headers })).status === 200);
  assert.equal((await bare('GET', '/api/v1/namespaces/default/secrets', { headers })).status, 403);
  assert.equal((await bare('POST', CONFIG_MAPS, { body: 'not even JSON', headers })).status, 403);
  assert.equal((await bare('GET', '/api/v1/configmaps', { headers })).status, 403);
  assert.equal((await bare('GET', '/api/v1/namespaces/default', { headers })).status, 200);
  assert.equal((await bare('GET', '/api/v1/namespaces/kube-system', { headers })).status, 403);
});

test('a service account’s token is issued, used, and dies with the account', async () => {
  const accounts = '/api/v1/namespaces/default/serviceaccounts';
  await http2('POST', accounts, { body: { metadata: { name: 'robot' } } });
  const issued = await http2('POST', `${accounts}/robot/token`, { body: { spec: { expirationSeconds: 600 } } });
  assert.equal(issued.status, 201);
  const bare = http1With(new HttpsAgent({ ca: server.caCertificate }));
  const headers = { authorization: `Bearer ${issued.json.status.token}` };
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const me = await bare('POST', path, { body: {}, headers });
  assert.equal(me.json.status.userInfo.username, 'system:serviceaccount:default:robot');
  const review = await http2('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: { spec: { token: issued.json.status.token } },
  });
  assert.equal(review.json.status.authenticated, true);
  await http2('DELETE', `${accounts}/robot`);
  assert.equal((await bare('POST', path, { body: {}, headers })).status, 401);
});

test('access reviews answer for others and for oneself', async () => {
  const reviews = '/apis/authorization.k8s.io/v1';
  const resourceAttributes = { namespace: 'default', verb: 'list', resource: 'configmaps' };
  const vera = await http2('POST', `${reviews}/subjectaccessreviews`, {
    body: { spec: { user: 'vera', resourceAttributes } },
  });
  assert.deepEqual(vera.json.status, {
    allowed: true,
    reason: 'RBAC: allowed by RoleBinding "vera/default" of ClusterRole "view" to User "vera"',
  });
  const impersonating = { headers: { 'impersonate-user': 'nobody' }, body: { spec: { resourceAttributes } } };
  const nobody = await http2('POST', `${reviews}/selfsubjectaccessreviews`, impersonating);
  assert.deepEqual(nobody.json.status, { allowed: false });
});

test('a leader’s guards are checked, and only terms can be guarded by', async () => {
  const guarded = (value: string) =>
    http2('POST', CONFIG_MAPS, { body: configMap('guarded'), headers: { 'tsukube-guards': value } });
  assert.equal((await guarded(`${encodeURIComponent('/registry/secrets/x/y')}=0`)).status, 400);
  const held = `${encodeURIComponent('/registry/leases/kube-system/term')}=0`;
  const headers = { 'impersonate-user': 'jane', 'tsukube-guards': held };
  const stranger = await http2('GET', CONFIG_MAPS, { headers });
  assert.deepEqual(
    [stranger.status, stranger.json.message],
    [403, 'only components of the control plane may send tsukube-guards'],
  );
  assert.equal((await guarded(`${encodeURIComponent('/registry/leases/kube-system/term')}=7`)).status, 409);
  assert.equal((await guarded(`${encodeURIComponent('/registry/leases/kube-system/term')}=0`)).status, 201);
});
