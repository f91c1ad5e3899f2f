// Creating, updating and patching over the whole registry.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Deployment, Pod } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { StatusError } from '../../machinery/status.ts';
import type { AdmissionPlugin } from '../admission/plugin.ts';
import type { Registry } from './registry.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';
import { MINIMAL } from './testdata/minimal-objects.ts';

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry();
});
after(() => registry.close());

const refused =
  (reason: string, pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, pattern);
    return true;
  };

const podOf = (name: string, more: object = {}): object => ({
  metadata: { namespace: 'default', name, ...more },
  spec: { containers: [{ name: 'c', image: 'busybox' }] },
});

describe('create', () => {
  test('generates names, retries taken ones', async () => {
    const made = await registry.create('configmaps', { metadata: { namespace: 'default', generateName: 'gen-' } });
    assert.match(made.metadata.name, /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test('refuses what exists', async () => {
    await registry.create('configmaps', { metadata: { namespace: 'default', name: 'twice' } });
    const again = registry.create('configmaps', { metadata: { namespace: 'default', name: 'twice' } });
    await assert.rejects(again, refused('AlreadyExists', /^configmaps "twice" already exists$/));
  });

  test('refuses an absent namespace', async () => {
    const nowhere = registry.create('configmaps', { metadata: { namespace: 'nowhere', name: 'a' } });
    await assert.rejects(nowhere, refused('NotFound', /^namespaces "nowhere" not found$/));
  });

  test('a dry run stores nothing', async () => {
    const made = await registry.create(
      'configmaps',
      { metadata: { namespace: 'default', name: 'dry' } },
      { dryRun: true },
    );
    assert.ok(made.metadata.uid);
    await assert.rejects(registry.get('configmaps', 'dry', 'default'), refused('NotFound', /"dry" not found/));
  });

  test('says everything that is wrong', async () => {
    const bad = {
      metadata: { namespace: 'default', name: 'Bad_Name' },
      spec: { containers: [{ name: '', image: '' }] },
    };
    await assert.rejects(registry.create('pods', bad), (error: StatusError) => {
      assert.equal(error.code, 422);
      const fields = error.details?.causes?.map((c) => c.field);
      assert.deepEqual(fields, ['metadata.name', 'spec.containers[0].name', 'spec.containers[0].image']);
      assert.match(
        error.message,
        /^Pod "Bad_Name" is invalid: \[metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123/,
      );
      return true;
    });
  });
});

describe('pods', () => {
  test('get service account, tolerations, priority and class', async () => {
    const pod = (await registry.create('pods', podOf('full'))) as Pod;
    assert.equal(pod.status?.phase, 'Pending');
    assert.equal(pod.status?.qosClass, 'BestEffort');
    assert.equal(pod.spec.serviceAccountName, 'default');
    assert.equal(pod.spec.priority, 0);
    assert.equal(pod.spec.preemptionPolicy, 'PreemptLowerPriority');
    assert.deepEqual(
      pod.spec.tolerations?.map((t) => [t.key, t.tolerationSeconds]),
      [
        ['node.kubernetes.io/not-ready', 300],
        ['node.kubernetes.io/unreachable', 300],
      ],
    );
    const volume = pod.spec.volumes?.[0];
    assert.match(volume?.name ?? '', /^kube-api-access-.{5}$/);
    assert.equal(pod.spec.containers[0]?.volumeMounts?.[0]?.mountPath, '/var/run/secrets/kubernetes.io/serviceaccount');
    assert.equal(pod.metadata.generation, 1);
  });

  test('keep their spec but for image and the like', async () => {
    const pod = (await registry.create('pods', podOf('fixed'))) as Pod;
    const spec = structuredClone(pod.spec) as unknown as { containers: { image: string }[]; hostNetwork?: boolean };
    spec.containers[0]!.image = 'nginx';
    const updated = await registry.update('pods', { ...pod, spec });
    assert.equal(updated.metadata.generation, 2);
    spec.hostNetwork = true;
    const change = registry.update('pods', { ...updated, spec });
    await assert.rejects(
      change,
      refused(
        'Invalid',
        /^Pod "fixed" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`/,
      ),
    );
  });

  test('unscheduled: deleted at once; bound: after their grace', async () => {
    await registry.create('pods', podOf('loose'));
    const loose = await registry.api.delete(registry.ctx(), registry.target('pods', 'default', 'loose'), {});
    assert.equal(loose.kind, 'object');
    await assert.rejects(registry.get('pods', 'loose', 'default'), refused('NotFound', /loose/));

    await registry.create('pods', podOf('bound'));
    const binding = { metadata: { name: 'bound', namespace: 'default' }, target: { kind: 'Node', name: 'n1' } };
    const at = registry.target('pods/binding', 'default', 'bound');
    await registry.api.create(registry.ctx(), at, binding as KubeObject, {});
    const bound = (await registry.get('pods', 'bound', 'default')) as Pod;
    assert.equal(bound.spec.nodeName, 'n1');
    assert.equal(bound.status?.conditions?.[0]?.type, 'PodScheduled');
    await assert.rejects(
      registry.api.create(registry.ctx(), at, structuredClone(binding) as KubeObject, {}),
      refused(
        'Conflict',
        /^Operation cannot be fulfilled on pods\/binding "bound": pod bound is already assigned to node "n1"$/,
      ),
    );
    const target = registry.target('pods', 'default', 'bound');
    await registry.api.delete(registry.ctx(), target, {});
    const going = await registry.get('pods', 'bound', 'default');
    assert.equal(going.metadata.deletionGracePeriodSeconds, 30);
    assert.equal(going.metadata.deletionTimestamp, '2026-01-01T00:00:30Z');
    await registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 10 });
    const sooner = await registry.get('pods', 'bound', 'default');
    assert.equal(sooner.metadata.deletionTimestamp, '2026-01-01T00:00:10Z');
    await registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 20 });
    assert.equal((await registry.get('pods', 'bound', 'default')).metadata.deletionGracePeriodSeconds, 10);
    await assert.rejects(
      registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 0, preconditions: { uid: 'other' } }),
      refused('Conflict', /the UID in the precondition \(other\) does not match/),
    );
    await registry.api.delete(registry.ctx(), target, { gracePeriodSeconds: 0 });
    await assert.rejects(registry.get('pods', 'bound', 'default'), refused('NotFound', /bound/));
  });
});

describe('update', () => {
  test('an old resourceVersion is a conflict', async () => {
    const made = await registry.create('configmaps', {
      metadata: { namespace: 'default', name: 'old' },
      data: { a: '1' },
    });
    await registry.update('configmaps', { ...made, data: { a: '2' } });
    const late = registry.update('configmaps', { ...made, data: { a: '3' } });
    await assert.rejects(
      late,
      refused(
        'Conflict',
        /^Operation cannot be fulfilled on configmaps "old": the object has been modified; please apply your changes to the latest version and try again$/,
      ),
    );
    const { resourceVersion: _, ...metadata } = made.metadata;
    const forced = (await registry.update('configmaps', { ...made, metadata, data: { a: '4' } })) as { data?: object };
    assert.deepEqual(forced.data, { a: '4' });
  });

  test('status and spec have an endpoint each, generation counts the spec', async () => {
    const made = (await registry.create('deployments.apps', {
      ...MINIMAL['deployments.apps'],
      metadata: { namespace: 'default', name: 'split' },
      status: { replicas: 9 },
    })) as Deployment;
    assert.equal(made.status?.replicas, undefined);
    assert.equal(made.metadata.generation, 1);
    const status = (await registry.update('deployments.apps/status', {
      ...made,
      spec: { ...made.spec, replicas: 7 },
      status: { replicas: 3 },
    })) as Deployment;
    assert.equal(status.spec.replicas, 1);
    assert.equal(status.status?.replicas, 3);
    assert.equal(status.metadata.generation, 1);
    const spec = (await registry.update('deployments.apps', {
      ...status,
      spec: { ...made.spec, replicas: 5 },
      status: {},
    })) as Deployment;
    assert.equal(spec.status?.replicas, 3);
    assert.equal(spec.metadata.generation, 2);
  });

  test('scale reads and writes replicas', async () => {
    const at = { namespace: 'default', name: 'split' };
    const scale = await registry.get('deployments.apps/scale', 'split', 'default');
    assert.equal(scale.kind, 'Scale');
    assert.deepEqual((scale as { status?: object }).status, { replicas: 3, selector: 'app=a' });
    const scaled = await registry.merge('deployments.apps/scale', at, { spec: { replicas: 2 } });
    assert.deepEqual((scaled.object.object as { spec?: object }).spec, { replicas: 2 });
    assert.equal(((await registry.get('deployments.apps', 'split', 'default')) as Deployment).spec.replicas, 2);
  });

  test('a claim template is a volume of the pods', async () => {
    const mounting = { name: 'c', image: 'i', volumeMounts: [{ name: 'data', mountPath: '/data' }] };
    const spec = {
      serviceName: 's',
      selector: { matchLabels: { app: 'a' } },
      template: { metadata: { labels: { app: 'a' } }, spec: { containers: [mounting] } },
    };
    const metadata = { namespace: 'default', name: 'mounting' };
    const without = registry.create('statefulsets.apps', { metadata, spec });
    await assert.rejects(without, refused('Invalid', /volumeMounts\[0\].name: Not found: "data"$/));
    const claim = { metadata: { name: 'data' }, ...MINIMAL.persistentvolumeclaims };
    const made = await registry.create('statefulsets.apps', {
      metadata,
      spec: { ...spec, volumeClaimTemplates: [claim] },
    });
    assert.equal(made.metadata.generation, 1);
  });

  test('a selector is for good', async () => {
    const made = (await registry.get('deployments.apps', 'split', 'default')) as Deployment;
    const spec = {
      ...made.spec,
      selector: { matchLabels: { app: 'b' } },
      template: { ...made.spec.template, metadata: { labels: { app: 'b' } } },
    };
    await assert.rejects(
      registry.update('deployments.apps', { ...made, spec }),
      refused('Invalid', /spec.selector: Invalid value: \{.*\}: field is immutable$/),
    );
  });

  test('finalizers hold an object until the last is gone', async () => {
    await registry.create('configmaps', {
      metadata: { namespace: 'default', name: 'held', finalizers: ['example.com/a'] },
    });
    const target = registry.target('configmaps', 'default', 'held');
    const deleted = await registry.api.delete(registry.ctx(), target, {});
    assert.equal(deleted.kind, 'object');
    const held = await registry.get('configmaps', 'held', 'default');
    assert.ok(held.metadata.deletionTimestamp);
    const added = registry.merge('configmaps', held.metadata as never, {
      metadata: { finalizers: ['example.com/a', 'example.com/b'] },
    });
    await assert.rejects(
      added,
      refused(
        'Invalid',
        /no new finalizers can be added if the object is being deleted, found new finalizers \[\]string\{"example.com\/b"\}/,
      ),
    );
    await registry.merge('configmaps', held.metadata as never, { metadata: { finalizers: null } });
    await assert.rejects(registry.get('configmaps', 'held', 'default'), refused('NotFound', /held/));
  });
});

describe('patch', () => {
  test('strategic merge uses merge keys; json patch and its tests', async () => {
    const target = registry.target('deployments.apps', 'default', 'split');
    const body = { spec: { template: { spec: { containers: [{ name: 'side', image: 'side' }] } } } };
    const { object } = await registry.api.patch(
      registry.ctx(),
      target,
      { type: 'application/strategic-merge-patch+json', body },
      {},
    );
    assert.deepEqual(
      (object.object as Deployment).spec.template.spec?.containers.map((c) => c.name),
      ['side', 'c'],
    );
    const failing = [{ op: 'test', path: '/spec/replicas', value: 99 }];
    await assert.rejects(
      registry.api.patch(registry.ctx(), target, { type: 'application/json-patch+json', body: failing }, {}),
      (e: StatusError) => e.code === 422,
    );
  });

  test('many at once all take effect', async () => {
    await registry.create('configmaps', { metadata: { namespace: 'default', name: 'busy' } });
    const patches = Array.from({ length: 20 }, (_, i) =>
      registry.merge('configmaps', { namespace: 'default', name: 'busy' }, { data: { [`k${i}`]: 'v' } }),
    );
    await Promise.all(patches);
    const busy = (await registry.get('configmaps', 'busy', 'default')) as { data?: object };
    assert.equal(Object.keys(busy.data ?? {}).length, 20);
  });

  test('unknown fields are told of', async () => {
    registry.warnings.length = 0;
    await registry.merge('configmaps', { namespace: 'default', name: 'busy' }, { nonsense: 1 });
    assert.deepEqual(registry.warnings, ['unknown field "nonsense"']);
  });
});

test('the path of a proxied request is that of the request, whatever its parameters say', async () => {
  const seen: unknown[] = [];
  const looks: AdmissionPlugin = {
    name: 'Looks',
    operations: ['CONNECT'],
    resources: ['pods/proxy', 'pods/exec'],
    admit: (_world, _request, object) => void seen.push((object as unknown as { path?: string }).path),
  };
  const registry = await testRegistry({ admission: [looks] });
  try {
    const asked = new URLSearchParams('path=/harmless&x=1');
    for (const [subresource, path] of [
      ['proxy', '/admin/x'],
      ['proxy', ''],
      ['exec', '/admin'],
    ] as const) {
      const target = { ...registry.target('pods', 'default', 'p'), subresource };
      assert.equal(await (registry.api as Registry).connect(registry.ctx(), target, asked, path), asked);
    }
    assert.deepEqual(seen, ['/admin/x', undefined, undefined]);
  } finally {
    await registry.close();
  }
});

test('the parameters of a connection are what admission left of them', async () => {
  const changes: AdmissionPlugin = {
    name: 'Changes',
    operations: ['CONNECT'],
    resources: ['pods/exec'],
    admit(_world, { target }, object) {
      const options = object as unknown as { command?: string[]; stdin?: boolean };
      if (target.name === 'changed') Object.assign(options, { command: ['sh', '-c'], stdin: false });
    },
  };
  const registry = await testRegistry({ admission: [changes] });
  try {
    const asked = new URLSearchParams('command=ls&stdin=true&stdout=true&other=1');
    const connect = async (name: string): Promise<string> => {
      const target = { ...registry.target('pods', 'default', name), subresource: 'exec' };
      return (await (registry.api as Registry).connect(registry.ctx(), target, asked)).toString();
    };
    assert.equal(await connect('same'), asked.toString());
    const changed = new URLSearchParams(await connect('changed'));
    assert.deepEqual(changed.getAll('command'), ['sh', '-c']);
    assert.deepEqual([changed.get('stdin'), changed.get('stdout')], ['false', 'true']);
  } finally {
    await registry.close();
  }
});
