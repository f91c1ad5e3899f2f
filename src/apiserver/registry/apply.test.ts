// Server-side apply and managedFields as clients see them: upstream's documented scenarios.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { ManagedFieldsEntry } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf } from '../../api/tables.ts';
import { type FieldSet, pathsOf } from '../../machinery/field-sets/field-set.ts';
import { printPath } from '../../machinery/field-sets/path-element.ts';
import { StatusError } from '../../machinery/status.ts';
import type { PatchType, WriteOptions, WriteResult } from '../contract.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry();
});
after(() => registry.close());

let count = 0;
let name = '';
beforeEach(async () => {
  name = `object-${++count}`;
  await registry.clock.advance(1000);
});

type Options = WriteOptions & { readonly force?: boolean; readonly userAgent?: string };

function write(path: string, type: PatchType, body: unknown, options: Options): Promise<WriteResult> {
  const { force, userAgent, ...rest } = options;
  const target = registry.target(path, registry.target(path).resource.namespaced ? 'default' : undefined, name);
  const ctx = { ...registry.ctx(), ...(userAgent !== undefined && { userAgent }) };
  return registry.api.patch(ctx, target, { type, body: structuredClone(body), ...(force && { force }) }, rest);
}

async function apply(path: string, manager: string, body: object, options: Options = {}): Promise<KubeObject> {
  const { resource, subresource } = registry.target(path);
  const sub = subresource === undefined ? undefined : resource.subresources.get(subresource);
  const typed = sub ?? resource;
  const { metadata, ...rest } = body as { metadata?: object };
  const whole = { apiVersion: apiVersionOf(typed), kind: typed.kind, metadata: { name, ...metadata }, ...rest };
  const result = await write(path, 'application/apply-patch+yaml', whole, { ...options, fieldManager: manager });
  return result.object.object;
}

async function merge(path: string, manager: string, body: object, options: Options = {}): Promise<KubeObject> {
  const given = manager === '' ? options : { ...options, fieldManager: manager };
  return (await write(path, 'application/merge-patch+json', body, given)).object.object;
}

const spec = (object: KubeObject) => (object as { spec?: { [field: string]: unknown } }).spec ?? {};
const data = (object: KubeObject) => (object as { data?: object }).data;

function owned(object: KubeObject, manager: string, subresource?: string): string[] | undefined {
  const entry = object.metadata.managedFields?.find(
    (one) => one.manager === manager && (subresource === undefined || one.subresource === subresource),
  );
  return entry && pathsOf(entry.fieldsV1 as unknown as FieldSet).map(printPath);
}

const managers = (object: KubeObject): string[] =>
  (object.metadata.managedFields ?? []).map(({ manager, operation, subresource }) =>
    [manager, operation, subresource].filter(Boolean).join(' '),
  );

async function refused(call: Promise<unknown>, code: number): Promise<StatusError> {
  const error = await call.then(
    () => assert.fail('it was not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StatusError, String(error));
  assert.equal(error.code, code, error.message);
  return error;
}

const labels = { app: 'web' };
const container = { name: 'c', image: 'i', ports: [{ containerPort: 80 }] };
const deployment = {
  spec: {
    replicas: 3,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [container] } },
  },
};

