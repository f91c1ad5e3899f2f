import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PersistentVolumeClaim, Pod, PolicyRule, ResourceQuota } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { StatusError } from '../../machinery/status.ts';
import type { RbacAuthorizer } from '../auth/rbac.ts';
import { ruleAllows } from '../auth/rbac-rules.ts';
import type { TokenAuthority } from '../auth/service-account-tokens.ts';
import type { UserInfo } from '../contract.ts';
import { type TestRegistry, testRegistry } from '../registry/test-registry.ts';

/** Users have the rules listed here, everywhere. */
const RULES: { [user: string]: readonly PolicyRule[] } = {
  reader: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
};
const rbac: RbacAuthorizer = {
  decide: (user, attributes) => ({
    allowed: (RULES[user.username] ?? []).some((r) => ruleAllows(r, attributes)),
    why: '',
  }),
  authorize: (user, attributes) => ({ allowed: rbac.decide(user, attributes).allowed, reason: 'no' }),
  rulesFor: (user) => ({
    rules: RULES[user.username] ?? [
      { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
      { nonResourceURLs: ['*'], verbs: ['*'] },
    ],
  }),
};

const tokens: TokenAuthority = {
  issuer: 'test',
  audiences: ['api'],
  issue: async () => ({ token: 't', expiresAtMs: 0 }),
  authenticate: async () => undefined,
  keySet: async () => ({ keys: [] }),
};

let registry: TestRegistry;
before(async () => {
  registry = await testRegistry({ rbac, tokens });
});
after(() => registry.close());

const forbidden =
  (pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.reason, 'Forbidden', error.message);
    assert.match(error.message, pattern);
    return true;
  };

const pod = (namespace: string, name: string, spec: object = {}, metadata: object = {}): object => ({
  metadata: { namespace, name, ...metadata },
  spec: { containers: [{ name: 'c', image: 'busybox' }], ...spec },
});

async function namespace(name: string): Promise<void> {
  await registry.create('namespaces', { metadata: { name } });
  await registry.create('serviceaccounts', { metadata: { namespace: name, name: 'default' } });
}

describe('service accounts', () => {
  test('a pod of an absent account is refused', async () => {
    const made = registry.create('pods', pod('default', 'a', { serviceAccountName: 'nobody' }));
    await assert.rejects(
      made,
      forbidden(
        /^pods "a" is forbidden: error looking up service account default\/nobody: serviceaccount "nobody" not found$/,
      ),
    );
  });

  test('a pod of a new namespace waits for its default account', async () => {
    await registry.create('namespaces', { metadata: { name: 'fresh' } });
    const made = registry.create('pods', pod('fresh', 'early')) as Promise<Pod>;
    await registry.clock.advance(500);
    await registry.create('serviceaccounts', { metadata: { namespace: 'fresh', name: 'default' } });
    await registry.clock.advance(500);
    assert.equal((await made).spec.serviceAccountName, 'default');
  });

  test('and is refused when the account does not come', async () => {
    await registry.create('namespaces', { metadata: { name: 'forgotten' } });
    const made = assert.rejects(
      registry.create('pods', pod('forgotten', 'early')),
      forbidden(/error looking up service account forgotten\/default: serviceaccount "default" not found$/),
    );
    await registry.clock.advance(2000);
    await made;
  });

  test('no token where none is wanted: the pod has the last word, then its account', async () => {
    const wishes = [undefined, true, false];
    for (const [i, ofAccount] of wishes.entries()) {
      const account = `opts-${i}`;
      const metadata = { namespace: 'default', name: account };
      await registry.create('serviceaccounts', { metadata, automountServiceAccountToken: ofAccount });
      for (const [j, ofPod] of wishes.entries()) {
        const spec = { serviceAccountName: account, automountServiceAccountToken: ofPod };
        const made = (await registry.create('pods', pod('default', `bare-${i}-${j}`, spec))) as Pod;
        const mounts = made.spec.containers[0]?.volumeMounts ?? [];
        assert.equal(mounts.length, (ofPod ?? ofAccount ?? true) ? 1 : 0, `account ${ofAccount}, pod ${ofPod}`);
        assert.equal(made.spec.volumes?.length ?? 0, mounts.length);
      }
    }
  });
});

