import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReason, StatusError } from '../../machinery/status.ts';
import type { Attributes, Authorizer, UserInfo } from '../contract.ts';
import { type Credentials, createAuthenticator, impersonate } from './authenticate.ts';
import { denial } from './rbac.ts';

function credentials(headers: Record<string, string[]> = {}, certificate?: UserInfo | Error): Credentials {
  return {
    headers: (name) => headers[name] ?? [],
    headerNames: () => Object.keys(headers),
    certificateUser: () => {
      if (certificate instanceof Error) throw certificate;
      return certificate;
    },
  };
}

const ALICE: UserInfo = { username: 'alice', groups: ['dev', 'system:authenticated'] };
const authenticator = createAuthenticator({
  staticTokens: new Map([['secret', { username: 'bob', groups: ['ops'] }]]),
});

test('a certificate comes first, then a token, then nobody', async () => {
  const bearer = { authorization: ['Bearer secret'] };
  assert.equal((await authenticator.authenticate(credentials(bearer, ALICE))).username, 'alice');
  const bob = await authenticator.authenticate(credentials(bearer));
  assert.deepEqual(bob, { username: 'bob', groups: ['ops', 'system:authenticated'] });
  const nobody = await authenticator.authenticate(credentials());
  assert.deepEqual(nobody, { username: 'system:anonymous', groups: ['system:unauthenticated'] });
});

test('bad credentials are refused, never taken for anonymous', async () => {
  const refused = (error: unknown): boolean => isReason(error, 'Unauthorized');
  await assert.rejects(authenticator.authenticate(credentials({ authorization: ['Bearer wrong'] })), refused);
  await assert.rejects(authenticator.authenticate(credentials({}, new Error('unknown authority'))), refused);
  const strict = createAuthenticator({ anonymous: false });
  await assert.rejects(strict.authenticate(credentials()), refused);
});

test('a bad certificate does not spoil a good token', async () => {
  const user = await authenticator.authenticate(
    credentials({ authorization: ['bearer secret'] }, new Error('expired')),
  );
  assert.equal(user.username, 'bob');
});

test('a WebSocket client may send its token as a subprotocol', async () => {
  const protocol = `v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.${Buffer.from('secret').toString('base64url')}`;
  assert.equal(
    (await authenticator.authenticate(credentials({ 'sec-websocket-protocol': [protocol] }))).username,
    'bob',
  );
});

function authorizer(...allowed: string[]): Authorizer {
  return {
    authorize(user, attributes: Attributes) {
      assert.ok(!('path' in attributes));
      const { resource, subresource, namespace, name } = attributes;
      const asked = [resource, subresource, namespace, name].filter((part) => part !== '').join('/');
      return { allowed: allowed.includes(asked), reason: denial(user, attributes) };
    },
  };
}

test('impersonation needs leave for every part of the identity', () => {
  const headers = {
    'impersonate-user': ['jane'],
    'impersonate-group': ['a, b', 'c'],
    'impersonate-uid': ['7'],
    'impersonate-extra-scopes%2fx': ['view'],
  };
  const everything = ['users/jane', 'groups/a, b', 'groups/c', 'uids/7', 'userextras/scopes/x/view'];
  assert.deepEqual(impersonate(ALICE, credentials(headers), authorizer(...everything)), {
    username: 'jane',
    groups: ['a, b', 'c', 'system:authenticated'],
    uid: '7',
    extra: { 'scopes/x': ['view'] },
  });
  for (const missing of everything) {
    const rest = everything.filter((one) => one !== missing);
    assert.throws(() => impersonate(ALICE, credentials(headers), authorizer(...rest)), StatusError);
  }
});

test('a refused impersonation reads as upstream writes it', () => {
  assert.throws(() => impersonate(ALICE, credentials({ 'impersonate-user': ['jane'] }), authorizer()), {
    message:
      'users "jane" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope',
  });
});

test('an impersonated service account gets its groups', () => {
  const headers = { 'impersonate-user': ['system:serviceaccount:ns:robot'] };
  const user = impersonate(ALICE, credentials(headers), authorizer('serviceaccounts/ns/robot'));
  assert.deepEqual(user.groups, ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated']);
});

test('headers without a user are refused', () => {
  assert.throws(
    () => impersonate(ALICE, credentials({ 'impersonate-group': ['x'] }), authorizer()),
    /without impersonating a user/,
  );
  assert.equal(impersonate(ALICE, credentials(), authorizer()), ALICE);
});
