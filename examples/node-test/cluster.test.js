// A cluster for the tests of one file, with Node's own test runner.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCluster } from 'tsukube';

const MANIFEST = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
`;

let cluster;
before(async () => {
  cluster = await startCluster({ nodes: 2 });
});
after(() => cluster.dispose());

test('a deployment is rolled out', async () => {
  await cluster.apply(MANIFEST);
  const web = await cluster.waitFor('deployments.apps', 'web', 'Available');
  assert.equal(web.status.availableReplicas, 3);
});

test('pods go where there is a node', async () => {
  await cluster.nodes.add({ name: 'third' });
  await cluster.waitFor('nodes', 'third', 'Ready');
  const pods = await cluster.client.resource('pods').list({ labelSelector: 'app=web' });
  assert.ok(pods.items.every((pod) => cluster.nodes.list().includes(pod.spec.nodeName)));
});
