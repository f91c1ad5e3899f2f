// A cluster of its own for every test, with vitest and TypeScript.
import { type EmbeddedCluster, startCluster } from 'tsukube';
import { afterEach, beforeEach, expect, test } from 'vitest';

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

let cluster: EmbeddedCluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(() => cluster.dispose());

test('a deployment is rolled out', async () => {
  await cluster.apply(MANIFEST);
  const web = await cluster.waitFor('deployments.apps', 'web', 'Available');
  expect(web.status?.availableReplicas).toBe(3);
});

test('the next test has a fresh cluster', async () => {
  const { items } = await cluster.client.resource('deployments.apps').list();
  expect(items).toEqual([]);
});
