// What @kubernetes/client-node does against a cluster: KUBECONFIG names it; its nodes are simulated.
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import {
  ApiException,
  AppsV1Api,
  CoreV1Api,
  CustomObjectsApi,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  VersionApi,
  Watch,
} from '@kubernetes/client-node';

const config = new KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(CoreV1Api);
const apps = config.makeApiClient(AppsV1Api);
const custom = config.makeApiClient(CustomObjectsApi);
const namespace = 'client-node';
await core.createNamespace({ body: { metadata: { name: namespace } } });

const isRefusal =
  (code: number, reason: string) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ApiException, String(error));
    const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
    assert.deepEqual([error.code, status.reason], [code, reason]);
    return true;
  };

test('objects are created, read, listed in pages, replaced and deleted', async () => {
  const { gitVersion } = await config.makeApiClient(VersionApi).getCode();
  assert.match(gitVersion, /^v1\.36\./);
  for (const name of ['a', 'b', 'c']) {
    await core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name, labels: { page: 'yes' } }, data: {} },
    });
  }
  const first = await core.listNamespacedConfigMap({ namespace, labelSelector: 'page', limit: 2 });
  const rest = await core.listNamespacedConfigMap({
    namespace,
    labelSelector: 'page',
    limit: 2,
    _continue: first.metadata?._continue ?? '',
  });
  assert.deepEqual(
    [...first.items, ...rest.items].map((item) => item.metadata?.name),
    ['a', 'b', 'c'],
  );
  const read = await core.readNamespacedConfigMap({ namespace, name: 'a' });
  assert.ok(read.metadata?.creationTimestamp instanceof Date);
  const replaced = await core.replaceNamespacedConfigMap({ namespace, name: 'a', body: { ...read, data: { k: '1' } } });
  assert.deepEqual(replaced.data, { k: '1' });
  await assert.rejects(
    core.replaceNamespacedConfigMap({ namespace, name: 'a', body: read }),
    isRefusal(409, 'Conflict'),
  );
  await core.deleteNamespacedConfigMap({ namespace, name: 'a' });
  await assert.rejects(core.readNamespacedConfigMap({ namespace, name: 'a' }), isRefusal(404, 'NotFound'));
  await assert.rejects(
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'Not Valid' } } }),
    isRefusal(422, 'Invalid'),
  );
});

test('patches of every type', async () => {
  const name = 'patched';
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name }, data: { a: '1' } } });
  const patch = (type: string, body: unknown): Promise<V1ConfigMap> =>
    core.patchNamespacedConfigMap({ namespace, name, body }, setHeaderOptions('Content-Type', type));
  await patch(PatchStrategy.JsonPatch, [{ op: 'add', path: '/data/b', value: '2' }]);
  await patch(PatchStrategy.MergePatch, { data: { a: null, c: '3' } });
  const { data } = await patch(PatchStrategy.StrategicMergePatch, { data: { d: '4' } });
  assert.deepEqual(data, { b: '2', c: '3', d: '4' });
  await assert.rejects(
    patch(PatchStrategy.JsonPatch, [{ op: 'test', path: '/data/b', value: 'other' }]),
    isRefusal(422, 'Invalid'),
  );
});

test('server-side apply, its conflicts and force', async () => {
  const apply = (fieldManager: string, value: string, force = false): Promise<V1ConfigMap> =>
    core.patchNamespacedConfigMap(
      {
        namespace,
        name: 'applied',
        fieldManager,
        force,
        body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { owner: value } },
      },
      setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
    );
  await apply('one', 'one');
  await assert.rejects(apply('two', 'two'), isRefusal(409, 'Conflict'));
  const forced = await apply('two', 'two', true);
  assert.deepEqual(
    forced.metadata?.managedFields
      ?.filter((entry) => JSON.stringify(entry.fieldsV1).includes('f:owner'))
      .map((e) => e.manager),
    ['two'],
  );
});

