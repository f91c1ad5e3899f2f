// Deletion, namespaces, evictions, tokens, fencing: what spans more than one object.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Namespace, Pod, PodDisruptionBudget, TokenRequest } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { StatusError } from '../../machinery/status.ts';
import type { Store } from '../../store/contract.ts';
import { StoreUnavailableError } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { TokenAuthority, TokenClaims } from '../auth/service-account-tokens.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';

let registry: TestRegistry;
const claims: TokenClaims[] = [];
const tokens: TokenAuthority = {
  issuer: 'test',
  audiences: ['api'],
  issue: async (asked) => {
    claims.push(asked);
    return { token: 'the-token', expiresAtMs: Date.UTC(2026, 0, 1, 1) };
  },
  authenticate: async () => undefined,
  keySet: async () => ({ keys: [] }),
};
before(async () => {
  registry = await testRegistry({ tokens });
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

const pod = (name: string, labels: object = {}): object => ({
  metadata: { namespace: 'default', name, labels },
  spec: { containers: [{ name: 'c', image: 'busybox' }] },
});

async function runningPod(name: string, ready: boolean): Promise<Pod> {
  const made = (await registry.create('pods', pod(name, { app: 'guarded' }))) as Pod;
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  return (await registry.update('pods/status', {
    ...made,
    status: { ...made.status, phase: 'Running', conditions },
  })) as Pod;
}

function evict(name: string): Promise<unknown> {
  const body = { metadata: { name, namespace: 'default' } } as KubeObject;
  return registry.api.create(registry.ctx(), registry.target('pods/eviction', 'default', name), body, {});
}

describe('a namespace', () => {
  test('goes when its finalizers are gone; nothing is created in it meanwhile', async () => {
    const made = (await registry.create('namespaces', { metadata: { name: 'going' } })) as Namespace;
    assert.deepEqual(made.spec?.finalizers, ['kubernetes']);
    assert.equal(made.status?.phase, 'Active');
    assert.equal(made.metadata.labels?.['kubernetes.io/metadata.name'], 'going');
    const deleted = await registry.api.delete(registry.ctx(), registry.target('namespaces', undefined, 'going'), {});
    assert.equal(deleted.kind, 'object');
    const going = (await registry.get('namespaces', 'going')) as Namespace;
    assert.equal(going.status?.phase, 'Terminating');
    assert.ok(going.metadata.deletionTimestamp);
    const late = registry.create('configmaps', { metadata: { namespace: 'going', name: 'late' } });
    await assert.rejects(late, (error: StatusError) => {
      assert.match(
        error.message,
        /^configmaps is forbidden: unable to create new content in namespace going because it is being terminated$/,
      );
      assert.equal(error.details?.causes?.[0]?.reason, 'NamespaceTerminating');
      return error.reason === 'Forbidden';
    });
    await registry.update('namespaces/finalize', { ...going, spec: { finalizers: [] } });
    await assert.rejects(registry.get('namespaces', 'going'), refused('NotFound', /"going" not found/));
  });

  test('of the system cannot be deleted', async () => {
    const target = registry.target('namespaces', undefined, 'default');
    await assert.rejects(
      registry.api.delete(registry.ctx(), target, {}),
      refused('Forbidden', /^namespaces "default" is forbidden: this namespace may not be deleted$/),
    );
  });
});

describe('deletion', () => {
  test('leaves the dependents to the garbage collector as the caller wishes', async () => {
    for (const [policy, finalizer] of [
      ['Orphan', 'orphan'],
      ['Foreground', 'foregroundDeletion'],
    ] as const) {
      await registry.create('configmaps', { metadata: { namespace: 'default', name: policy.toLowerCase() } });
      const target = registry.target('configmaps', 'default', policy.toLowerCase());
      await registry.api.delete(registry.ctx(), target, { propagationPolicy: policy });
      const held = await registry.get('configmaps', policy.toLowerCase(), 'default');
      assert.deepEqual(held.metadata.finalizers, [finalizer]);
      assert.equal(held.metadata.deletionGracePeriodSeconds, 0);
      const back = await registry.api.delete(registry.ctx(), target, { propagationPolicy: 'Background' });
      assert.equal(back.kind, 'deleted');
    }
  });

  test('of a collection takes what the selectors match', async () => {
    for (const [name, keep] of [
      ['x1', 'no'],
      ['x2', 'no'],
      ['x3', 'yes'],
    ]) {
      await registry.create('secrets', { metadata: { namespace: 'default', name, labels: { keep } } });
    }
    const target = registry.target('secrets', 'default');
    const gone = await registry.api.deleteCollection(registry.ctx(), target, { labelSelector: 'keep=no' });
    assert.deepEqual(gone.items.map((i) => i.name).sort(), ['x1', 'x2']);
    const left = await registry.api.list(registry.ctx(), target, { labelSelector: 'keep' });
    assert.deepEqual(
      left.items.map((i) => i.name),
      ['x3'],
    );
  });

  test('as a dry run deletes nothing', async () => {
    await registry.create('secrets', { metadata: { namespace: 'default', name: 'stays' } });
    await registry.api.delete(registry.ctx(), registry.target('secrets', 'default', 'stays'), { dryRun: true });
    assert.equal((await registry.get('secrets', 'stays', 'default')).metadata.name, 'stays');
  });
});

describe('eviction', () => {
  test('spends the budget, then is refused with 429', async () => {
    const budget = (await registry.create('poddisruptionbudgets.policy', {
      metadata: { namespace: 'default', name: 'two' },
      spec: { minAvailable: 2, selector: { matchLabels: { app: 'guarded' } } },
    })) as PodDisruptionBudget;
    for (const name of ['g1', 'g2', 'g3']) await runningPod(name, true);
    const unseen = evict('g1');
    await assert.rejects(unseen, (error: StatusError) => {
      assert.equal(
        error.details?.causes?.[0]?.message,
        'The disruption budget two is still being processed by the server.',
      );
      return error.code === 429 && error.details?.retryAfterSeconds === 10;
    });
    const status = {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      currentHealthy: 3,
      desiredHealthy: 2,
      expectedPods: 3,
    };
    await registry.update('poddisruptionbudgets.policy/status', { ...budget, status });
    await evict('g1');
    await assert.rejects(registry.get('pods', 'g1', 'default'), refused('NotFound', /g1/));
    const spent = (await registry.get('poddisruptionbudgets.policy', 'two', 'default')) as PodDisruptionBudget;
    assert.equal(spent.status?.disruptionsAllowed ?? 0, 0);
    assert.deepEqual(Object.keys(spent.status?.disruptedPods ?? {}), ['g1']);
    await assert.rejects(evict('g2'), (error: StatusError) => {
      assert.equal(error.message, "Cannot evict pod as it would violate the pod's disruption budget.");
      assert.deepEqual(error.details?.causes, [
        { reason: 'DisruptionBudget', message: 'The disruption budget two needs 2 healthy pods and has 3 currently' },
      ]);
      return error.code === 429;
    });
    await runningPod('unready', false);
    await evict('unready');
    await assert.rejects(registry.get('pods', 'unready', 'default'), refused('NotFound', /unready/));
  });

  test('says in the pod why it goes; what was not wanted as it is stays as it was', async () => {
    await registry.create('pods', {
      ...pod('held'),
      metadata: { namespace: 'default', name: 'held', finalizers: ['example.com/held'] },
    });
    const before = await registry.get('pods', 'held', 'default');
    const wish = (preconditions: object): Promise<unknown> => {
      const body = {
        metadata: { name: 'held', namespace: 'default' },
        deleteOptions: { preconditions },
      } as unknown as KubeObject;
      return registry.api.create(registry.ctx(), registry.target('pods/eviction', 'default', 'held'), body, {});
    };
    await assert.rejects(wish({ uid: 'other' }), refused('Conflict', /the UID in the precondition \(other\)/));
    const unchanged = await registry.get('pods', 'held', 'default');
    assert.equal(unchanged.metadata.resourceVersion, before.metadata.resourceVersion);
    await wish({ uid: before.metadata.uid, resourceVersion: before.metadata.resourceVersion });
    const { metadata, status } = (await registry.get('pods', 'held', 'default')) as Pod;
    assert.ok(metadata.deletionTimestamp);
    const { type, reason, message } = status!.conditions!.find((one) => one.type === 'DisruptionTarget')!;
    assert.deepEqual([type, reason, message], ['DisruptionTarget', 'EvictionByEvictionAPI', 'Eviction API: evicting']);
  });
});

describe('a token', () => {
  const request = (spec: object): Promise<KubeObject> => {
    const target = registry.target('serviceaccounts/token', 'default', 'default');
    const body = { metadata: {}, spec } as unknown as KubeObject;
    return registry.api.create(registry.ctx(), target, body, {}).then((r) => r.object.object);
  };

  test('is bound to its pod', async () => {
    const made = await registry.create('pods', pod('bearer'));
    const ref = { kind: 'Pod', apiVersion: 'v1', name: 'bearer', uid: made.metadata.uid };
    const answer = (await request({ expirationSeconds: 600, boundObjectRef: ref })) as TokenRequest;
    assert.deepEqual(answer.status, { token: 'the-token', expirationTimestamp: '2026-01-01T01:00:00Z' });
    assert.deepEqual(claims.at(-1)?.pod, { name: 'bearer', uid: made.metadata.uid });
    assert.deepEqual(claims.at(-1)?.audiences, ['api']);
    await assert.rejects(
      request({ boundObjectRef: { ...ref, uid: 'another' } }),
      refused('Conflict', /the UID in the bound object reference \(another\) does not match/),
    );
  });

  test('of less than ten minutes is refused', async () => {
    await assert.rejects(
      request({ expirationSeconds: 599 }),
      refused(
        'Invalid',
        /spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes$/,
      ),
    );
  });
});

describe('the store', () => {
  test('refuses the write of a leader that was deposed', async () => {
    const { signal } = registry.ctx();
    const term = await registry.store.write(
      { key: '/registry/terms/t', value: Buffer.from('{}'), expected: 0 },
      signal,
    );
    assert.ok(term.kind === 'committed');
    const guards = [{ key: '/registry/terms/t', revision: term.revision }];
    const target = registry.target('configmaps', 'default');
    const body = (name: string): KubeObject => registry.body(target, { metadata: { namespace: 'default', name } });
    await registry.api.create({ ...registry.ctx(), guards }, target, body('led'), {});
    await registry.store.write(
      { key: '/registry/terms/t', value: Buffer.from('{"a":1}'), expected: term.revision },
      signal,
    );
    await assert.rejects(
      registry.api.create({ ...registry.ctx(), guards }, target, body('late'), {}),
      refused('Conflict', /no longer held$/),
    );
    await assert.rejects(registry.get('configmaps', 'late', 'default'), refused('NotFound', /late/));
  });

  test('when it cannot serve: 503; when nobody knows: 504', async () => {
    const clock = new FakeClock();
    const inner = openMemoryStore({ clock });
    let fail: 'no' | 'unavailable' | 'unknown' = 'no';
    const store: Store = new Proxy(inner, {
      get(target, property) {
        if (property === 'write' && fail === 'unavailable')
          return async () => {
            throw new StoreUnavailableError('disk full');
          };
        if (property === 'write' && fail === 'unknown')
          return async () => ({ kind: 'unknown', cause: new Error('lost') });
        const value = Reflect.get(target, property);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const shaky = await testRegistry({ store });
    const make = (name: string): Promise<KubeObject> =>
      shaky.create('configmaps', { metadata: { namespace: 'default', name } });
    fail = 'unavailable';
    await assert.rejects(make('a'), refused('ServiceUnavailable', /disk full/));
    fail = 'unknown';
    await assert.rejects(make('b'), (error: StatusError) => error.reason === 'Timeout' && error.code === 504);
    fail = 'no';
    assert.equal((await make('c')).metadata.name, 'c');
    await shaky.close();
  });
});
