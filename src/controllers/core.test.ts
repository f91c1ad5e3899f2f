import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startApiServer } from '../apiserver/server.ts';
import { recordEvents } from '../client/events.ts';
import { inProcessClient } from '../client/in-process.ts';
import { makeInformers } from '../client/informers.ts';
import { ADMIN, testCluster } from '../client/test-cluster.ts';
import type { Log } from '../lib/log.ts';
import { isReason } from '../machinery/status.ts';
import { coreControllers } from './core.ts';
import { runControllers } from './runtime.ts';
import { testPod } from './test-controllers.ts';

it('each controller does its work with the rights of its own account', async (t) => {
  const cluster = await testCluster();
  const { store, tables, clock } = cluster;
  const complaints: string[] = [];
  const say = (message: string, ...more: unknown[]): void => {
    complaints.push(
      `${message} ${more.map((one) => (one instanceof Error ? one.message : JSON.stringify(one))).join(' ')}`,
    );
  };
  const log: Log = { debug: () => undefined, info: () => undefined, warn: say, error: say, child: () => log };
  const stop = new AbortController();
  const env = { ...cluster.env, log };
  const server = await startApiServer({ store, tables, env }, new AbortController().signal);
  const as = (username: string) =>
    inProcessClient({
      api: server.pipeline,
      tables,
      user: {
        username,
        groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
      },
      clock,
    });
  const admin = inProcessClient({ api: server.pipeline, tables, user: ADMIN, clock });
  const options = {
    informers: makeInformers({ client: admin, tables, env }),
    env,
    events: recordEvents({ client: admin, env, component: 'test' }, stop.signal),
    clientFor: (account: string) => as(`system:serviceaccount:kube-system:${account}`),
  };
  // The authorizer hears of the standard roles.
  await cluster.pass(0);
  const controllers = coreControllers({ rootCa: 'PEM', nodeIpam: { clusterCidr: '10.0.0.0/16' } });
  const run = runControllers(controllers, options, stop.signal);
  t.after(async () => {
    stop.abort();
    await run;
    await server.close();
    await cluster.close();
  });
  await cluster.pass(0);
  await admin.resource('namespaces').create({ metadata: { name: 'team' }, spec: {} });
  for (const name of ['silent', 'other']) await admin.resource('nodes').create({ metadata: { name }, spec: {} });
  const conditions = [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:00:00Z' }];
  for (const name of ['silent', 'other']) {
    await admin
      .resource('nodes')
      .patch({ name }, { type: 'strategic', body: { status: { conditions } } }, { subresource: 'status' });
  }
  await cluster.pass(1_000);
  const metadata = { namespace: 'team' };
  const owner = await admin.resource('configmaps').create({ metadata: { ...metadata, name: 'owner' } });
  const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid ?? '' }];
  await admin.resource('secrets').create({ metadata: { ...metadata, name: 'owned', ownerReferences } });
  await admin.resource('pods').create(testPod('lost', { nodeName: 'nowhere' }, metadata));
  await admin.resource('pods').create(testPod('on-silent', { nodeName: 'silent', tolerations: [] }, metadata));
  await cluster.pass(1_000);
  await admin.resource('configmaps').delete(owner.metadata);
  for (let seconds = 0; seconds < 120; seconds += 5) {
    const body = {
      status: { conditions: [{ ...conditions[0]!, lastHeartbeatTime: new Date(clock.now()).toISOString() }] },
    };
    await admin.resource('nodes').patch({ name: 'other' }, { type: 'strategic', body }, { subresource: 'status' });
    await cluster.pass(5_000);
  }
  const gone = (what: Promise<unknown>) => assert.rejects(what, (error) => isReason(error, 'NotFound'));
  await gone(admin.resource('secrets').get({ ...metadata, name: 'owned' }));
  await gone(admin.resource('pods').get({ ...metadata, name: 'lost' }));
  const silent = await admin.resource('nodes').get({ name: 'silent' });
  assert.equal(silent.status?.conditions?.[0]?.status, 'Unknown');
  assert.ok(silent.spec.taints?.some((taint) => taint.effect === 'NoExecute'));
  assert.ok(silent.spec.podCIDR);
  const out = { spec: { taints: [...(silent.spec.taints ?? []), { key: 'out', effect: 'NoExecute' }] } };
  await admin.resource('nodes').patch({ name: 'silent' }, { type: 'merge', body: out });
  await cluster.pass(1_000);
  const evicted = await admin.resource('pods').get({ ...metadata, name: 'on-silent' });
  assert.ok(evicted.metadata.deletionTimestamp);
  await admin.resource('pods').delete(evicted.metadata, { gracePeriodSeconds: 0 });
  await admin.resource('namespaces').delete({ name: 'team' });
  await cluster.pass(5_000);
  await gone(admin.resource('namespaces').get({ name: 'team' }));
  assert.deepEqual(complaints, []);
});