describe('apply', () => {
  test('makes what is not there, and says so', async () => {
    const target = registry.target('configmaps', 'default', name);
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: '1' } };
    const type = 'application/apply-patch+yaml' as const;
    const made = await registry.api.patch(registry.ctx(), target, { type, body }, { fieldManager: 'm' });
    assert.equal(made.created, true);
    assert.deepEqual(made.object.object.metadata.managedFields, [
      {
        manager: 'm',
        operation: 'Apply',
        apiVersion: 'v1',
        time: new Date(registry.clock.now()).toISOString().replace(/\.\d+/, ''),
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:data': { 'f:a': {} } },
      },
    ]);
    const again = await registry.api.patch(
      registry.ctx(),
      target,
      { type, body: structuredClone(body) },
      { fieldManager: 'm' },
    );
    assert.equal(again.created, false);
  });

  test('of the same again changes nothing: neither revision nor time', async () => {
    const first = await apply('deployments.apps', 'm', deployment);
    await registry.clock.advance(60_000);
    assert.deepEqual(await apply('deployments.apps', 'm', deployment), first);
    // A value that is the same once it is in canonical form is the same, too.
    const cpu = (value: string) => ({
      spec: {
        ...deployment.spec,
        template: {
          metadata: { labels },
          spec: { containers: [{ ...container, resources: { limits: { cpu: value } } }] },
        },
      },
    });
    const one = await apply('deployments.apps', 'm', cpu('1'));
    await registry.clock.advance(60_000);
    assert.deepEqual(await apply('deployments.apps', 'm', cpu('1000m')), one);
  });

  test('refuses what others manage, with a cause for each field; force takes it', async () => {
    await apply('deployments.apps', 'one', deployment);
    const error = await refused(apply('deployments.apps', 'two', { spec: { replicas: 5, paused: true } }), 409);
    assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "one": .spec.replicas');
    assert.equal(error.reason, 'Conflict');
    assert.deepEqual(error.details, {
      causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.replicas' }],
    });
    const taken = await apply('deployments.apps', 'two', { spec: { replicas: 5 } }, { force: true });
    assert.deepEqual(owned(taken, 'two'), ['.spec.replicas']);
    assert.ok(!owned(taken, 'one')!.includes('.spec.replicas'));
    await refused(apply('deployments.apps', 'one', deployment), 409);
  });

  test('of the same value is shared; who gives it up leaves it to the others', async () => {
    await apply('deployments.apps', 'one', deployment);
    const shared = await apply('deployments.apps', 'two', { spec: { replicas: 3 } });
    assert.deepEqual(owned(shared, 'two'), ['.spec.replicas']);
    // Upstream tells the time of an apply only when it changed something.
    const second = shared.metadata.managedFields?.find((entry) => entry.manager === 'two');
    assert.equal(second?.time, undefined);
    const { replicas: _, ...without } = deployment.spec;
    const given = await apply('deployments.apps', 'one', { spec: without });
    assert.equal(spec(given).replicas, 3);
    assert.ok(!owned(given, 'one')!.includes('.spec.replicas'));
    // Now only the second has it: without it, the default is back.
    const gone = await apply('deployments.apps', 'two', {});
    assert.equal(spec(gone).replicas, 1);
    assert.deepEqual(managers(gone), ['one Apply']);
  });

  test('updates by others are conflicts as well, told with their version', async () => {
    await apply('deployments.apps', 'one', deployment);
    await merge('deployments.apps', 'kubectl-edit', { spec: { replicas: 7 } });
    const error = await refused(apply('deployments.apps', 'one', deployment), 409);
    assert.equal(error.details?.causes?.[0]?.message, 'conflict with "kubectl-edit" using apps/v1');
  });

  test('lists that are maps are merged by their keys, defaults of keys included', async () => {
    const template = (ports: object[]) => ({ spec: { template: { spec: { containers: [{ name: 'c', ports }] } } } });
    await apply('deployments.apps', 'one', deployment);
    const both = await apply(
      'deployments.apps',
      'two',
      template([{ containerPort: 443 }, { containerPort: 80, protocol: 'TCP' }]),
    );
    const ports = (object: KubeObject): unknown =>
      (spec(object) as never as { template: { spec: { containers: [{ ports: object }] } } }).template.spec.containers[0]
        .ports;
    assert.deepEqual(ports(both), [
      { containerPort: 443, protocol: 'TCP' },
      { containerPort: 80, protocol: 'TCP' },
    ]);
    const one = await apply('deployments.apps', 'two', template([{ containerPort: 443 }]));
    assert.deepEqual(ports(one), [
      { containerPort: 443, protocol: 'TCP' },
      { containerPort: 80, protocol: 'TCP' },
    ]);
    const none = await apply('deployments.apps', 'two', {});
    assert.deepEqual(ports(none), [{ containerPort: 80, protocol: 'TCP' }]);
  });

  test('sets keep what others put in; atomic lists and maps change hands as a whole', async () => {
    await apply('services', 'one', {
      metadata: { finalizers: ['example.com/a'] },
      spec: { ports: [{ port: 80 }], selector: { app: 'a' }, externalIPs: ['10.0.0.1'] },
    });
    const sets = await apply('services', 'two', { metadata: { finalizers: ['example.com/b'] } });
    assert.deepEqual(sets.metadata.finalizers, ['example.com/a', 'example.com/b']);
    assert.deepEqual(owned(sets, 'two'), ['.metadata.finalizers[="example.com/b"]']);
    const map = await refused(apply('services', 'two', { spec: { selector: { tier: 'b' } } }), 409);
    assert.deepEqual(
      map.details?.causes?.map((cause) => cause.field),
      ['.spec.selector'],
    );
    const taken = await apply('services', 'two', { spec: { selector: { tier: 'b' } } }, { force: true });
    assert.deepEqual(spec(taken).selector, { tier: 'b' });
    assert.deepEqual(taken.metadata.finalizers, ['example.com/a']);
    await merge('services', 'cleaner', { metadata: { finalizers: null } });
  });

  test('what nobody manages is left alone', async () => {
    await apply('configmaps', 'm', { data: { a: '1' } });
    await merge('configmaps', 'other', { data: { z: '1' } });
    const present = await registry.get('configmaps', name, 'default');
    const mine = present.metadata.managedFields!.filter((entry) => entry.manager === 'm');
    await merge('configmaps', 'cleaner', { metadata: { managedFields: mine } });
    assert.deepEqual(data(await apply('configmaps', 'm', { data: { c: '1' } })), { c: '1', z: '1' });
  });

  test('on a subresource is managed apart, and makes nothing', async () => {
    const status = { status: { loadBalancer: { ingress: [{ ip: '10.0.0.9' }] } } };
    await refused(apply('services/status', 'lb', status), 404);
    await apply('services', 'one', { spec: { ports: [{ port: 80 }] } });
    const object = await apply('services/status', 'lb', { ...status, spec: { sessionAffinity: 'ClientIP' } });
    assert.deepEqual(owned(object, 'lb', 'status'), ['.status.loadBalancer.ingress']);
    assert.equal(spec(object).sessionAffinity, 'None');
    // Through the object itself, a status is nobody's.
    const main = await apply('services', 'one', { spec: { ports: [{ port: 80 }] }, status: { loadBalancer: {} } });
    assert.ok(owned(main, 'one')!.every((path) => path.startsWith('.spec')));
  });

  test('of what is no such object is refused', async () => {
    const unknown = await refused(apply('configmaps', 'm', { nonsense: 1 }), 500);
    assert.equal(
      unknown.message,
      `failed to create typed patch object (/${name}; /v1, Kind=ConfigMap): .nonsense: field not declared in schema`,
    );
    assert.equal(unknown.reason, '');
    const type = await refused(apply('deployments.apps', 'm', { spec: { replicas: '3', paused: 1 } }), 500);
    assert.match(
      type.message,
      /errors:\n {2}\.spec\.paused: expected boolean, got &\{1\}\n {2}\.spec\.replicas: expected numeric/,
    );
    const kind = { apiVersion: 'v1', kind: 'Secret', metadata: { name } };
    const other = write('configmaps', 'application/apply-patch+yaml', kind, { fieldManager: 'm' });
    assert.equal((await refused(other, 400)).message, 'invalid object type: /v1, Kind=Secret');
    const managed = apply('configmaps', 'm', { metadata: { managedFields: [{ manager: 'x' }] } });
    assert.equal((await refused(managed, 400)).message, 'metadata.managedFields must be nil');
    const twice = { metadata: { finalizers: ['example.com/a', 'example.com/a'] } };
    assert.match(
      (await refused(apply('configmaps', 'm', twice), 500)).message,
      /duplicate entries for key \[="example.com\/a"\]/,
    );
    await refused(apply('configmaps', 'm', { metadata: { name: 'another' } }), 400);
    await refused(apply('configmaps', 'm', { metadata: { uid: 'x' } }), 409);
  });

  test('with an old resourceVersion is refused', async () => {
    const made = await apply('configmaps', 'm', { data: { a: '1' } });
    await apply('configmaps', 'm', { data: { a: '2' } });
    const old = { metadata: { resourceVersion: made.metadata.resourceVersion! }, data: { a: '3' } };
    await refused(apply('configmaps', 'm', old), 409);
  });

  test('as a dry run changes nothing', async () => {
    const made = await apply('configmaps', 'm', { data: { a: '1' } }, { dryRun: true });
    assert.deepEqual(managers(made), ['m Apply']);
    await assert.rejects(registry.get('configmaps', name, 'default'));
    const first = await apply('configmaps', 'm', { data: { a: '1' } });
    assert.deepEqual(data(await apply('configmaps', 'm', { data: { a: '2' } }, { dryRun: true })), { a: '2' });
    assert.deepEqual(await registry.get('configmaps', name, 'default'), first);
  });
});

