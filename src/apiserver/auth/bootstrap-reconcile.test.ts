import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterRole, ClusterRoleBinding } from '../../api/generated/types.ts';
import { reconciled } from './bootstrap-reconcile.ts';
import { AUTOUPDATE_ANNOTATION, clusterRoleBindings, clusterRoles } from './bootstrap-roles.ts';

const role = (name: string): ClusterRole => clusterRoles().find((one) => one.metadata.name === name)!;
const wanted = role('system:kube-scheduler');

test('what is as it should be is left alone', () => {
  for (const one of clusterRoles()) assert.equal(reconciled(one, one), undefined);
  for (const one of clusterRoleBindings()) assert.equal(reconciled(one, one), undefined);
});

test('a lost rule comes back, an added one stays', () => {
  const own = { verbs: ['get'], apiGroups: ['example.com'], resources: ['things'] };
  const current: ClusterRole = { ...wanted, rules: [own, ...wanted.rules!.slice(1)] };
  const next = reconciled(current, wanted) as ClusterRole;
  assert.deepEqual(next.rules, [own, ...wanted.rules!.slice(1), wanted.rules![0]]);
  assert.equal(reconciled(next, wanted), undefined);
});

test('a lost subject comes back, an added one stays', () => {
  const binding = clusterRoleBindings().find((one) => one.metadata.name === 'system:discovery')!;
  const own = { kind: 'User', name: 'me', apiGroup: 'rbac.authorization.k8s.io' };
  const next = reconciled({ ...binding, subjects: [own] } as ClusterRoleBinding, binding) as ClusterRoleBinding;
  assert.deepEqual(next.subjects, [own, ...binding.subjects!]);
});

test('lost labels come back together with lost annotations', () => {
  const { labels: _, annotations: __, ...bare } = wanted.metadata;
  assert.deepEqual(reconciled({ ...wanted, metadata: bare } as ClusterRole, wanted)?.metadata, wanted.metadata);
});

test('an object that asks to be left alone is, and so are the rules of an aggregated role', () => {
  const metadata = { ...wanted.metadata, annotations: { [AUTOUPDATE_ANNOTATION]: 'false' } };
  assert.equal(reconciled({ ...wanted, metadata, rules: [] } as ClusterRole, wanted), undefined);
  assert.equal(reconciled({ ...role('admin'), rules: [] } as ClusterRole, role('admin')), undefined);
});
