// The whole API server as its clients see it: objects in and out, in every encoding.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { ComponentStatus } from '../api/generated/types.ts';
import { until } from '../lib/test-until.ts';
import { CONFIG_MAPS, clock, configMap, http1, http2, server, session } from './test-server.ts';

for (const [name, send] of [
  ['HTTP/1.1', http1],
  ['HTTP/2', http2],
] as const) {
  describe(name, () => {
    const own = name === 'HTTP/2' ? 'two' : 'one';

    test('an object is created, read, replaced, patched and deleted', async () => {
      const created = await send('POST', CONFIG_MAPS, { body: configMap(own) });
      assert.equal(created.status, 201);
      assert.equal(created.headers['content-type'], 'application/json');
      assert.ok(created.headers['audit-id']);
      const got = await send('GET', `${CONFIG_MAPS}/${own}`);
      assert.deepEqual(got.json, created.json);
      const replaced = await send('PUT', `${CONFIG_MAPS}/${own}`, { body: { ...got.json, data: { k: 'w' } } });
      assert.equal(replaced.status, 200);
      const patched = await send('PATCH', `${CONFIG_MAPS}/${own}`, {
        body: { data: { more: 'x' } },
        headers: { 'content-type': 'application/merge-patch+json' },
      });
      assert.deepEqual(patched.json.data, { k: 'w', more: 'x' });
      const deleted = await send('DELETE', `${CONFIG_MAPS}/${own}`);
      assert.deepEqual(deleted.json, {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Success',
        details: { name: own, kind: 'configmaps', uid: created.json.metadata.uid },
      });
      const gone = await send('GET', `${CONFIG_MAPS}/${own}`);
      assert.equal(gone.status, 404);
      assert.equal(gone.json.message, `configmaps "${own}" not found`);
    });

    test('a list is joined from stored bytes', async () => {
      const labels = { of: own };
      for (const n of ['a', 'b', 'c']) {
        const body = { ...configMap(`${own}-${n}`), metadata: { name: `${own}-${n}`, labels } };
        await send('POST', CONFIG_MAPS, { body });
      }
      const list = (await send('GET', `${CONFIG_MAPS}?labelSelector=of%3D${own}`)).json;
      assert.equal(list.kind, 'ConfigMapList');
      assert.deepEqual(
        list.items.map((item: { metadata: { name: string } }) => item.metadata.name),
        [`${own}-a`, `${own}-b`, `${own}-c`],
      );
      const page = (await send('GET', `${CONFIG_MAPS}?labelSelector=of%3D${own}&limit=2`)).json;
      assert.equal(page.items.length, 2);
      const next = encodeURIComponent(page.metadata.continue);
      const rest = (await send('GET', `${CONFIG_MAPS}?labelSelector=of%3D${own}&limit=2&continue=${next}`)).json;
      assert.deepEqual(
        rest.items.map((item: { metadata: { name: string } }) => item.metadata.name),
        [`${own}-c`],
      );
      const deleted = await send('DELETE', `${CONFIG_MAPS}?labelSelector=of%3D${own}`);
      assert.deepEqual([deleted.status, deleted.json.items.length], [200, 3]);
    });

    test('what nobody serves is not found, what is not allowed is told', async () => {
      assert.equal((await send('GET', '/apis/none.example/v1/things')).status, 404);
      assert.equal((await send('GET', '/api/v1/nodes/x/none')).status, 404);
      assert.equal((await send('GET', '/api/v1/namespaces/default/nodes')).status, 404);
      const post = await send('POST', '/api/v1/configmaps', { body: configMap('x') });
      assert.deepEqual([post.status, post.json.reason], [405, 'MethodNotAllowed']);
      assert.equal((await send('POST', '/healthz')).status, 405);
    });
  });
}

test('YAML goes in and comes out', async () => {
  const body = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: "1"\n';
  const headers = { 'content-type': 'application/yaml', accept: 'application/yaml' };
  const created = await http2('POST', CONFIG_MAPS, { body, headers });
  assert.equal(created.status, 201);
  assert.match(created.text, /^kind: ConfigMap$/m);
  assert.match(created.text, /^ {2}k: "1"$/m);
});

