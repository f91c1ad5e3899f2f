// pods/resize over the whole registry: what may change, what is refused and in which words, and what is counted meanwhile.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Container, Pod, ResourceQuota } from '../../api/generated/types.ts';
import { StatusError } from '../../machinery/status.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry();
});
after(() => registry.close());

type Amounts = { readonly [resource: string]: string | null };
interface Asked {
  readonly requests?: Amounts;
  readonly limits?: Amounts;
}

const container = (name: string, resources: Asked, more: object = {}): object => ({
  name,
  image: 'a',
  resources,
  ...more,
});

async function made(name: string, spec: object, metadata: object = {}): Promise<Pod> {
  return (await registry.create('pods', { metadata: { namespace: 'default', name, ...metadata }, spec })) as Pod;
}

/** A strategic merge patch of pods/resize, as `kubectl patch --subresource resize` sends it. */
async function resize(name: string, spec: object, namespace = 'default'): Promise<Pod> {
  const target = registry.target('pods/resize', namespace, name);
  const patch = { type: 'application/strategic-merge-patch+json' as const, body: { spec } };
  return (await registry.api.patch(registry.ctx(), target, patch, {})).object.object as Pod;
}

const resizeOne = (name: string, resources: Asked, more: object = {}): Promise<Pod> =>
  resize(name, { containers: [{ name: 'c', resources, ...more }] });

const refused =
  (code: number, pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.status.code, code);
    assert.match(error.message, pattern);
    return true;
  };

const FULL = { requests: { cpu: '20m', memory: '35Mi' }, limits: { cpu: '30m', memory: '45Mi' } };

test('resources change through pods/resize alone, and the generation counts it', async () => {
  await made('one', { containers: [container('c', FULL)] });
  const more = { requests: { cpu: '25m' }, limits: { memory: '40Mi' } };
  const spec = { containers: [{ name: 'c', resources: more }] };
  const whole = registry.target('pods', 'default', 'one');
  const patch = { type: 'application/strategic-merge-patch+json' as const, body: { spec } };
  await assert.rejects(
    registry.api.patch(registry.ctx(), whole, patch, {}),
    refused(422, /pod updates may not change fields other than/),
  );
  const pod = await resizeOne('one', more);
  assert.deepEqual(pod.spec.containers[0]!.resources, {
    requests: { cpu: '25m', memory: '35Mi' },
    limits: { cpu: '30m', memory: '40Mi' },
  });
  assert.equal(pod.metadata.generation, 2);
  assert.equal((await resizeOne('one', more)).metadata.generation, 2);
});

test('a PUT of pods/resize takes resources and leaves the rest as it was', async () => {
  const pod = await made('put', { containers: [container('c', { requests: { cpu: '20m' } })] });
  const sent = structuredClone(pod) as unknown as { metadata: object; spec: { containers: object[] }; status: object };
  sent.metadata = { ...pod.metadata, labels: { a: 'b' } };
  sent.spec.containers = [container('c', { requests: { cpu: '15m', memory: '1Mi' } }, { image: 'other' })];
  sent.status = { phase: 'Running' };
  const target = registry.target('pods/resize', 'default', 'put');
  const body = registry.body(target, sent);
  const { object } = (await registry.api.update(registry.ctx(), target, body, {})).object;
  const resized = object as Pod;
  assert.deepEqual(
    [resized.spec.containers[0]!.image, resized.metadata.labels, resized.status?.phase],
    ['a', undefined, 'Pending'],
  );
  assert.deepEqual(resized.spec.containers[0]!.resources, { requests: { cpu: '15m', memory: '1Mi' } });
  assert.deepEqual(await registry.get('pods/resize', 'put', 'default'), await registry.get('pods', 'put', 'default'));
  await assert.rejects(registry.api.update(registry.ctx(), target, body, {}), refused(409, /has been modified/));
});

/** The fields below a pod's spec that a manager has: "containers/c/resources/requests/cpu", without what only holds others. */
function managed(pod: Pod, manager: string): string[] {
  const leaves = (set: object, at: string): string[] =>
    Object.entries(set).flatMap(([key, below]) => {
      const path = `${at}/${key.replace(/^[fk]:/, '').replace(/^\{"name":"(.*)"\}$/, '$1')}`;
      return Object.keys(below).length > 0 ? leaves(below, path) : [path.slice(1)];
    });
  const entry = pod.metadata.managedFields?.find((one) => one.manager === manager);
  return leaves((entry?.fieldsV1 as { 'f:spec'?: object })?.['f:spec'] ?? {}, '');
}

