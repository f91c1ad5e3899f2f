// The official JavaScript client against an embedded cluster: whatever takes a kubeconfig works.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppsV1Api, CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { startCluster } from 'tsukube';

test('the official client creates, lists and reads', async () => {
  const cluster = await startCluster();
  try {
    const config = new KubeConfig();
    config.loadFromString(cluster.kubeconfig);
    const core = config.makeApiClient(CoreV1Api);
    const apps = config.makeApiClient(AppsV1Api);
    await apps.createNamespacedDeployment({
      namespace: 'default',
      body: {
        metadata: { name: 'web' },
        spec: {
          replicas: 2,
          selector: { matchLabels: { app: 'web' } },
          template: {
            metadata: { labels: { app: 'web' } },
            spec: { containers: [{ name: 'web', image: 'nginx' }] },
          },
        },
      },
    });
    await cluster.waitFor('deployments.apps', 'web', 'Available');
    const pods = await core.listNamespacedPod({ namespace: 'default', labelSelector: 'app=web' });
    assert.deepEqual(
      pods.items.map((pod) => pod.status?.phase),
      ['Running', 'Running'],
    );
  } finally {
    await cluster.dispose();
  }
});