describe('the scale subresource', () => {
  test('is managed as the replicas of the object', async () => {
    await apply('deployments.apps', 'one', deployment);
    await merge('deployments.apps/scale', 'scaler', { spec: { replicas: 8 } });
    const scaled = await registry.get('deployments.apps', name, 'default');
    assert.equal(spec(scaled).replicas, 8);
    assert.deepEqual(owned(scaled, 'scaler', 'scale'), ['.spec.replicas']);
    assert.equal(scaled.metadata.managedFields?.find((entry) => entry.manager === 'scaler')?.apiVersion, 'apps/v1');
    assert.ok(!owned(scaled, 'one')!.includes('.spec.replicas'));
    const error = await refused(apply('deployments.apps', 'one', deployment), 409);
    assert.match(error.message, /conflict with "scaler" with subresource "scale" using apps\/v1: \.spec\.replicas/);
    const { replicas: _, ...without } = deployment.spec;
    assert.equal(spec(await apply('deployments.apps', 'one', { spec: without })).replicas, 8);
  });

  test('takes an apply', async () => {
    await apply('deployments.apps', 'one', deployment);
    const error = await refused(apply('deployments.apps/scale', 'hpa', { spec: { replicas: 9 } }), 409);
    assert.match(error.message, /conflict with "one": \.spec\.replicas/);
    await apply('deployments.apps/scale', 'hpa', { spec: { replicas: 9 } }, { force: true });
    const scaled = await registry.get('deployments.apps', name, 'default');
    assert.equal(spec(scaled).replicas, 9);
    assert.deepEqual(managers(scaled).sort(), ['hpa Apply scale', 'one Apply']);
    // What shows the Scale says nothing of managers.
    const shown = await registry.get('deployments.apps/scale', name, 'default');
    assert.equal(shown.metadata.managedFields, undefined);
  });

  test('the same number again leaves the managers as they are', async () => {
    const before = await apply('deployments.apps', 'one', deployment);
    await merge('deployments.apps/scale', 'scaler', { spec: { replicas: 3 } });
    assert.deepEqual(await registry.get('deployments.apps', name, 'default'), before);
  });
});