describe('priority', () => {
  test('comes from the class by name or by default', async () => {
    await registry.create('priorityclasses.scheduling.k8s.io', {
      metadata: { name: 'high' },
      value: 1000,
      preemptionPolicy: 'Never',
    });
    const high = (await registry.create('pods', pod('default', 'high', { priorityClassName: 'high' }))) as Pod;
    assert.deepEqual([high.spec.priority, high.spec.preemptionPolicy], [1000, 'Never']);
    const none = registry.create('pods', pod('default', 'none', { priorityClassName: 'nope' }));
    await assert.rejects(none, forbidden(/no PriorityClass with name nope was found$/));
    const wrong = registry.create('pods', pod('default', 'wrong', { priorityClassName: 'high', priority: 7 }));
    await assert.rejects(
      wrong,
      forbidden(
        /the integer value of priority \(7\) must not be provided in pod spec; priority admission controller computed 1000/,
      ),
    );
  });
});

describe('limit ranges', () => {
  test('fill in and bound', async () => {
    await namespace('limited');
    await registry.create('limitranges', {
      metadata: { namespace: 'limited', name: 'l' },
      spec: {
        limits: [{ type: 'Container', default: { cpu: '200m' }, defaultRequest: { cpu: '100m' }, max: { cpu: '1' } }],
      },
    });
    const made = (await registry.create('pods', pod('limited', 'a'))) as Pod;
    assert.deepEqual(made.spec.containers[0]?.resources, { limits: { cpu: '200m' }, requests: { cpu: '100m' } });
    assert.match(
      made.metadata.annotations?.['kubernetes.io/limit-ranger'] ?? '',
      /^LimitRanger plugin set: cpu request for container c; cpu limit for container c$/,
    );
    const resources = { limits: { cpu: '2' }, requests: { cpu: '2' } };
    const big = registry.create('pods', pod('limited', 'b', { containers: [{ name: 'c', image: 'i', resources }] }));
    await assert.rejects(big, forbidden(/maximum cpu usage per Container is 1, but limit is 2$/));
  });
});

describe('quotas', () => {
  test('are charged, then refuse', async () => {
    await namespace('scarce');
    await registry.create('resourcequotas', {
      metadata: { namespace: 'scarce', name: 'q' },
      spec: { hard: { pods: '1', 'count/configmaps': '5', 'requests.cpu': '1' } },
    });
    const silent = registry.create('pods', pod('scarce', 'silent'));
    await assert.rejects(silent, forbidden(/failed quota: q: must specify requests.cpu for: c$/));
    const containers = [{ name: 'c', image: 'i', resources: { requests: { cpu: '600m' } } }];
    await registry.create('pods', pod('scarce', 'one', { containers }));
    const quota = (await registry.get('resourcequotas', 'q', 'scarce')) as ResourceQuota;
    assert.deepEqual(quota.status?.used, { pods: '1', 'requests.cpu': '600m' });
    const two = registry.create('pods', pod('scarce', 'two', { containers }));
    await assert.rejects(
      two,
      forbidden(
        /^pods "two" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=600m, used: pods=1,requests.cpu=600m, limited: pods=1,requests.cpu=1$/,
      ),
    );
  });
});

