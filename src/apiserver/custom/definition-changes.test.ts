// What becomes of custom resources when their definition changes or goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../lib/test-until.ts';
import { never } from '../../store/contract.suite.ts';
import {
  ask,
  clock,
  DEFINITIONS,
  define,
  deleteDefinition,
  merge,
  object,
  schema,
  store,
  type Version,
  watching,
} from './test-server.ts';

test("built-in group versions, types and keys are not a definition's to change", async () => {
  const approved = { annotations: { 'api-approved.kubernetes.io': 'unapproved, a test' } };
  const made = async (group: string, plural: string, kind: string, name: string): Promise<void> => {
    const { status, text } = await ask('POST', DEFINITIONS, {
      metadata: { name: `${plural}.${group}`, ...approved },
      spec: {
        group,
        scope: 'Cluster',
        names: { plural, kind },
        versions: [{ name, served: true, storage: true, ...schema({}) }],
      },
    });
    assert.equal(status, 201, text);
    await until(`${plural} is established`, async () =>
      (await ask('GET', `${DEFINITIONS}/${plural}.${group}`)).json.status?.conditions?.some(
        (one: { type: string; status: string }) => one.type === 'Established' && one.status === 'True',
      ),
    );
  };
  const own = await ask('GET', '/apis/apiregistration.k8s.io/v1/apiservices');
  await made('networking.k8s.io', 'ingresses', 'Ingress', 'v1');
  await made('core.api.k8s.io', 'configmaps', 'ConfigMap', 'v1');
  await made('apiregistration.k8s.io', 'apiservices', 'APIService', 'v2');
  const settings = { metadata: { name: 's' }, data: { a: 'b' }, spec: {} };
  const still = async (): Promise<void> => {
    assert.equal((await ask('GET', '/apis/networking.k8s.io/v1/namespaces/default/ingresses')).status, 200);
    const { json, text } = await ask('POST', '/api/v1/namespaces/default/configmaps?dryRun=All', settings);
    assert.deepEqual([json.data, json.spec], [{ a: 'b' }, undefined], text);
    assert.equal((await ask('GET', '/apis/apiregistration.k8s.io/v2/apiservices')).status, 404);
  };
  await still();
  for (const name of [
    'ingresses.networking.k8s.io',
    'configmaps.core.api.k8s.io',
    'apiservices.apiregistration.k8s.io',
  ]) {
    await deleteDefinition(name);
  }
  await still();
  const left = await ask('GET', '/apis/apiregistration.k8s.io/v1/apiservices');
  assert.ok(left.json.items.length >= own.json.items.length, 'the API services are still there');
});

test('objects go with a definition that serves no version any more', async () => {
  const path = await define('Ghost', [schema({})]);
  assert.equal((await ask('POST', path, object('Ghost', 'old', {}))).status, 201);
  const { json } = await ask('GET', `${DEFINITIONS}/ghosts.example.com`);
  const [version] = json.spec.versions;
  await ask(
    'PATCH',
    `${DEFINITIONS}/ghosts.example.com`,
    { spec: { versions: [{ ...version, served: false }] } },
    merge,
  );
  await until('it is not served', async () => (await ask('GET', path)).status === 404);
  await deleteDefinition('ghosts.example.com');
  await define('Ghost', [schema({})]);
  assert.deepEqual((await ask('GET', path)).json.items, []);
});

test("a kind that is called as another kind's list would be has a type of its own", async () => {
  const path = await define('Shelf', [schema({ properties: { a: { type: 'string' } } })], {
    names: { plural: 'shelfs', kind: 'Shelf', listKind: 'ShelfCollection' },
  });
  const lists = await define('ShelfList', [schema({ properties: { b: { type: 'string' } } })]);
  const made = await ask('POST', lists, object('ShelfList', 'one', { spec: { b: 'x' } }));
  assert.deepEqual(made.json.spec, { b: 'x' }, made.text);
  assert.equal((await ask('GET', path)).json.kind, 'ShelfCollection');
  await deleteDefinition('shelfs.example.com');
  assert.deepEqual((await ask('GET', `${lists}/one`)).json.spec, { b: 'x' });
});