describe('managedFields', () => {
  const create = (value: { readonly data: object }): Promise<KubeObject> =>
    registry.create('configmaps', { metadata: { namespace: 'default', name }, ...value });

  test('are reset by a list with nothing in it, and begin again with an apply', async () => {
    await create({ data: { a: '1', b: '2' } });
    const reset = await merge('configmaps', 'm', { metadata: { managedFields: [{}] } });
    assert.equal(reset.metadata.managedFields, undefined);
    const later = await merge('configmaps', 'm', { data: { c: '3' } });
    assert.equal(later.metadata.managedFields, undefined);
    const applied = await apply('configmaps', 'm', { data: { a: '1' } });
    assert.deepEqual(managers(applied), ['m Apply', 'before-first-apply Update']);
    assert.deepEqual(owned(applied, 'before-first-apply'), ['.data', '.data.a', '.data.b', '.data.c']);
    const empty = await merge('configmaps', 'm', { metadata: { managedFields: [] } });
    assert.equal(empty.metadata.managedFields, undefined);
  });

  test('that make no sense are not taken', async () => {
    const { metadata } = await create({ data: { a: '1' } });
    const wrong: ManagedFieldsEntry[][] = [
      [{ manager: 'x', operation: 'Own', apiVersion: 'v1', fieldsType: 'FieldsV1' }],
      [{ manager: 'x', operation: 'Update', fieldsType: 'FieldsV1' }],
      [{ manager: 'x', operation: 'Update', apiVersion: 'v1' }],
      [{ manager: 'x', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { nonsense: {} } }],
    ];
    for (const managedFields of wrong) {
      const kept = await merge('configmaps', 'm', { metadata: { managedFields } });
      assert.deepEqual(kept.metadata.managedFields, metadata.managedFields);
    }
    const right = {
      manager: 'x',
      operation: 'Apply',
      apiVersion: 'v1',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:data': { 'f:b': {}, 'f:a': {} } },
    };
    const taken = await merge('configmaps', 'm', { metadata: { managedFields: [right] } });
    assert.deepEqual(owned(taken, 'x'), ['.data.a', '.data.b']);
  });

  test('through a subresource stay as they are', async () => {
    await apply('services', 'one', { spec: { ports: [{ port: 80 }] } });
    const kept = await merge('services/status', 'm', { metadata: { managedFields: [{}] } });
    assert.deepEqual(managers(kept), ['one Apply']);
  });

  test('name the manager, or who the User-Agent says', async () => {
    await create({ data: { a: '1' } });
    const named = await merge('configmaps', '', { data: { b: '2' } }, { userAgent: 'kubectl/v1.36.0 (linux/amd64)' });
    assert.deepEqual(owned(named, 'kubectl'), ['.data.b']);
    const unknown = await merge('configmaps', '', { data: { c: '2' } });
    assert.deepEqual(owned(unknown, 'unknown'), ['.data', '.data.a', '.data.c']);
  });

  test('of a new object are those of who made it, before admission', async () => {
    const made = await registry.api.create(
      { ...registry.ctx(), userAgent: 'tests/1' },
      registry.target('pods', 'default'),
      registry.body(registry.target('pods'), {
        metadata: { name, namespace: 'default' },
        spec: { containers: [{ name: 'c', image: 'i' }] },
      }),
      {},
    );
    const paths = owned(made.object.object, 'tests')!;
    assert.ok(paths.includes('.spec.containers[name="c"].image') && paths.includes('.spec.restartPolicy'));
    assert.ok(!paths.some((path) => /tolerations|volumes|serviceAccount|metadata/.test(path)), paths.join(' '));
  });

  test('keep a manager whose time alone would change', async () => {
    const first = await merge('configmaps', 'm', {}).catch(() => create({ data: { a: '1' } }));
    await registry.clock.advance(60_000);
    const same = await merge('configmaps', 'unknown', { data: { a: '1' } });
    assert.deepEqual(same, first);
  });

  test('of many updates are put together', async () => {
    await create({ data: { a: '1' } });
    let object: KubeObject | undefined;
    for (let i = 0; i < 14; i++) {
      await registry.clock.advance(1000);
      object = await merge('configmaps', `m${i}`, { data: { [`k${i}`]: '1' } });
    }

    assert.equal(managers(object!).length, 10);
    const ancient = owned(object!, 'ancient-changes')!;
    assert.deepEqual(ancient.slice(0, 3), ['.data', '.data.a', '.data.k0']);
    assert.ok(!ancient.includes('.data.k13'));
  });

  test('of secrets are of data, however it was written', async () => {
    const target = registry.target('secrets', 'default', name);
    const body = registry.body(target, { metadata: { name, namespace: 'default' }, stringData: { a: 'b' } });
    const made = await registry.api.create(registry.ctx(), registry.target('secrets', 'default'), body, {
      fieldManager: 'm',
    });
    assert.deepEqual(owned(made.object.object, 'm'), ['.data', '.type', '.data.a']);
  });

  test('of another served version are seen in their own', async () => {
    const autoscaler = {
      spec: {
        scaleTargetRef: { kind: 'Deployment', name: 'a', apiVersion: 'apps/v1' },
        maxReplicas: 3,
        minReplicas: 2,
      },
    };
    await apply('horizontalpodautoscalers.autoscaling', 'one', autoscaler);
    const v1 = registry.tables.resource('autoscaling', 'v1', 'horizontalpodautoscalers')!;
    const body = {
      apiVersion: 'autoscaling/v1',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name },
      spec: { targetCPUUtilizationPercentage: 50 },
    };
    const type = 'application/apply-patch+yaml' as const;
    const target = { resource: v1, namespace: 'default', name };
    await registry.api.patch(registry.ctx(), target, { type, body }, { fieldManager: 'two' });
    const both = await registry.get('horizontalpodautoscalers.autoscaling', name, 'default');
    const { metrics } = spec(both) as { metrics?: unknown[] };
    assert.equal(metrics?.length, 1);
    assert.deepEqual(owned(both, 'two'), ['.spec.targetCPUUtilizationPercentage']);
    const higher = { ...body, spec: { maxReplicas: 9 } };
    const error = await refused(
      registry.api.patch(registry.ctx(), target, { type, body: higher }, { fieldManager: 'two' }),
      409,
    );
    assert.deepEqual(
      error.details?.causes?.map((cause) => cause.field),
      ['.spec.maxReplicas'],
    );
  });
});

