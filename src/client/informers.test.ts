import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ConfigMap } from '../api/generated/types.ts';
import { StatusError } from '../machinery/status.ts';
import type { Client, ResourceClient, WatchEvent } from './contract.ts';
import { makeInformers } from './informers.ts';
import { type TestCluster, testCluster } from './test-cluster.ts';

describe('informers', () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await testCluster();
  });
  afterEach(() => cluster.close());
  const maps = (): ResourceClient<ConfigMap> => cluster.client.resource('configmaps');
  const make = (name: string, owner = 'x'): Promise<ConfigMap> =>
    maps().create({ metadata: { namespace: 'default', name, labels: { owner } } });

  it('list, then follow: objects, indexes and handlers agree with the server', async () => {
    await make('before');
    const informer = cluster.informers.for('configmaps');
    informer.addIndex('owner', ({ metadata }) => [metadata.labels?.owner ?? '']);
    await cluster.informers.start(cluster.signal);
    assert.ok(informer.synced);
    const heard: string[] = [];
    const handlers = {
      add: (one: ConfigMap) => heard.push(`add ${one.metadata.name}`),
      update: (one: ConfigMap, was: ConfigMap) =>
        heard.push(`update ${one.metadata.name} ${was.metadata.labels?.owner}>${one.metadata.labels?.owner}`),
      delete: (one: ConfigMap) => heard.push(`delete ${one.metadata.name}`),
    };
    informer.subscribe(handlers, cluster.signal);
    const created = await make('after');
    const body = { metadata: { labels: { owner: 'y' } } };
    await maps().patch(created.metadata, { type: 'merge', body });
    await cluster.pass(0);
    assert.deepEqual(
      informer.byIndex('owner', 'y').map((one) => one.metadata.name),
      ['after'],
    );
    assert.deepEqual(
      informer.byIndex('owner', 'x').map((one) => one.metadata.name),
      ['before'],
    );
    assert.equal(informer.list('default').length, 2);
    assert.equal(informer.list('elsewhere').length, 0);
    assert.equal(informer.get('default/after')?.metadata.labels?.owner, 'y');
    await maps().delete({ namespace: 'default', name: 'before' });
    await cluster.pass(0);
    assert.deepEqual(heard, ['add before', 'add after', 'update after x>y', 'delete before']);
    assert.equal(informer.byIndex('owner', 'x').length, 0);
  });

  it('a throw in one handler harms neither other handlers nor later events', async () => {
    const informer = cluster.informers.for('configmaps');
    await cluster.informers.start(cluster.signal);
    let heard = 0;
    informer.subscribe({ add: () => assert.fail('mine') }, cluster.signal);
    informer.subscribe({ add: () => heard++ }, cluster.signal);
    await make('one');
    await make('two');
    await cluster.pass(0);
    assert.equal(heard, 2);
  });

  it('runs as long as the last of its users, and starts again from a list', async () => {
    const informer = cluster.informers.for('configmaps');
    const first = new AbortController();
    const second = new AbortController();
    await cluster.informers.start(first.signal);
    await cluster.informers.start(second.signal);
    first.abort();
    await make('one');
    await cluster.pass(0);
    assert.ok(informer.get('default/one'), 'the second user still holds it');
    second.abort();
    assert.equal(informer.synced, false);
    assert.equal(informer.list().length, 0);
    await make('two');
    await cluster.informers.start(cluster.signal);
    assert.deepEqual(
      informer
        .list()
        .map((one) => one.metadata.name)
        .sort(),
      ['one', 'two'],
    );
  });

  it('lets go of a custom resource with its last user, who may still start it again', async () => {
    const things = { group: 'example.com', version: 'v1', resource: 'things', namespaced: true };
    const informer = cluster.informers.dynamic(things);
    assert.equal(cluster.informers.dynamic(things), informer);
    const stop = new AbortController();
    const synced = cluster.informers.start(stop.signal, [informer]);
    stop.abort();
    await assert.rejects(synced);
    assert.notEqual(cluster.informers.dynamic(things), informer);
    const again = new AbortController();
    const begun = cluster.informers.start(again.signal, [informer]);
    again.abort(new Error('begun'));
    await assert.rejects(begun, /begun/, 'it was started: nobody waits for what nobody runs');
    assert.equal(cluster.informers.for('configmaps'), cluster.informers.for('configmaps'));
  });

  it('starts only what is asked for', async () => {
    const one = cluster.informers.for('configmaps');
    const other = cluster.informers.for('secrets');
    await cluster.informers.start(cluster.signal, [one]);
    assert.deepEqual([one.synced, other.synced], [true, false]);
  });

  it('holds the metadata alone where that is enough, and whole objects once where others need them', async () => {
    const { informers, signal } = cluster;
    await maps().create({ metadata: { namespace: 'default', name: 'big' }, data: { much: 'x'.repeat(100) } });
    const metadata = informers.metadata('configmaps');
    assert.equal(informers.metadata(cluster.tables.preferred('', 'configmaps')!), metadata);
    const whole = informers.for('secrets');
    assert.equal(informers.metadata('secrets'), whole);
    await informers.start(signal);
    await make('later', 'y');
    await cluster.pass(0);
    for (const name of ['big', 'later']) {
      const held = metadata.get(`default/${name}`);
      assert.deepEqual(Object.keys(held ?? {}), ['apiVersion', 'kind', 'metadata']);
    }
    assert.deepEqual(metadata.get('default/later')?.metadata.labels, { owner: 'y' });
    const heard: string[] = [];
    metadata.subscribe({ delete: (object) => heard.push(object.metadata.name) }, signal);
    await maps().delete({ namespace: 'default', name: 'later' });
    await cluster.pass(0);
    assert.deepEqual(heard, ['later']);
  });

  it('holds only what a field selector selects', async () => {
    await make('wanted');
    const informer = cluster.informers.for('configmaps', 'metadata.name=wanted');
    assert.notEqual(informer, cluster.informers.for('configmaps'));
    await cluster.informers.start(cluster.signal, [informer]);
    await make('other');
    await cluster.pass(0);
    assert.deepEqual(
      informer.list().map((one) => one.metadata.name),
      ['wanted'],
    );
  });

  it('resumes where a watch ended, and lists again only when that is too old', async () => {
    const faults: { list: number; watch: Error[] } = { list: 0, watch: [] };
    const informers = makeInformers({ ...cluster, client: faulty(cluster.client, faults) });
    const informer = informers.for('configmaps');
    faults.watch.push(new Error('connection lost'), new StatusError('Expired', 'too old resource version'));
    await informers.start(cluster.signal);
    await make('away');
    await cluster.pass(0);
    assert.equal(informer.list().length, 0);
    await cluster.pass(250);
    assert.equal(faults.list, 1, 'a broken connection is no reason to list');
    await cluster.pass(2_000);
    assert.equal(faults.list, 2, 'an expired version is');
    assert.equal(informer.list().length, 1);
    const gone: string[] = [];
    informer.subscribe({ delete: (object) => gone.push(object.metadata.name) }, cluster.signal);
    await maps().delete({ namespace: 'default', name: 'away' });
    await cluster.pass(0);
    assert.deepEqual(gone, ['away']);
  });

  it('tells apart an object deleted and made again while nobody watched', async () => {
    const { ObjectIndex } = await import('./object-index.ts');
    const index = new ObjectIndex(cluster.env.log);
    const object = (uid: string, resourceVersion: string) => ({ metadata: { name: 'a', uid, resourceVersion } });
    await index.replace([object('1', '5')], '5', cluster.signal);
    const heard: string[] = [];
    const say = (what: string) => (one: { metadata: { uid?: string } }) => heard.push(`${what} ${one.metadata.uid}`);
    index.subscribe({ add: say('add'), update: say('update'), delete: say('delete') }, cluster.signal);
    await index.replace([object('2', '9')], '9', cluster.signal);
    assert.deepEqual(heard, ['add 1', 'delete 1', 'add 2']);
    assert.equal(index.resourceVersion, '9');
  });
});

/** The client with failures of its lists and watches, in the order given. */
function faulty(client: Client, faults: { list: number; watch: Error[] }): Client {
  return {
    ...client,
    dynamic: (coordinates) => {
      const real = client.dynamic(coordinates);
      return {
        ...real,
        list: (query, signal) => {
          faults.list++;
          return real.list(query, signal);
        },
        async *watch(query, signal): AsyncGenerator<readonly WatchEvent<never>[]> {
          const fault = faults.watch.shift();
          if (fault) throw fault;
          yield* real.watch(query, signal) as AsyncIterable<readonly WatchEvent<never>[]>;
        },
      } as typeof real;
    },
  };
}