test('who puts a pod through an endpoint that takes a part of it manages only what of that part has changed', async () => {
  const env = [{ name: 'A', value: 'b' }];
  const pod = await made('managers', {
    containers: [container('c', FULL, { env })],
    initContainers: [container('i', {})],
    resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } },
  });
  const before = managed(pod, 'unknown');
  const put = async (subresource: string, manager: string, spec: object): Promise<Pod> => {
    const target = registry.target(`pods/${subresource}`, 'default', 'managers');
    const sent = { metadata: { namespace: 'default', name: 'managers', labels: { a: 'b' } }, spec };
    const body = registry.body(target, sent);
    return (await registry.api.update(registry.ctx(), target, body, { fieldManager: manager })).object.object as Pod;
  };
  assert.deepEqual((await put('resize', 'putter', pod.spec)).metadata.managedFields, pod.metadata.managedFields);
  // Without its environment, on a node, with other resources and an ephemeral container.
  const requests = { cpu: '25m', memory: '35Mi' };
  const whole = { requests: { cpu: '2', memory: '1Gi' }, limits: { cpu: '2', memory: '1Gi' } };
  const other = {
    ...{ nodeName: 'n', schedulerName: 's', resources: whole },
    containers: [container('c', { requests, limits: FULL.limits }, { image: 'other' })],
    initContainers: [container('i', {})],
    ephemeralContainers: [{ name: 'e', image: 'a' }],
  };
  const resized = await put('resize', 'putter', other);
  assert.deepEqual(resized.spec.resources, whole);
  assert.deepEqual(managed(resized, 'putter'), ['containers/c/resources/requests/cpu']);
  assert.deepEqual(
    before.filter((path) => !managed(resized, 'unknown').includes(path)),
    ['containers/c/resources/requests/cpu'],
  );
  const debugged = await put('ephemeralcontainers', 'debugger', other);
  const [first, ...more] = managed(debugged, 'debugger');
  assert.equal(first, 'ephemeralContainers/.');
  assert.ok(more.length > 0 && more.every((path) => path.startsWith('ephemeralContainers/e/')), more.join());
  assert.equal(debugged.metadata.labels, undefined);
  assert.deepEqual(managed(debugged, 'unknown'), managed(resized, 'unknown'));
});

describe('what is refused', () => {
  const cases: readonly (readonly [what: string, before: Asked, after: Asked, why: RegExp])[] = [
    ['best effort becomes burstable', {}, { requests: { cpu: '1m' } }, /spec: Invalid value: "BestEffort": Pod QOS Class/],
    ['burstable becomes guaranteed', FULL, { requests: FULL.limits }, /Invalid value: "Burstable": Pod QOS Class may not/],
    ['a request goes', { requests: FULL.requests }, { requests: { memory: null } }, /resources.requests: Forbidden: resource requests cannot be/],
    ['a limit goes', FULL, { limits: { cpu: null } }, /resources.limits: Forbidden: resource limits cannot be removed/],
    ['storage', FULL, { requests: { 'ephemeral-storage': '1' } }, /spec: Forbidden: only cpu and memory resources are/],
    ['a request above its limit', FULL, { requests: { cpu: '31m' } }, /must be less than or equal to cpu limit of 30m/],
  ]; // biome-ignore format: a table
  for (const [i, [what, before, after, why]] of cases.entries()) {
    test(what, async () => {
      await made(`no-${i}`, { containers: [container('c', before)] });
      await assert.rejects(resizeOne(`no-${i}`, after), refused(422, why));
      assert.deepEqual(((await registry.get('pods', `no-${i}`, 'default')) as Pod).metadata.generation, 1);
    });
  }

  test('the resize policy, the order and the names of containers', async () => {
    await made('policy', { containers: [container('c', FULL), container('d', FULL)] });
    const resizePolicy = [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }];
    const immutable = refused(422, /spec: Forbidden: only cpu and memory resources are mutable/);
    await assert.rejects(resizeOne('policy', {}, { resizePolicy }), immutable);
    const pod = structuredClone(await registry.get('pods', 'policy', 'default')) as unknown as {
      spec: { containers: Container[] };
    };
    pod.spec.containers.reverse();
    const text = 'Forbidden: containers may not be renamed or reordered on resize';
    const both = refused(422, new RegExp(`spec.containers\\[0\\].name: ${text}, spec.containers\\[1\\].name: ${text}`));
    await assert.rejects(registry.update('pods/resize', pod), both);
    const added = { containers: [{ name: 'e', image: 'a' }] };
    await assert.rejects(resize('policy', added), refused(422, /containers may not be added or removed on resize/));
  });

  test('init containers that are no sidecars, static pods, Windows pods, and nodes that cannot', async () => {
    const init = [container('i', FULL), container('s', FULL, { restartPolicy: 'Always' })];
    await made('init', { containers: [container('c', FULL)], initContainers: init });
    const of = (name: string) =>
      resize('init', { initContainers: [{ name, resources: { requests: { cpu: '21m' } } }] });
    await assert.rejects(of('i'), refused(422, /resources for non-sidecar init containers are immutable/));
    assert.equal((await of('s')).spec.initContainers![1]!.resources!.requests!.cpu, '21m');

    const annotations = { 'kubernetes.io/config.mirror': 'x' };
    await made('static', { nodeName: 'n', containers: [container('c', FULL)] }, { annotations });
    await assert.rejects(
      resizeOne('static', { requests: { cpu: '21m' } }),
      refused(422, /static pods cannot be resized/),
    );
    await made('panes', { os: { name: 'windows' }, containers: [container('c', FULL)] });
    await assert.rejects(
      resizeOne('panes', { requests: { cpu: '21m' } }),
      refused(422, /windows pods cannot be resized/),
    );

    await made('old', { containers: [container('c', FULL)] });
    const running = { name: 'c', ready: true, restartCount: 0, image: 'a', imageID: '', state: { running: {} } };
    const at = { namespace: 'default', name: 'old' };
    await registry.merge('pods/status', at, { status: { containerStatuses: [running] } });
    const unable = refused(422, /Pod running on node without support for resize/);
    await assert.rejects(resizeOne('old', { requests: { cpu: '21m' } }), unable);
  });
});

