// What every transport of the client does. Each transport's test runs it over a server of its own.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ConfigMap } from '../api/generated/types.ts';
import { draft } from '../api/object.ts';
import { isReason, type StatusError } from '../machinery/status.ts';
import type { Client, WatchEvent } from './contract.ts';

export interface Connected {
  readonly client: Client;
  close(): Promise<void>;
}

const NAMESPACE = 'default';
const at = (name: string): { namespace: string; name: string } => ({ namespace: NAMESPACE, name });
const refused =
  (...reasons: Parameters<typeof isReason>[1][]) =>
  (error: unknown): boolean =>
    isReason(error, ...reasons);

export function clientSuite(transport: string, connect: () => Promise<Connected>): void {
  describe(`client over ${transport}`, () => {
    let connected: Connected;
    let client: Client;
    before(async () => {
      connected = await connect();
      client = connected.client;
    });
    after(() => connected.close());
    const maps = () => client.resource('configmaps');
    const make = (name: string, data: { [key: string]: string } = { k: 'v' }): Promise<ConfigMap> =>
      maps().create({ metadata: { ...at(name), labels: { of: name } }, data });

    it('creates, gets, updates, patches and deletes', async () => {
      const created = await make('one');
      assert.equal(created.kind, 'ConfigMap');
      assert.equal(created.apiVersion, 'v1');
      assert.ok(created.metadata.uid && created.metadata.resourceVersion);
      assert.deepEqual(await maps().get(at('one')), created);
      const changed = draft(created);
      changed.data = { k: 'w' };
      const updated = await maps().update(changed);
      assert.equal(updated.data?.k, 'w');
      const merged = await maps().patch(at('one'), { type: 'merge', body: { data: { k: null, m: '1' } } });
      assert.deepEqual(merged.data, { m: '1' });
      const body = [{ op: 'add', path: '/data/j', value: '2' }];
      const patched = await maps().patch(at('one'), { type: 'json', body });
      assert.deepEqual(patched.data, { m: '1', j: '2' });
      await maps().delete(at('one'));
      await assert.rejects(maps().get(at('one')), refused('NotFound'));
    });

    it('throws the refusals of the server', async () => {
      await make('twice');
      await assert.rejects(make('twice'), (error: StatusError) => {
        assert.equal(error.reason, 'AlreadyExists');
        assert.equal(error.code, 409);
        assert.equal(error.message, 'configmaps "twice" already exists');
        assert.deepEqual(error.details, { name: 'twice', kind: 'configmaps' });
        return true;
      });
      const stale = draft(await maps().get(at('twice')));
      await maps().patch(at('twice'), { type: 'merge', body: { data: { k: 'x' } } });
      stale.data = { k: 'y' };
      await assert.rejects(maps().update(stale), refused('Conflict'));
      await assert.rejects(make('Not A Name'), refused('Invalid'));
      const preconditions = { uid: 'another' };
      await assert.rejects(maps().delete(at('twice'), { preconditions }), refused('Conflict'));
    });

    it('writes the status and other subresources', async () => {
      const node = await client.resource('nodes').create({ metadata: { name: 'n1' }, spec: {} });
      const changed = draft(node);
      changed.spec = { unschedulable: true };
      changed.status = { conditions: [{ type: 'Ready', status: 'True' }] };
      const written = await client.resource('nodes').update(changed, { subresource: 'status' });
      assert.equal(written.status?.conditions?.[0]?.type, 'Ready');
      assert.equal(written.spec.unschedulable, undefined, 'a status update leaves the spec alone');
      const body = { status: { conditions: [{ type: 'Ready', status: 'False' }] } };
      const query = { subresource: 'status' };
      const patched = await client.resource('nodes').patch({ name: 'n1' }, { type: 'strategic', body }, query);
      assert.deepEqual(
        patched.status?.conditions?.map((c) => c.status),
        ['False'],
      );
      const pod = { metadata: at('bound'), spec: { containers: [{ name: 'c', image: 'i' }] } };
      await client
        .resource('serviceaccounts')
        .create({ metadata: at('default') })
        .catch(() => undefined);
      await client.resource('pods').create(pod);
      await client.resource('pods').createOn(at('bound'), 'binding', { target: { kind: 'Node', name: 'n1' } });
      assert.equal((await client.resource('pods').get(at('bound'))).spec.nodeName, 'n1');
    });

    it('lists by label, by field and in pages', async () => {
      for (const name of ['page-1', 'page-2', 'page-3']) {
        await maps().create({ metadata: { ...at(name), labels: { kind: 'page' } } });
      }
      const query = { namespace: NAMESPACE, labelSelector: 'kind=page' };
      const all = await maps().list(query);
      assert.deepEqual(
        all.items.map((one) => one.metadata.name),
        ['page-1', 'page-2', 'page-3'],
      );
      assert.ok(all.items.every((one) => one.kind === 'ConfigMap' && one.apiVersion === 'v1'));
      const one = await maps().list({ namespace: NAMESPACE, fieldSelector: 'metadata.name=page-2' });
      assert.deepEqual(
        one.items.map((found) => found.metadata.name),
        ['page-2'],
      );
      const first = await maps().list({ ...query, limit: 2 });
      assert.equal(first.items.length, 2);
      const rest = await maps().list({ ...query, limit: 2, continue: first.continue ?? '' });
      assert.deepEqual(
        rest.items.map((found) => found.metadata.name),
        ['page-3'],
      );
      assert.equal(rest.continue, undefined);
      await maps().deleteCollection(query);
      assert.equal((await maps().list(query)).items.length, 0);
    });

    it('reads only the metadata where that is asked for', async () => {
      const { metadata } = await make('meta');
      const items = (await maps().list({ fieldSelector: 'metadata.name=meta', metadataOnly: true })).items;
      assert.deepEqual(Object.keys(items[0] ?? {}).sort(), ['apiVersion', 'kind', 'metadata']);
      // Whether managedFields come with it is left open.
      const { managedFields: _written, ...expected } = metadata;
      const { managedFields: _read, ...read } = items[0]?.metadata ?? {};
      assert.deepEqual(read, expected);
      const stop = new AbortController();
      const { resourceVersion } = metadata;
      await maps().patch(at('meta'), { type: 'merge', body: { metadata: { labels: { later: 'yes' } } } });
      const query = { resourceVersion: resourceVersion!, fieldSelector: 'metadata.name=meta', metadataOnly: true };
      for await (const [event] of maps().watch(query, stop.signal)) {
        assert.ok(event && event.type === 'MODIFIED');
        assert.deepEqual(Object.keys(event.object).sort(), ['apiVersion', 'kind', 'metadata']);
        assert.equal(event.object.metadata.labels?.later, 'yes');
        break;
      }
      stop.abort();
    });

    it('leaves managedFields away where that is asked for', async () => {
      const { metadata } = await make('bare');
      const { managedFields, ...expected } = metadata;
      assert.ok(managedFields);
      const query = { fieldSelector: 'metadata.name=bare', unmanaged: true };
      const [listed] = (await maps().list(query)).items;
      assert.deepEqual(listed?.metadata, expected);
      assert.deepEqual(listed?.data, (await maps().get(at('bare'))).data);
      await maps().patch(at('bare'), { type: 'merge', body: { data: { k: 'changed' } } });
      const stop = new AbortController();
      for await (const [event] of maps().watch({ ...query, resourceVersion: metadata.resourceVersion! }, stop.signal)) {
        assert.ok(event && event.type === 'MODIFIED');
        assert.equal(event.object.metadata.managedFields, undefined);
        assert.equal(event.object.data?.k, 'changed');
        break;
      }
      stop.abort();
      // Whoever writes such an object takes nobody's fields away.
      await maps().update({ ...listed!, metadata: { ...expected, resourceVersion: undefined as never } });
      assert.ok((await maps().get(at('bare'))).metadata.managedFields);
    });

    it('watches from a version, in order, until told to stop', async () => {
      const { resourceVersion } = await maps().list();
      const stop = new AbortController();
      const seen: WatchEvent<ConfigMap>[] = [];
      const watching = (async () => {
        for await (const batch of maps().watch({ namespace: NAMESPACE, resourceVersion }, stop.signal)) {
          seen.push(...batch);
          if (seen.some((event) => event.type === 'DELETED')) stop.abort();
        }
      })();
      await make('watched');
      await maps().patch(at('watched'), { type: 'merge', body: { data: { k: 'second' } } });
      await maps().delete(at('watched'));
      await watching;
      assert.deepEqual(
        seen.map((event) => event.type),
        ['ADDED', 'MODIFIED', 'DELETED'],
      );
    });

    it('every verb of a fenced client is refused once the term is rewritten, and none before', async () => {
      const leases = client.resource('leases.coordination.k8s.io');
      const term = { namespace: 'kube-system', name: 'boss.term' };
      const written = await leases.create({ metadata: term, spec: { holderIdentity: 'old' } });
      const revision = Number(written.metadata.resourceVersion);
      const fenced = client.fenced([{ key: '/registry/leases/kube-system/boss.term', revision }]);
      await client.resource('nodes').create({ metadata: { name: 'fence' }, spec: {} });
      await client
        .resource('serviceaccounts')
        .create({ metadata: at('default') })
        .catch(() => undefined);
      const spec = { containers: [{ name: 'c', image: 'i' }] };
      const writes = async (round: string): Promise<{ [verb: string]: () => Promise<unknown> }> => {
        for (const name of ['update', 'patch', 'delete', 'all']) await make(`${name}-${round}`);
        await client.resource('pods').create({ metadata: at(`bind-${round}`), spec });
        const fencedMaps = fenced.resource('configmaps');
        const update = draft(await maps().get(at(`update-${round}`)));
        update.data = { k: 'changed' };
        const labelSelector = `of=all-${round}`;
        const target = { kind: 'Node', name: 'fence' };
        const patch = { type: 'merge', body: { data: { k: 'changed' } } } as const;
        const status = { type: 'strategic', body: { status: { message: round } } } as const;
        return {
          create: () => fencedMaps.create({ metadata: at(`create-${round}`) }),
          update: () => fencedMaps.update(update),
          patch: () => fencedMaps.patch(at(`patch-${round}`), patch),
          status: () => fenced.resource('pods').patch(at(`bind-${round}`), status, { subresource: 'status' }),
          delete: () => fencedMaps.delete(at(`delete-${round}`)),
          deleteCollection: () => fencedMaps.deleteCollection({ namespace: NAMESPACE, labelSelector }),
          bind: () => fenced.resource('pods').createOn(at(`bind-${round}`), 'binding', { target }),
          evict: () =>
            fenced.resource('pods').createOn(at(`bind-${round}`), 'eviction', { metadata: at(`bind-${round}`) }),
        };
      };
      for (const write of Object.values(await writes('held'))) await write();
      const late = await writes('lost');
      await leases.update({ ...written, spec: { holderIdentity: 'new' } });
      for (const [verb, write] of Object.entries(late)) {
        await assert.rejects(write(), refused('Conflict'), verb);
      }
    });

    it('does not begin a watch whose signal has aborted', async () => {
      const stop = new AbortController();
      stop.abort(new Error('before it began'));
      for await (const _ of maps().watch({ resourceVersion: '1' }, stop.signal)) assert.fail('nothing is read');
    });

    it('throws when a watch is asked for a version that no server has', async () => {
      const watching = async (): Promise<void> => {
        for await (const _ of maps().watch({ resourceVersion: 'x' }, new AbortController().signal)) return;
      };
      await assert.rejects(watching(), refused('BadRequest', 'Invalid'));
    });

    it('abandons a request whose signal aborts', async () => {
      const stop = new AbortController();
      stop.abort(new Error('enough'));
      await assert.rejects(maps().get(at('twice'), stop.signal), /enough/);
    });

    it('works with resources known only by their coordinates, and discovers them', async () => {
      const discovered = await client.discover(new AbortController().signal);
      const deployments = discovered.find((one) => one.resource === 'deployments');
      assert.ok(deployments);
      assert.equal(deployments.group, 'apps');
      assert.equal(deployments.kind, 'Deployment');
      assert.ok(deployments.namespaced && deployments.verbs.includes('deletecollection'));
      assert.equal(discovered.filter((one) => one.resource === 'horizontalpodautoscalers').length, 1);
      const pods = { group: '', version: 'v1', resource: 'configmaps', namespaced: true };
      await make('dynamic');
      assert.equal((await client.dynamic(pods).get(at('dynamic'))).metadata.labels?.of, 'dynamic');
      const gone = { group: 'nowhere.example', version: 'v1', resource: 'things', namespaced: true };
      await assert.rejects(client.dynamic(gone).list(), refused('NotFound'));
    });
  });
}