test('an informer sees what happens, and goes on where it was after its connection ended', async () => {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  let lists = 0;
  const informer = makeInformer(
    config,
    path,
    () => {
      lists++;
      return core.listNamespacedConfigMap({ namespace, labelSelector: 'informed' });
    },
    'informed',
  );
  const seen: string[] = [];
  for (const verb of ['add', 'update', 'delete'] as const) {
    informer.on(verb, (object: V1ConfigMap) => seen.push(`${verb} ${object.metadata?.name} ${object.data?.n ?? ''}`));
  }
  const put = (n: string): V1ConfigMap => ({ metadata: { name: 'i', labels: { informed: 'yes' } }, data: { n } });
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: put('1') });
  await until(() => seen.includes('add i 1'));
  await informer.stop();
  await core.replaceNamespacedConfigMap({ namespace, name: 'i', body: put('2') });
  await informer.start();
  await until(() => seen.includes('update i 2'));
  await core.deleteNamespacedConfigMap({ namespace, name: 'i' });
  await until(() => seen.includes('delete i 2'));
  assert.deepEqual(seen, ['add i 1', 'update i 2', 'delete i 2']);
  assert.ok(lists >= 1);
  await informer.stop();
});

test('a watch goes on from a revision', async () => {
  const { metadata } = await core.listNamespacedConfigMap({ namespace });
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'w' } } });
  await core.deleteNamespacedConfigMap({ namespace, name: 'w' });
  const seen: string[] = [];
  const controller = await new Watch(config).watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { resourceVersion: metadata?.resourceVersion, allowWatchBookmarks: true, fieldSelector: 'metadata.name=w' },
    (type) => seen.push(type),
    () => undefined,
  );
  await until(() => seen.length >= 2);
  controller.abort();
  assert.deepEqual(seen.slice(0, 2), ['ADDED', 'DELETED']);
});

test('custom objects, and objects of any kind', async () => {
  const objects = KubernetesObjectApi.makeApiClient(config);
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'tins.example.org' },
    spec: {
      group: 'example.org',
      scope: 'Namespaced',
      names: { plural: 'tins', singular: 'tin', kind: 'Tin' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', properties: { size: { type: 'integer', maximum: 9 } } } },
            },
          },
        },
      ],
    },
  };
  await objects.create(definition);
  const place = { group: 'example.org', version: 'v1', namespace, plural: 'tins' };
  const body = { apiVersion: 'example.org/v1', kind: 'Tin', metadata: { name: 't' }, spec: { size: 3 } };
  await until(() => custom.createNamespacedCustomObject({ ...place, body }).then(() => true, isNotYetServed));
  await assert.rejects(
    custom.createNamespacedCustomObject({ ...place, body: { ...body, metadata: { name: 'u' }, spec: { size: 10 } } }),
    isRefusal(422, 'Invalid'),
  );
  const { items } = (await custom.listNamespacedCustomObject(place)) as { items: { spec: object }[] };
  assert.deepEqual(
    items.map(({ spec }) => spec),
    [{ size: 3 }],
  );
  const patched = (await custom.patchNamespacedCustomObject(
    { ...place, name: 't', body: { spec: { size: 4 } } },
    setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
  )) as { spec: object };
  assert.deepEqual(patched.spec, { size: 4 });
  await custom.deleteNamespacedCustomObject({ ...place, name: 't' });
  await objects.delete(definition);
});

function isNotYetServed(error: unknown): false {
  if (error instanceof ApiException && error.code === 404) return false;
  throw error;
}

test('a rollout, its scale, and logs and exec of simulated pods, which are refused', async () => {
  const labels = { app: 'web' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'web:1' }] } };
  const body = { metadata: { name: 'web' }, spec: { replicas: 1, selector: { matchLabels: labels }, template } };
  await apps.createNamespacedDeployment({ namespace, body });
  const available = (count: number) => async (): Promise<boolean> => {
    const { status, metadata } = await apps.readNamespacedDeployment({ namespace, name: 'web' });
    return status?.availableReplicas === count && status.observedGeneration === metadata?.generation;
  };
  // The controller's last write of the status would come between reading the scale and replacing it.
  await until(available(1));
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'web' });
  await apps.replaceNamespacedDeploymentScale({ namespace, name: 'web', body: { ...scale, spec: { replicas: 2 } } });
  await until(available(2));
  const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web' });
  const pod = pods.items[0]?.metadata?.name ?? '';
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const refused = new Exec(config).exec(namespace, pod, 'web', ['true'], nowhere, nowhere, null, false);
  await assert.rejects(refused, (error: { message?: string }) => /503/.test(error.message ?? ''));
  await assert.rejects(new Log(config).log(namespace, pod, 'web', nowhere), { code: 503 });
});

async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`not within a minute: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
