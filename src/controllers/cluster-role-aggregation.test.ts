import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterRole, PolicyRule } from '../api/generated/types.ts';
import { clusterRoleAggregationController, decideRules } from './cluster-role-aggregation.ts';
import { runTestControllers } from './test-controllers.ts';

const rule = (resource: string): PolicyRule => ({ apiGroups: [''], resources: [resource], verbs: ['get'] });
const part = (name: string, to: string, ...resources: string[]): ClusterRole => ({
  metadata: { name, labels: { to } },
  rules: resources.map(rule),
});
const whole = (rules: readonly PolicyRule[], ...to: string[]): ClusterRole => ({
  metadata: { name: 'whole', labels: { to: 'x' } },
  aggregationRule: { clusterRoleSelectors: to.map((one) => ({ matchLabels: { to: one } })) },
  rules,
});

test('rules come by name, each once, from whoever fits a selector; what is so already is not written', () => {
  const others = [
    part('c', 'y', 'secrets'),
    part('b', 'x', 'pods', 'nodes'),
    part('a', 'x', 'nodes'),
    part('d', 'z', 'events'),
  ];
  const wanted = ['nodes', 'pods', 'secrets'].map(rule);
  const before = whole([rule('old')], 'x', 'y');
  assert.deepEqual(decideRules(before, [before, ...others]), wanted);
  assert.equal(decideRules(whole(wanted, 'x', 'y'), others), undefined);
  assert.deepEqual(decideRules(whole(wanted), others), []);
  assert.equal(decideRules(others[0]!, others), undefined, 'a role of its own is left alone');
  const ending = { ...before, metadata: { ...before.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.equal(decideRules(ending, others), undefined);
});

test('roles that come, change and go are followed', async () => {
  const cluster = await runTestControllers(clusterRoleAggregationController());
  try {
    const roles = cluster.client.resource('clusterroles.rbac.authorization.k8s.io');
    const has = async (...resources: string[]): Promise<void> => {
      await cluster.pass(0);
      assert.deepEqual((await roles.get({ name: 'whole' })).rules ?? [], resources.map(rule));
    };
    await roles.create(whole([], 'x'));
    await roles.create(part('a', 'x', 'pods'));
    await has('pods');
    const changed = await roles.get({ name: 'a' });
    await roles.update({ ...changed, rules: [rule('pods'), rule('nodes')] });
    await has('pods', 'nodes');
    await roles.delete({ name: 'a' });
    await has();
  } finally {
    await cluster.close();
  }
});