describe('kubelets', () => {
  const kubelet: UserInfo = { username: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] };

  test('change their own node and pods only', async () => {
    const mine = await registry.create('nodes', { metadata: { name: 'n1' } }, { user: kubelet });
    assert.deepEqual((mine as { spec?: { taints?: object } }).spec?.taints, [
      { effect: 'NoSchedule', key: 'node.kubernetes.io/not-ready' },
    ]);
    const other = registry.create('nodes', { metadata: { name: 'n2' } }, { user: kubelet });
    await assert.rejects(other, forbidden(/node "n1" is not allowed to modify node "n2"$/));
    const labels = { 'x.node-restriction.kubernetes.io/zone': 'a' };
    const relabelled = registry.update('nodes', { ...mine, metadata: { ...mine.metadata, labels } }, kubelet);
    await assert.rejects(relabelled, forbidden(/is not allowed to modify labels/));
    const elsewhere = await registry.create('pods', pod('default', 'elsewhere', { nodeName: 'n2' }));
    await assert.rejects(
      registry.update('pods/status', elsewhere, kubelet),
      forbidden(/can only update status for pods with spec.nodeName set to itself$/),
    );
    const here = await registry.create('pods', pod('default', 'here', { nodeName: 'n1' }));
    const status = { ...(here as Pod).status, phase: 'Running' };
    assert.equal(
      ((await registry.update('pods/status', { ...here, status }, kubelet)) as Pod).status?.phase,
      'Running',
    );
    const token = (body: object): Promise<unknown> =>
      registry.api.create(
        registry.ctx(kubelet),
        registry.target('serviceaccounts/token', 'default', 'default'),
        body as KubeObject,
        {},
      );
    await assert.rejects(token({ metadata: {}, spec: {} }), forbidden(/node requested token not bound to a pod$/));
    const theirs = { kind: 'Pod', apiVersion: 'v1', name: 'elsewhere', uid: elsewhere.metadata.uid };
    await assert.rejects(
      token({ metadata: {}, spec: { boundObjectRef: theirs } }),
      forbidden(/bound to a pod scheduled on a different node$/),
    );
    await assert.rejects(
      registry.create('pods', pod('default', 'made', { nodeName: 'n1' }), { user: kubelet }),
      forbidden(/can only create mirror pods$/),
    );
  });
});

describe('roles', () => {
  const reader: UserInfo = { username: 'reader', groups: ['people'] };
  const role = (name: string, verbs: string[]): object => ({
    metadata: { namespace: 'default', name },
    rules: [{ apiGroups: [''], resources: ['pods'], verbs }],
  });

  test('nobody grants more than they have', async () => {
    await registry.create('roles.rbac.authorization.k8s.io', role('less', ['get']), { user: reader });
    const more = registry.create('roles.rbac.authorization.k8s.io', role('more', ['get', 'delete']), { user: reader });
    await assert.rejects(
      more,
      forbidden(
        /^roles.rbac.authorization.k8s.io "more" is forbidden: user "reader" \(groups=\["people"\]\) is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["pods"\], Verbs:\["delete"\]\}$/,
      ),
    );
    await registry.create('roles.rbac.authorization.k8s.io', role('strong', ['delete']));
    const bind = (name: string, to: string): Promise<KubeObject> =>
      registry.create(
        'rolebindings.rbac.authorization.k8s.io',
        {
          metadata: { namespace: 'default', name },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: to },
        },
        { user: reader },
      );
    await bind('ok', 'less');
    await assert.rejects(bind('no', 'strong'), forbidden(/not currently held/));
  });
});

test('a claim gets the newest default storage class', async () => {
  const mark = { 'storageclass.kubernetes.io/is-default-class': 'true' };
  await registry.create('storageclasses.storage.k8s.io', {
    metadata: { name: 'old', annotations: mark },
    provisioner: 'p',
  });
  await registry.clock.advance(1000);
  await registry.create('storageclasses.storage.k8s.io', {
    metadata: { name: 'new', annotations: mark },
    provisioner: 'p',
  });
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const claim = (await registry.create('persistentvolumeclaims', {
    metadata: { namespace: 'default', name: 'c' },
    spec,
  })) as PersistentVolumeClaim;
  assert.equal(claim.spec.storageClassName, 'new');
});
