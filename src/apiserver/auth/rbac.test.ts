import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Tables } from '../../api/tables.ts';
import { FakeClock, settle } from '../../lib/fake-clock.ts';
import { realEnvironment } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { startCaches } from '../cache/cache-set.ts';
import type { Attributes, UserInfo } from '../contract.ts';
import { clusterRoleBindings, clusterRoles } from './bootstrap-roles.ts';
import { alwaysAllow, type RbacAuthorizer, rbacAuthorizer } from './rbac.ts';
import { uncovered } from './rbac-rules.ts';

const tables = new Tables();
const clock = new FakeClock();
const store = openMemoryStore({ clock });
const stop = new AbortController();
const revisions = new Map<string, number>();
let rbac: RbacAuthorizer;

async function write(
  resource: string,
  object: { metadata: { name: string; namespace?: string | undefined } } | null,
  key?: string,
) {
  const { name, namespace } = object?.metadata ?? { name: key!, namespace: undefined };
  const path = `/registry/${resource}/${namespace ? `${namespace}/` : ''}${name}`;
  const value = object === null ? null : Buffer.from(JSON.stringify(object));
  const outcome = await store.write({ key: path, value, expected: revisions.get(path) ?? 0 }, stop.signal);
  assert.equal(outcome.kind, 'committed');
  if (outcome.kind === 'committed') revisions.set(path, object === null ? 0 : outcome.revision);
}

const role = (name: string, namespace: string | undefined, ...rules: object[]) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: namespace ? 'Role' : 'ClusterRole',
  metadata: { name, ...(namespace && { namespace }), uid: 'x', creationTimestamp: '2026-01-01T00:00:00Z' },
  rules,
});
const binding = (
  name: string,
  namespace: string | undefined,
  kind: string,
  roleName: string,
  ...subjects: object[]
) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: namespace ? 'RoleBinding' : 'ClusterRoleBinding',
  metadata: { name, ...(namespace && { namespace }), uid: 'x', creationTimestamp: '2026-01-01T00:00:00Z' },
  subjects,
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: roleName },
});

before(async () => {
  const env = { ...realEnvironment('silent'), clock };
  const caches = await startCaches(store, tables, () => ({}), env, stop.signal);
  rbac = rbacAuthorizer(caches, tables, stop.signal);
});
after(async () => {
  stop.abort();
  await store.close();
});

const user = (username: string, ...groups: string[]): UserInfo => ({ username, groups });
const pods = (verb: string, more: Partial<Extract<Attributes, { resource: string }>> = {}): Attributes => ({
  verb,
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'default',
  name: '',
  ...more,
});

test('a denial reads as upstream writes it', () => {
  const { allowed, reason } = rbac.authorize(user('alice'), pods('list'));
  assert.equal(allowed, false);
  assert.equal(reason, 'User "alice" cannot list resource "pods" in API group "" in the namespace "default"');
  assert.equal(
    rbac.authorize(user('alice'), pods('get', { namespace: '', resource: 'nodes', subresource: 'proxy' })).reason,
    'User "alice" cannot get resource "nodes/proxy" in API group "" at the cluster scope',
  );
  assert.equal(rbac.authorize(user('a'), { verb: 'get', path: '/x' }).reason, 'User "a" cannot get path "/x"');
});