describe("kubectl's client-side apply", () => {
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration';
  const configuration = (value: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', annotations: {} },
    data: { a: value, b: '1' },
  });

  async function clientSide(value: string): Promise<KubeObject> {
    const config = configuration(value);
    const body = {
      ...config,
      metadata: { ...config.metadata, annotations: { [annotation]: `${JSON.stringify(config)}\n` } },
    };
    const target = registry.target('configmaps', 'default');
    const options = { fieldManager: 'kubectl-client-side-apply' };
    return (await registry.api.create(registry.ctx(), target, registry.body(target, body), options)).object.object;
  }

  test('is no conflict for kubectl apply --server-side, which keeps the annotation', async () => {
    await clientSide('1');
    const applied = await apply('configmaps', 'kubectl', {
      metadata: { namespace: 'default' },
      data: { a: '2', b: '1' },
    });
    assert.deepEqual(data(applied), { a: '2', b: '1' });
    assert.deepEqual(managers(applied), ['kubectl Apply', 'kubectl-client-side-apply Update']);
    const kept = applied.metadata.annotations?.[annotation];
    assert.equal(
      kept,
      `{"apiVersion":"v1","data":{"a":"2","b":"1"},"kind":"ConfigMap","metadata":{"name":"${name}","namespace":"default"}}\n`,
    );
  });

  test('is one for other managers, and where somebody else changed the value', async () => {
    await clientSide('1');
    const other = await refused(apply('configmaps', 'argocd', { data: { a: '2' } }), 409);
    assert.match(other.message, /conflict with "kubectl-client-side-apply" using v1: \.data\.a/);
    await merge('configmaps', 'kubectl-edit', { data: { a: '3' } });
    const changed = await refused(apply('configmaps', 'kubectl', { data: { a: '2' } }), 409);
    assert.match(changed.message, /conflict with "kubectl-edit" using v1: \.data\.a/);
  });
});