test('a body in protobuf is understood', async () => {
  const hex =
    '6b387300 0a0f 0a027631 1209436f6e6669674d6170 121b 0a11 0a0162 1200 1a00 2200 2a00 3200 3800 4200 1206 0a016b 120176 1a00 2200';
  const body = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const created = await http2('POST', CONFIG_MAPS, {
    body,
    headers: { 'content-type': 'application/vnd.kubernetes.protobuf' },
  });
  assert.deepEqual([created.status, created.json.metadata.name, created.json.data], [201, 'b', { k: 'v' }]);
});

test('component statuses are found out when they are asked for', async () => {
  const { status, json } = await http2('GET', '/api/v1/componentstatuses');
  assert.deepEqual([status, json.kind], [200, 'ComponentStatusList']);
  const seen = (json.items as ComponentStatus[]).map((item) => [
    item.metadata.name,
    item.conditions?.[0]?.status,
    item.conditions?.[0]?.error,
  ]);
  // Nothing leads here.
  assert.deepEqual(seen, [
    ['controller-manager', 'False', 'nobody holds lease kube-system/kube-controller-manager'],
    ['etcd-0', 'True', undefined],
    ['scheduler', 'False', 'nobody holds lease kube-system/kube-scheduler'],
  ]);
  const one = await http2('GET', '/api/v1/componentstatuses/etcd-0');
  assert.deepEqual([one.status, one.json.conditions], [200, [{ type: 'Healthy', status: 'True', message: 'ok' }]]);
  assert.equal((await http2('GET', '/api/v1/componentstatuses/none')).status, 404);
});

test('bodies that are not what the path says are refused in upstream’s words', async () => {
  const refused = async (body: unknown, path = CONFIG_MAPS, method = 'POST'): Promise<string> => {
    const { status, json } = await http2(method, path, { body });
    assert.equal(status, 400);
    return json.message;
  };
  assert.match(
    await refused({ ...configMap('x'), kind: 'Secret' }),
    /^Secret in version "v1" cannot be handled as a ConfigMap/,
  );
  const evicted = { apiVersion: 'policy/v1beta1', kind: 'Eviction', metadata: { name: 'none' } };
  const eviction = await http2('POST', '/api/v1/namespaces/default/pods/none/eviction', { body: evicted });
  assert.deepEqual(
    [eviction.status, eviction.json.message],
    [404, 'pods "none" not found'],
    'what older clients drain with',
  );
  assert.match(
    await refused({ ...configMap('x'), kind: 'Nothing' }),
    /no kind "Nothing" is registered for version "v1"/,
  );
  assert.match(
    await refused('{'),
    /^the object provided is unrecognized \(must be of type ConfigMap\): couldn't get version\/kind/,
  );
  assert.equal(
    await refused({ ...configMap('x'), metadata: { name: 'x', namespace: 'other' } }),
    'the namespace of the provided object does not match the namespace sent on the request',
  );
  assert.equal(
    await refused(configMap('x'), `${CONFIG_MAPS}/y`, 'PUT'),
    'the name of the object (x) does not match the name on the URL (y)',
  );
  assert.match(
    await refused({ ...configMap('x'), foo: 1 }, `${CONFIG_MAPS}?fieldValidation=Strict`),
    /strict decoding error: unknown field "foo"/,
  );
  const cbor = await http2('POST', CONFIG_MAPS, { body: 'x', headers: { 'content-type': 'application/cbor' } });
  assert.equal(cbor.status, 415);
});