test('the stored version changes while objects are written: none is lost', async () => {
  const versions = (stored: string): Version[] =>
    ['v1', 'v2'].map((name) => ({
      name,
      served: true,
      storage: name === stored,
      ...schema({ properties: { n: { type: 'integer' } } }),
    }));
  const path = await define('Mover', versions('v1'));
  const of = (version: string): string => path.replace('/v1/', `/${version}/`);
  let running = true;
  const acknowledged = new Map<string, number>();
  const writer = async (version: string, who: number): Promise<void> => {
    for (let n = 0; running; n++) {
      const name = `${version}-${who}-${n % 5}`;
      const body = { apiVersion: `example.com/${version}`, kind: 'Mover', metadata: { name }, spec: { n } };
      const answer = acknowledged.has(name)
        ? await ask('PATCH', `${of(version)}/${name}`, { spec: { n } }, merge)
        : await ask('POST', of(version), body);
      assert.ok(answer.status < 300, answer.text);
      acknowledged.set(name, n);
    }
  };
  const writers = [writer('v1', 1), writer('v1', 2), writer('v2', 1), writer('v2', 2)];
  try {
    for (const stored of ['v2', 'v1', 'v2']) {
      const changed = await ask(
        'PATCH',
        `${DEFINITIONS}/movers.example.com`,
        { spec: { versions: versions(stored) } },
        merge,
      );
      assert.equal(changed.status, 200, changed.text);
      const before = [...acknowledged.values()].reduce((sum, n) => sum + n + 1, 0);
      await until('writes go on', () => [...acknowledged.values()].reduce((sum, n) => sum + n + 1, 0) > before + 40);
    }
  } finally {
    running = false;
    await Promise.all(writers);
  }
  for (const version of ['v1', 'v2']) {
    const { json } = await ask('GET', of(version));
    const found = new Map(
      json.items.map((one: { metadata: { name: string }; spec: { n: number }; apiVersion: string }) => {
        assert.equal(one.apiVersion, `example.com/${version}`);
        return [one.metadata.name, one.spec.n];
      }),
    );
    assert.deepEqual(new Map([...found].sort()), new Map([...acknowledged].sort()));
  }
  const { json } = await ask('GET', `${DEFINITIONS}/movers.example.com`);
  assert.deepEqual(json.status.storedVersions, ['v1', 'v2']);
});

test('a watch ends when its definition says otherwise how objects look, not when it is being deleted', async () => {
  const path = await define('Wall', [schema({ properties: { old: { type: 'string' } } })]);
  assert.equal((await ask('POST', path, object('Wall', 'a', { spec: { old: 'x' } }))).status, 201);
  const first = watching(`${path}?watch=1`);
  await until('it shows what is there', () => first.events.length === 1);
  const versions = [
    {
      name: 'v1',
      served: true,
      storage: true,
      ...schema({ properties: { old: { type: 'string' }, new: { type: 'string' } } }),
    },
  ];
  await ask('PATCH', `${DEFINITIONS}/walls.example.com`, { spec: { versions } }, merge);
  await until(
    'the new member is kept',
    async () => (await ask('PATCH', `${path}/a`, { spec: { new: 'y' } }, merge)).json.spec.new,
  );
  await until('the watch is over', () => first.ended);
  assert.ok(
    first.events.every((one) => one.type === 'ADDED'),
    'nothing is shown as it no longer looks',
  );
  const second = watching(`${path}?watch=1`);
  await until('it shows it whole', () => second.events.length === 1);
  assert.deepEqual(second.events[0]!.object.spec, { old: 'x', new: 'y' });
  await ask('DELETE', `${DEFINITIONS}/walls.example.com`);
  await until('it shows the end', async () => {
    await clock.advance(1000);
    return second.events.some((one) => one.type === 'DELETED');
  });
  first.stop();
  second.stop();
});

test('a stored definition that cannot be served does not keep the others from it', async () => {
  await define('Good', [schema({})]);
  const { json } = await ask('GET', `${DEFINITIONS}/goods.example.com`);
  const bad = structuredClone(json);
  bad.metadata.name = 'bads.example.com';
  delete bad.metadata.resourceVersion;
  bad.spec.names = bad.status.acceptedNames = { plural: 'bads', kind: 'Bad', singular: 'bad', listKind: 'BadList' };
  bad.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties = { a: null };
  const value = Buffer.from(JSON.stringify(bad));
  await store.write(
    { key: '/registry/apiextensions.k8s.io/customresourcedefinitions/bads.example.com', value, expected: 0 },
    never,
  );
  const path = await define('Better', [schema({})]);
  assert.equal((await ask('POST', path, object('Better', 'a', {}))).status, 201);
});
