// Does a controller survive what happens to its API server? Its connections are broken in each way; then it must catch up.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { startCluster } from 'tsukube';

let cluster;
let controller;
const stop = new AbortController();

before(async () => {
  cluster = await startCluster();
  // The controller goes by a way that can be broken; the test itself looks past it, with cluster.client.
  controller = runController(await cluster.faults.kubeconfig(), stop.signal);
});
after(async () => {
  stop.abort();
  await controller;
  await cluster.dispose();
});

/** The controller under test: every ConfigMap with the label "copied" has a twin. */
async function runController(kubeconfig, signal) {
  const config = new KubeConfig();
  config.loadFromString(kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  while (!signal.aborted) {
    // Without a deadline it would wait for ever on a connection from which nothing comes.
    await Promise.race([reconcile(core), pause(500, undefined, { ref: false })]).catch(() => undefined);
    await pause(50);
  }
}

async function reconcile(core) {
  const namespace = 'default';
  const { items } = await core.listNamespacedConfigMap({ namespace, labelSelector: 'copied' });
  for (const { metadata, data } of items) {
    const body = { metadata: { name: `${metadata.name}-twin` }, data };
    await core.createNamespacedConfigMap({ namespace, body }).catch((error) => {
      if (error.code !== 409) throw error;
    });
  }
}

const faults = {
  kill: () => cluster.faults.kill(),
  pause: () => cluster.faults.pause(),
  partition: () => cluster.faults.partition(),
  delay: () => cluster.faults.delay({ delayMs: 100, jitterMs: 50 }),
};

for (const [name, begin] of Object.entries(faults)) {
  test(`the controller catches up after ${name}`, async () => {
    const maps = cluster.client.resource('configmaps');
    const fault = begin();
    await maps.create({ metadata: { namespace: 'default', name, labels: { copied: 'yes' } }, data: { from: name } });
    await pause(700);
    if (name !== 'delay') {
      const { items } = await maps.list({ namespace: 'default' });
      assert.ok(!items.some(({ metadata }) => metadata.name === `${name}-twin`), 'it cannot have been made yet');
    }
    fault.heal();
    const twin = await cluster.waitFor('configmaps', `${name}-twin`, 'create');
    assert.deepEqual(twin.data, { from: name });
  });
}