test('CBOR is not served, as upstream without its feature gate: who offers more gets something else', async () => {
  const headers = { accept: 'application/cbor' };
  const refused = await http2('GET', CONFIG_MAPS, { headers });
  assert.deepEqual([refused.status, refused.json.reason], [406, 'NotAcceptable']);
  assert.match(
    refused.json.message,
    /^only the following media types are accepted: application\/json, application\/yaml, application\/vnd.kubernetes.protobuf/,
  );
  const either = await http2('GET', CONFIG_MAPS, { headers: { accept: 'application/cbor, application/json;q=0.9' } });
  assert.deepEqual([either.status, either.headers['content-type']], [200, 'application/json']);
  const watch = { accept: 'application/cbor-seq' };
  assert.equal((await http2('GET', `${CONFIG_MAPS}?watch=true&timeoutSeconds=1`, { headers: watch })).status, 406);
  const type = 'application/apply-patch+cbor';
  const patched = await http2('PATCH', `${CONFIG_MAPS}/x?fieldManager=t`, {
    body: 'x',
    headers: { 'content-type': type },
  });
  assert.deepEqual([patched.status, patched.json.reason], [415, 'UnsupportedMediaType']);
  assert.ok(!patched.json.message.includes('cbor'));
});

test('unknown fields are warned of by default, and a dry run stores nothing', async () => {
  const { status, headers } = await http1('POST', `${CONFIG_MAPS}?dryRun=All`, {
    body: { ...configMap('dry'), foo: 1 },
  });
  assert.equal(status, 201);
  assert.equal(headers.warning, '299 - "unknown field \\"foo\\""');
  assert.equal((await http2('GET', `${CONFIG_MAPS}/dry`)).status, 404);
});

test('a body beyond 3 MiB is refused', async () => {
  const answer = await http2('POST', CONFIG_MAPS, { body: configMap('big', { k: 'x'.repeat(3 * 1024 * 1024) }) });
  assert.deepEqual([answer.status, answer.json.reason], [413, 'RequestEntityTooLarge']);
});

test('tables and partial metadata', async () => {
  await http2('POST', CONFIG_MAPS, { body: configMap('table') });
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
  const table = (await http2('GET', `${CONFIG_MAPS}?fieldSelector=metadata.name%3Dtable`, { headers: { accept } }))
    .json;
  assert.equal(table.kind, 'Table');
  assert.equal(table.columnDefinitions[0].name, 'Name');
  assert.equal(table.rows[0].cells[0], 'table');
  assert.equal(table.rows[0].object.kind, 'PartialObjectMetadata');
  const partial = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json';
  const list = (await http2('GET', CONFIG_MAPS, { headers: { accept: partial } })).json;
  assert.equal(list.kind, 'PartialObjectMetadataList');
  assert.ok(list.items.every((item: { data?: unknown }) => item.data === undefined));
  assert.equal((await http2('GET', CONFIG_MAPS, { headers: { accept: 'application/cbor' } })).status, 406);
});

test('a big list is compressed for those who take it', async () => {
  await http2('POST', CONFIG_MAPS, { body: configMap('large', { k: 'x'.repeat(200_000) }) });
  const plain = await http2('GET', CONFIG_MAPS);
  const zipped = await http2('GET', CONFIG_MAPS, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.ok(zipped.raw.length < plain.raw.length / 10);
  assert.equal(gunzipSync(zipped.raw).toString(), plain.text);
});

test('a request that takes too long is given up', async () => {
  const stream = session.request({ ':method': 'POST', ':path': CONFIG_MAPS, 'content-type': 'application/json' });
  let status = 0;
  let text = '';
  stream.on('response', (head) => {
    status = head[':status']!;
  });
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = new Promise((resolve) => stream.once('end', resolve));
  stream.write('{"kind":');
  await until('it is given up', async () => {
    await clock.advance(10_000);
    return status;
  });
  await ended;
  assert.deepEqual([status, JSON.parse(text).reason], [504, 'Timeout']);
  stream.destroy();
});

test('a server that drains says so', async () => {
  server.drain();
  const { status, text } = await http2('GET', '/readyz');
  assert.equal(status, 500);
  assert.match(text, /\[-\]shutdown failed: reason withheld/);
  assert.equal((await http2('GET', '/livez')).text, 'ok');
});