test('resources of the pod as a whole are resized too', async () => {
  const resources = { requests: { cpu: '100m' }, limits: { cpu: '200m' } };
  await made('whole', { resources, containers: [{ name: 'c', image: 'a' }] });
  const pod = await resize('whole', { resources: { limits: { cpu: '300m' } } });
  assert.deepEqual(pod.spec.resources, { requests: { cpu: '100m' }, limits: { cpu: '300m' } });
  const gone = resize('whole', { resources: { limits: { cpu: null } } });
  await assert.rejects(gone, refused(422, /spec.resources.limits: Forbidden: resource limits cannot be removed/));
});

test('a resize is charged to quotas and keeps to limit ranges', async () => {
  const namespace = 'counted';
  await registry.create('namespaces', { metadata: { name: namespace } });
  await registry.create('serviceaccounts', { metadata: { namespace, name: 'default' } });
  await registry.create('resourcequotas', {
    metadata: { namespace, name: 'q' },
    spec: { hard: { 'requests.cpu': '1' } },
  });
  const max = { cpu: '900m' };
  await registry.create('limitranges', {
    metadata: { namespace, name: 'r' },
    spec: { limits: [{ type: 'Pod', max }] },
  });
  const resources = { requests: { cpu: '100m' }, limits: { cpu: '200m' } };
  await registry.create('pods', {
    metadata: { namespace, name: 'p' },
    spec: { containers: [container('c', resources)] },
  });
  const used = async (): Promise<object | undefined> =>
    ((await registry.get('resourcequotas', 'q', namespace)) as ResourceQuota).status?.used;
  const to = (requests: string, limits: string): Promise<Pod> =>
    resize(
      'p',
      { containers: [{ name: 'c', resources: { requests: { cpu: requests }, limits: { cpu: limits } } }] },
      namespace,
    );

  await to('800m', '850m');
  assert.deepEqual(await used(), { 'requests.cpu': '800m' });
  await assert.rejects(to('100m', '901m'), refused(403, /maximum cpu usage per Pod is 900m, but limit is 901m/));
  const other = { metadata: { namespace, name: 'o' }, spec: { containers: [container('c', resources)] } };
  await registry.create('pods', other);
  const over = /exceeded quota: q, requested: requests.cpu=101m, used: requests.cpu=900m, limited: requests.cpu=1$/;
  await assert.rejects(to('901m', '901m'), refused(403, /maximum cpu usage|exceeded quota/));
  await registry.merge(
    'limitranges',
    { namespace, name: 'r' },
    { spec: { limits: [{ type: 'Pod', max: { cpu: '2' } }] } },
  );
  await assert.rejects(to('901m', '950m'), refused(403, over));
  // What is given back is counted when the node holds it no more.
  await to('50m', '200m');
  assert.deepEqual(await used(), { 'requests.cpu': '900m' });
});