test('a role binding grants in its namespace only, until it is deleted', async () => {
  await write(
    'roles',
    role('reader', 'default', { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods', 'pods/log'] }),
  );
  await write('rolebindings', binding('readers', 'default', 'Role', 'reader', { kind: 'User', name: 'bob' }));
  await settle();
  const bob = user('bob');
  assert.equal(rbac.authorize(bob, pods('list')).allowed, true);
  assert.equal(
    rbac.decide(bob, pods('list')).why,
    'RBAC: allowed by RoleBinding "readers/default" of Role "reader" to User "bob"',
  );
  assert.equal(rbac.authorize(bob, pods('get', { subresource: 'log' })).allowed, true);
  assert.equal(rbac.authorize(bob, pods('get', { subresource: 'exec' })).allowed, false);
  assert.equal(rbac.authorize(bob, pods('list', { namespace: 'other' })).allowed, false);
  assert.equal(rbac.authorize(bob, pods('list', { namespace: '' })).allowed, false);
  assert.equal(rbac.authorize(bob, pods('delete')).allowed, false);
  const key = '/registry/rolebindings/default/readers';
  await store.write({ key, value: null, expected: revisions.get(key)! }, stop.signal);
  await settle();
  assert.equal(rbac.authorize(bob, pods('list')).allowed, false);
});

test('resource names, wildcards, groups, service accounts and paths', async () => {
  await write(
    'clusterroles',
    role(
      'mixed',
      undefined,
      { verbs: ['update'], apiGroups: [''], resources: ['configmaps'], resourceNames: ['leader'] },
      { verbs: ['*'], apiGroups: ['*'], resources: ['*/scale'] },
      { verbs: ['get'], nonResourceURLs: ['/healthz/*', '/version'] },
    ),
  );
  const subjects = [
    { kind: 'Group', name: 'ops' },
    { kind: 'ServiceAccount', name: 'robot', namespace: 'tools' },
  ];
  await write('clusterrolebindings', binding('mixed', undefined, 'ClusterRole', 'mixed', ...subjects));
  await settle();
  for (const who of [user('x', 'ops'), user('system:serviceaccount:tools:robot')]) {
    const may = (attributes: Attributes): boolean => rbac.authorize(who, attributes).allowed;
    assert.equal(may(pods('update', { resource: 'configmaps', name: 'leader' })), true);
    assert.equal(may(pods('update', { resource: 'configmaps', name: 'other' })), false);
    assert.equal(may(pods('update', { resource: 'configmaps' })), false);
    assert.equal(may(pods('patch', { group: 'apps', resource: 'deployments', subresource: 'scale' })), true);
    assert.equal(may(pods('patch', { group: 'apps', resource: 'deployments' })), false);
    assert.equal(may({ verb: 'get', path: '/healthz/ping' }), true);
    assert.equal(may({ verb: 'get', path: '/healthz' }), false);
    assert.equal(may({ verb: 'post', path: '/version' }), false);
  }
  assert.equal(rbac.authorize(user('robot'), { verb: 'get', path: '/version' }).allowed, false);
});

test('a role that does not exist grants nothing and is told', async () => {
  await write(
    'clusterrolebindings',
    binding('ghost', undefined, 'ClusterRole', 'ghost', { kind: 'User', name: 'carl' }),
  );
  await settle();
  assert.equal(rbac.authorize(user('carl'), pods('get')).allowed, false);
  const { rules, problem } = rbac.rulesFor(user('carl'), 'default');
  assert.deepEqual(rules, []);
  assert.equal(problem, 'clusterrole.rbac.authorization.k8s.io "ghost" not found');
});

test('masters may do everything; so may everyone where nothing is asked', () => {
  assert.equal(rbac.authorize(user('root', 'system:masters'), pods('delete')).allowed, true);
  assert.equal(alwaysAllow.authorize(user('x'), pods('delete')).allowed, true);
});

test('the standard roles are what clusters rely on', async () => {
  for (const one of clusterRoles()) await write('clusterroles', one);
  for (const one of clusterRoleBindings()) await write('clusterrolebindings', one);
  await settle();
  const may = (who: UserInfo, attributes: Attributes): boolean => rbac.authorize(who, attributes).allowed;
  const node = user('system:node:a', 'system:nodes', 'system:authenticated');
  assert.equal(may(node, pods('patch', { subresource: 'status' })), true);
  assert.equal(
    may(node, pods('get', { group: 'coordination.k8s.io', resource: 'leases', namespace: 'kube-node-lease' })),
    true,
  );
  assert.equal(may(node, pods('delete', { resource: 'secrets' })), false);
  const anonymous = user('system:anonymous', 'system:unauthenticated');
  assert.equal(may(anonymous, { verb: 'get', path: '/readyz' }), true);
  assert.equal(may(anonymous, { verb: 'get', path: '/api' }), false);
  const scheduler = user('system:kube-scheduler', 'system:authenticated');
  assert.equal(may(scheduler, pods('create', { subresource: 'binding' })), true);
  assert.equal(may(scheduler, pods('create')), false);
  const deployments = user('system:serviceaccount:kube-system:deployment-controller');
  assert.equal(may(deployments, pods('create', { group: 'apps', resource: 'replicasets' })), true);
  const names = new Set(clusterRoles().map((one) => one.metadata.name));
  for (const { roleRef } of clusterRoleBindings()) assert.ok(names.has(roleRef.name), roleRef.name);
  const view = clusterRoles().find((one) => one.metadata.name === 'view')!;
  const edit = clusterRoles().find((one) => one.metadata.name === 'edit')!;
  assert.deepEqual(uncovered(edit.rules!, view.rules!), []);
  assert.notDeepEqual(uncovered(view.rules!, edit.rules!), []);
  assert.ok(!view.rules!.some((rule) => rule.resources?.includes('secrets')), 'who may view may not read secrets');
});

test('what would be granted beyond what is held is named part by part', () => {
  const owned = [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }];
  assert.deepEqual(
    uncovered(owned, [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], resourceNames: ['a'] }]),
    [],
  );
  assert.deepEqual(uncovered(owned, [{ verbs: ['get', 'delete'], apiGroups: [''], resources: ['pods'] }]), [
    { verbs: ['delete'], apiGroups: [''], resources: ['pods'] },
  ]);
  const one = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], resourceNames: ['a'] }];
  assert.equal(uncovered(one, [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }]).length, 1);
});
