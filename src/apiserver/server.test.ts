// The whole API server as its clients see it: real HTTPS on loopback, HTTP/1.1 and HTTP/2, over a memory store.
import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import {
  type Agent,
  createServer as createHttpsServer,
  Agent as HttpsAgent,
  request as httpsRequest,
} from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Registry } from 'prom-client';
import type { ComponentStatus } from '../api/generated/types.ts';
import { Tables } from '../api/tables.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { until } from '../lib/test-until.ts';
import { realClock, realRandom } from '../platform/environment.ts';
import { openMemoryStore } from '../store/memory.ts';
import { issue, type KeyedCertificate } from './auth/certificates.ts';
import { type ApiServer, startApiServer } from './server.ts';

const clock = new FakeClock(realClock.now());
const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
const store = openMemoryStore({ clock });
const stop = new AbortController();
const certificates = { nowMs: clock.now(), validityMs: 3_600_000, random: realRandom };

/** What the tests' pods and nodes run on is loopback, which no proxy leads to: they let it pass, but for one address. */
const isProxyable = (address: string): boolean => address === '127.0.0.1';

let server: ApiServer;
let admin: KeyedCertificate;
let session: ClientHttp2Session;
let agent: Agent;

before(async () => {
  const staticTokens = new Map([['viewer-token', { username: 'vera', groups: [] }]]);
  server = await startApiServer({ store, tables: new Tables(), env, staticTokens, isProxyable }, stop.signal);
  admin = issue(server.ca!, {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    ...certificates,
  });
  const identity = { ca: server.caCertificate, cert: admin.certificate, key: admin.key };
  session = connectHttp2(server.url, identity);
  agent = new HttpsAgent({ ...identity, keepAlive: true });
});
after(async () => {
  session.destroy();
  agent.destroy();
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly raw: Buffer;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
  readonly json: any;
}
interface Ask {
  readonly body?: unknown;
  readonly headers?: { readonly [name: string]: string };
}
type Send = (method: string, path: string, ask?: Ask) => Promise<Answer>;

function answerOf(status: number, headers: Answer['headers'], raw: Buffer): Answer {
  const text = raw.toString();
  return {
    status,
    headers,
    raw,
    text,
    get json() {
      return JSON.parse(text);
    },
  };
}

function bodyOf(body: unknown): Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

const http2: Send = (method, path, { body, headers = {} } = {}) =>
  new Promise((resolve, reject) => {
    const bytes = bodyOf(body);
    const type = bytes && !('content-type' in headers) ? { 'content-type': 'application/json' } : {};
    const stream = session.request({ ':method': method, ':path': path, ...type, ...headers });
    const chunks: Buffer[] = [];
    let head: Record<string, unknown> = {};
    stream.on('response', (received) => {
      head = received;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () =>
      resolve(answerOf(head[':status'] as number, head as Answer['headers'], Buffer.concat(chunks))),
    );
    stream.on('error', reject);
    stream.end(bytes);
  });

const http1With =
  (through: Agent): Send =>
  (method, path, { body, headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const bytes = bodyOf(body);
      const type = bytes && !('content-type' in headers) ? { 'content-type': 'application/json' } : {};
      const length = bytes ? { 'content-length': String(bytes.length) } : {};
      const all = { ...type, ...length, ...headers };
      const request = httpsRequest(`${server.url}${path}`, { method, agent: through, headers: all });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(chunks))));
      });
      request.end(bytes);
    });

const http1: Send = (...ask) => http1With(agent)(...ask);
const configMap = (name: string, data: object = { k: 'v' }) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

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

/** A watch's frames as they come. */
function watch(path: string, headers: object = {}) {
  const stream = session.request({ ':path': path, ...headers });
  let text = '';
  let status = 0;
  stream.on('response', (head) => {
    status = head[':status']!;
  });
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return {
    stream,
    get status() {
      return status;
    },
    // biome-ignore lint/suspicious/noExplicitAny: as above
    async frames(count: number): Promise<any[]> {
      const complete = () => text.split('\n').slice(0, -1);
      await until(`${count} frames`, () => complete().length >= count || stream.destroyed);
      return complete().map((line) => JSON.parse(line));
    },
  };
}

test('a watch begins with what there is, then tells every change, also of what leaves its selector', async () => {
  const labelled = (value: string) => ({ ...configMap('seen'), metadata: { name: 'seen', labels: { show: value } } });
  await http2('POST', CONFIG_MAPS, { body: labelled('yes') });
  const watching = watch(`${CONFIG_MAPS}?watch=1&labelSelector=show%3Dyes`);
  assert.deepEqual(
    (await watching.frames(1)).map((frame) => [frame.type, frame.object.metadata.name]),
    [['ADDED', 'seen']],
  );
  await http2('PATCH', `${CONFIG_MAPS}/seen`, {
    body: { data: { k: '2' } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  await http2('PUT', `${CONFIG_MAPS}/seen`, { body: labelled('no') });
  await http2('PUT', `${CONFIG_MAPS}/seen`, { body: labelled('yes') });
  await http2('DELETE', `${CONFIG_MAPS}/seen`);
  const frames = await watching.frames(5);
  assert.deepEqual(
    frames.map((frame) => frame.type),
    ['ADDED', 'MODIFIED', 'DELETED', 'ADDED', 'DELETED'],
  );
  const versions = frames.map((frame) => Number(frame.object.metadata.resourceVersion));
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => a - b),
  );
  watching.stream.close();
});

test('two watchers get the same; a table watch names its columns once', async () => {
  const both = [watch(`${CONFIG_MAPS}?watch=1&resourceVersion=0`), watch(`/api/v1/configmaps?watch=true`)];
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  const { json: list } = await http2('GET', CONFIG_MAPS);
  const table = watch(`${CONFIG_MAPS}?watch=1&resourceVersion=${list.metadata.resourceVersion}`, { accept });
  for (const one of [...both, table]) await until('the watch begins', () => one.status !== 0);
  await http2('POST', CONFIG_MAPS, { body: configMap('w1') });
  await http2('POST', CONFIG_MAPS, { body: configMap('w2') });
  const [first, second] = await table.frames(2);
  assert.equal(first.object.columnDefinitions[0].name, 'Name');
  assert.equal(second.object.columnDefinitions, null);
  assert.equal(second.object.rows[0].cells[0], 'w2');
  for (const one of both) {
    const names = async () => (await one.frames(2)).map((frame) => frame.object.metadata.name);
    await until('it hears of w2', async () => (await names()).includes('w2'));
    one.stream.close();
  }
  table.stream.close();
});

test('a version that is not to be had is refused after a while', async () => {
  const future = http2('GET', `${CONFIG_MAPS}?resourceVersion=99999999`);
  let answer: Answer | undefined;
  void future.then((received) => {
    answer = received;
  });
  await until('it is refused', async () => {
    await clock.advance(1_000);
    return answer;
  });
  assert.deepEqual([answer!.status, answer!.json.reason], [504, 'Timeout']);
  assert.equal((await http2('GET', `${CONFIG_MAPS}?watch=1&resourceVersion=x`)).status, 400);
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

test('a watch ends after its time, and tells so by ending', async () => {
  const watching = watch(`${CONFIG_MAPS}?watch=1&timeoutSeconds=5`);
  await watching.frames(1);
  let ended = false;
  watching.stream.once('end', () => {
    ended = true;
  });
  await clock.advance(4_000);
  assert.equal(ended, false);
  await until('the watch ends', async () => {
    await clock.advance(1_000);
    return ended;
  });
});

test('who is not known may do little, who is known what the roles say', async () => {
  const bare = http1With(new HttpsAgent({ ca: server.caCertificate }));
  assert.equal((await bare('GET', '/readyz')).text, 'ok');
  const anonymous = await bare('GET', CONFIG_MAPS);
  assert.equal(anonymous.status, 403);
  assert.equal(
    anonymous.json.message,
    'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default"',
  );
  assert.equal((await bare('GET', '/api')).json.message, 'forbidden: User "system:anonymous" cannot get path "/api"');
  assert.equal((await bare('GET', CONFIG_MAPS, { headers: { authorization: 'Bearer nonsense' } })).status, 401);
  const headers = { authorization: 'Bearer viewer-token' };
  assert.equal((await bare('GET', CONFIG_MAPS, { headers })).status, 403);
  const binding = {
    metadata: { name: 'vera' },
    subjects: [{ kind: 'User', name: 'vera', apiGroup: 'rbac.authorization.k8s.io' }],
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
  };
  const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings';
  assert.equal((await http2('POST', path, { body: binding })).status, 201);
  await until('vera may list', async () => (await bare('GET', CONFIG_MAPS, { headers })).status === 200);
  assert.equal((await bare('GET', '/api/v1/namespaces/default/secrets', { headers })).status, 403);
  assert.equal((await bare('POST', CONFIG_MAPS, { body: 'not even JSON', headers })).status, 403);
  assert.equal((await bare('GET', '/api/v1/configmaps', { headers })).status, 403);
  assert.equal((await bare('GET', '/api/v1/namespaces/default', { headers })).status, 200);
  assert.equal((await bare('GET', '/api/v1/namespaces/kube-system', { headers })).status, 403);
});

test('a service account’s token is issued, used, and dies with the account', async () => {
  const accounts = '/api/v1/namespaces/default/serviceaccounts';
  await http2('POST', accounts, { body: { metadata: { name: 'robot' } } });
  const issued = await http2('POST', `${accounts}/robot/token`, { body: { spec: { expirationSeconds: 600 } } });
  assert.equal(issued.status, 201);
  const bare = http1With(new HttpsAgent({ ca: server.caCertificate }));
  const headers = { authorization: `Bearer ${issued.json.status.token}` };
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const me = await bare('POST', path, { body: {}, headers });
  assert.equal(me.json.status.userInfo.username, 'system:serviceaccount:default:robot');
  const review = await http2('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: { spec: { token: issued.json.status.token } },
  });
  assert.equal(review.json.status.authenticated, true);
  await http2('DELETE', `${accounts}/robot`);
  assert.equal((await bare('POST', path, { body: {}, headers })).status, 401);
});

test('access reviews answer for others and for oneself', async () => {
  const reviews = '/apis/authorization.k8s.io/v1';
  const resourceAttributes = { namespace: 'default', verb: 'list', resource: 'configmaps' };
  const vera = await http2('POST', `${reviews}/subjectaccessreviews`, {
    body: { spec: { user: 'vera', resourceAttributes } },
  });
  assert.deepEqual(vera.json.status, {
    allowed: true,
    reason: 'RBAC: allowed by RoleBinding "vera/default" of ClusterRole "view" to User "vera"',
  });
  const impersonating = { headers: { 'impersonate-user': 'nobody' }, body: { spec: { resourceAttributes } } };
  const nobody = await http2('POST', `${reviews}/selfsubjectaccessreviews`, impersonating);
  assert.deepEqual(nobody.json.status, { allowed: false });
});

test('discovery: legacy, aggregated, and unchanged', async () => {
  assert.deepEqual((await http2('GET', '/api')).json.versions, ['v1']);
  const core = (await http2('GET', '/api/v1')).json.resources as { name: string; kind: string; group?: string }[];
  assert.equal(core.find((one) => one.name === 'pods')?.kind, 'Pod');
  assert.equal(core.find((one) => one.name === 'pods/eviction')?.group, 'policy');
  const groups = (await http2('GET', '/apis')).json.groups as {
    name: string;
    preferredVersion: { groupVersion: string };
  }[];
  assert.equal(groups.find((one) => one.name === 'autoscaling')?.preferredVersion.groupVersion, 'autoscaling/v2');
  assert.equal((await http2('GET', '/apis/apps')).json.kind, 'APIGroup');
  assert.equal((await http2('GET', '/apis/apps/v1')).json.groupVersion, 'apps/v1');
  assert.equal((await http2('GET', '/apis/none.example')).status, 404);
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
  const aggregated = await http2('GET', '/apis', { headers: { accept } });
  assert.equal(aggregated.json.kind, 'APIGroupDiscoveryList');
  assert.match(String(aggregated.headers['content-type']), /as=APIGroupDiscoveryList/);
  const again = await http2('GET', '/apis', { headers: { accept, 'if-none-match': String(aggregated.headers.etag) } });
  assert.equal(again.status, 304);
});

test('OpenAPI v3 and v2 describe what kubectl asks for', async () => {
  const index = (await http2('GET', '/openapi/v3')).json.paths;
  const apps = (await http2('GET', index['apis/apps/v1'].serverRelativeURL)).json;
  const item = apps.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'];
  assert.ok(item.patch.parameters.some((one: { name: string }) => one.name === 'fieldValidation'));
  assert.deepEqual(item.patch['x-kubernetes-group-version-kind'], { group: 'apps', version: 'v1', kind: 'Deployment' });
  const podSpec = apps.components.schemas['io.k8s.api.core.v1.PodSpec'];
  assert.equal(podSpec.properties.containers['x-kubernetes-patch-merge-key'], 'name');
  for (const reference of JSON.stringify(apps).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    assert.ok(apps.components.schemas[reference[1]!], `${reference[1]} is missing`);
  }
  const stale = await http2('GET', '/openapi/v3/apis/apps/v1?hash=0');
  assert.deepEqual([stale.status, stale.headers.location], [301, index['apis/apps/v1'].serverRelativeURL]);
  const v2 = (await http2('GET', '/openapi/v2')).json;
  assert.ok(v2.definitions['io.k8s.api.core.v1.Pod']);
  assert.ok(v2.paths['/api/v1/namespaces/{namespace}/pods/{name}/log'].get);
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  const protobuf = await http2('GET', '/openapi/v2', { headers: { accept } });
  assert.equal(protobuf.headers['content-type'], 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
});

test('version, health, metrics and the issuer’s documents', async () => {
  assert.equal((await http2('GET', '/version')).json.gitVersion, 'v1.36.0+tsukube');
  assert.match((await http2('GET', '/readyz?verbose')).text, /\[\+\]etcd ok\n[\s\S]*readyz check passed/);
  assert.equal((await http2('GET', '/readyz/etcd')).text, 'ok');
  assert.equal((await http2('GET', '/readyz/none')).status, 404);
  assert.match(
    (await http2('GET', '/metrics')).text,
    /apiserver_request_total\{verb="LIST"[^}]*resource="configmaps"[^}]*code="200"/,
  );
  const configuration = (await http2('GET', '/.well-known/openid-configuration')).json;
  assert.equal(configuration.issuer, server.tokens.issuer);
  assert.equal((await http2('GET', '/openid/v1/jwks')).json.keys.length, 1);
});

test('a leader’s guards are checked, and only terms can be guarded by', async () => {
  const guarded = (value: string) =>
    http2('POST', CONFIG_MAPS, { body: configMap('guarded'), headers: { 'tsukube-guards': value } });
  assert.equal((await guarded(`${encodeURIComponent('/registry/secrets/x/y')}=0`)).status, 400);
  const held = `${encodeURIComponent('/registry/leases/kube-system/term')}=0`;
  const headers = { 'impersonate-user': 'jane', 'tsukube-guards': held };
  const stranger = await http2('GET', CONFIG_MAPS, { headers });
  assert.deepEqual(
    [stranger.status, stranger.json.message],
    [403, 'only components of the control plane may send tsukube-guards'],
  );
  assert.equal((await guarded(`${encodeURIComponent('/registry/leases/kube-system/term')}=7`)).status, 409);
  assert.equal((await guarded(`${encodeURIComponent('/registry/leases/kube-system/term')}=0`)).status, 201);
});

describe('to kubelets, pods and services', () => {
  let kubelet: Server;
  let upstream: Server;
  let asked: { url: string; user: string }[] = [];

  before(async () => {
    const serving = issue(server.ca!, {
      commonName: 'system:node:n',
      sans: ['127.0.0.1'],
      usages: ['server'],
      ...certificates,
    });
    const tls = { cert: serving.certificate, key: serving.key, ca: server.caCertificate, requestCert: true };
    const https = createHttpsServer(tls, (request, response) => {
      const { CN } = (
        request.socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }
      ).getPeerCertificate().subject;
      asked.push({ url: request.url!, user: CN });
      if (request.url!.includes('previous'))
        response.writeHead(400).end('previous terminated container "c" in pod "p" not found\n');
      else response.end('line 1\nline 2\n');
    });
    https.on('upgrade', (request, socket, head) => {
      asked.push({ url: request.url!, user: request.headers.authorization ?? 'no credentials of the client' });
      if (request.headers.upgrade === 'websocket') {
        // Left open and joined to something else by then, as a kubelet's is to the runtime's streaming server.
        socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
        return;
      }
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.write(head);
      socket.pipe(socket);
    });
    kubelet = https;
    upstream = createHttpServer((request, response) => {
      const page = '<a href="/rewriteme">é</a>';
      const html = { 'content-type': 'text/html; charset=utf-8', 'access-control-allow-origin': '*' };
      if (request.url === '/moved') response.writeHead(302, { location: '/elsewhere' }).end();
      else if (request.url === '/page') response.writeHead(200, html).end(page);
      else if (request.url === '/packed')
        response.writeHead(200, { ...html, 'content-encoding': 'gzip' }).end(gzipSync(page));
      else response.end(`${request.method} ${request.url} ${request.headers['x-forwarded-proto']}`);
    });
    for (const one of [kubelet, upstream]) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    const { port } = kubelet.address() as AddressInfo;
    await http2('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'default' } } });
    const node = { metadata: { name: 'n' } };
    const nodeStatus = {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    };
    await http2('POST', '/api/v1/nodes', { body: node });
    await http2('PUT', '/api/v1/nodes/n/status', { body: { ...node, status: nodeStatus } });
    const pods = '/api/v1/namespaces/default/pods';
    const containers = [
      { name: 'c', image: 'x' },
      { name: 'd', image: 'x' },
    ];
    const pod = { metadata: { name: 'p' }, spec: { containers, nodeName: 'n' } };
    const created = await http2('POST', pods, { body: pod });
    assert.equal(created.status, 201, created.text);
    await http2('PUT', `${pods}/p/status`, { body: { ...created.json, status: { podIP: '127.0.0.1' } } });
    const pending = await http2('POST', pods, {
      body: { metadata: { name: 'pending' }, spec: { containers: [containers[0]] } },
    });
    assert.equal(pending.status, 201, pending.text);
  });
  after(async () => {
    for (const one of [kubelet, upstream]) await new Promise((resolve) => one.close(resolve));
  });

  const POD = '/api/v1/namespaces/default/pods/p';

  test('logs come from the kubelet, asked as the API server', async () => {
    asked = [];
    const logs = await http2('GET', `${POD}/log?container=c&tailLines=5&timestamps=true`);
    assert.deepEqual([logs.status, logs.text], [200, 'line 1\nline 2\n']);
    assert.deepEqual(asked, [
      { url: '/containerLogs/default/p/c?tailLines=5&timestamps=true', user: 'kube-apiserver-kubelet-client' },
    ]);
    assert.equal((await http1('GET', `${POD}/log?container=c&follow=true`)).text, 'line 1\nline 2\n');
  });

  test('what the kubelet refuses and what can be known before is refused', async () => {
    const previous = await http2('GET', `${POD}/log?container=c&previous=true`);
    assert.deepEqual(
      [previous.status, previous.json.message],
      [400, 'previous terminated container "c" in pod "p" not found'],
    );
    const ambiguous = await http2('GET', `${POD}/log`);
    assert.equal(ambiguous.json.message, 'a container name must be specified for pod p, choose one of: [c d]');
    const unknown = await http2('GET', `${POD}/log?container=e`);
    assert.equal(unknown.json.message, 'container e is not valid for pod p');
    const nowhere = await http2('GET', '/api/v1/namespaces/default/pods/pending/log');
    assert.deepEqual([nowhere.status, nowhere.text], [200, '']);
    const exec = await http2('POST', `${POD}/exec?container=c&stdout=true&command=ls`);
    assert.deepEqual([exec.status, exec.json.message], [400, 'Upgrade request required']);
  });

  /** An upgrade by hand: what comes back until the server closes or `seen` is there. */
  async function upgrade(path: string, protocol: string, say: string, seen: RegExp, headers = ''): Promise<string> {
    const at = { host: '127.0.0.1', port: server.port, ALPNProtocols: ['http/1.1'] };
    const socket = connectTls({ ...at, ca: server.caCertificate, cert: admin.certificate, key: admin.key });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${headers}\r\n${say}`,
    );
    await until(`${path} gives ${seen}`, () => seen.test(text) || socket.destroyed);
    socket.destroy();
    return text;
  }

  test('exec joins the sockets of client and kubelet', async () => {
    asked = [];
    const path = `${POD}/exec?container=d&command=echo&command=a%20b&stdin=true&stdout=true&tty=false`;
    const text = await upgrade(
      path,
      'SPDY/3.1',
      'hello kubelet',
      /hello kubelet/,
      'Authorization: Bearer viewer-token\r\n',
    );
    assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n[\s\S]*Upgrade: SPDY\/3\.1\r\n\r\nhello kubelet$/);
    assert.deepEqual(asked, [
      { url: '/exec/default/p/d?command=echo&command=a+b&input=1&output=1', user: 'no credentials of the client' },
    ]);
  });

  test('a refused upgrade reaches the client, which then tries another protocol', async () => {
    const text = await upgrade(`${POD}/exec?container=c&command=x&stdout=true`, 'websocket', '', /no$/);
    assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n/);
    // Nothing else is asked over a connection that was asked for an upgrade.
    assert.equal((await http2('GET', `${POD}/log?container=c`)).text, 'line 1\nline 2\n');
  });

  test('port-forward needs no container', async () => {
    asked = [];
    await upgrade(`${POD}/portforward?ports=80`, 'SPDY/3.1', 'x', /x$/);
    assert.equal(asked[0]?.url, '/portForward/default/p?ports=80');
  });

  test('the proxy subresource reaches the pod and keeps redirects within', async () => {
    const { port } = upstream.address() as AddressInfo;
    const proxy = `/api/v1/namespaces/default/pods/p:${port}/proxy`;
    assert.equal((await http2('GET', `${proxy}/some/path?q=1`)).text, 'GET /some/path?q=1 https');
    assert.equal((await http1('POST', `${proxy}/x`, { body: {} })).text, 'POST /x https');
    assert.equal((await http2('GET', `${proxy}/moved`)).headers.location, `${proxy}/elsewhere`);
    const link = `<a href="${proxy}/rewriteme">é</a>`;
    const page = await http2('GET', `${proxy}/page`);
    assert.deepEqual([page.text, page.headers['access-control-allow-origin']], [link, undefined]);
    const head = await http2('HEAD', `${proxy}/packed`);
    assert.deepEqual([head.status, head.text], [200, '']);
    const packed = await http2('GET', `${proxy}/packed`);
    assert.equal(gunzipSync(packed.raw).toString(), link);
    const bare = await http2('GET', proxy);
    assert.deepEqual([bare.status, bare.headers.location], [301, `${proxy}/`]);
    const none = await http2('GET', '/api/v1/namespaces/default/pods/p:1/proxy/');
    assert.equal(none.status, 503);
  });

  test('a service is reached through a ready endpoint', async () => {
    const { port } = upstream.address() as AddressInfo;
    const service = { metadata: { name: 's' }, spec: { ports: [{ name: 'web', port: 80 }] } };
    const made = await http2('POST', '/api/v1/namespaces/default/services', { body: service });
    assert.equal(made.status, 201, made.text);
    const through = () => http2('GET', '/api/v1/namespaces/default/services/s:web/proxy/ok');
    assert.deepEqual(
      [(await through()).status, (await through()).json.message],
      [503, 'no endpoints available for service "s"'],
    );
    const targetRef = { kind: 'Pod', namespace: 'default', name: 'p' };
    const slice = {
      metadata: { name: 's-1', labels: { 'kubernetes.io/service-name': 's' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true }, targetRef }],
      ports: [{ name: 'web', port }],
    };
    await http2('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', { body: slice });
    const text = await until('there is an endpoint', async () => {
      const answer = await through();
      return answer.status !== 503 && answer.text;
    });
    assert.equal(text, 'GET /ok https');
  });
});

describe('what a proxy must not reach', () => {
  const PODS = '/api/v1/namespaces/default/pods';
  const at = async (name: string, podIP: string): Promise<void> => {
    const containers = [{ name: 'c', image: 'x' }];
    const made = await http2('POST', PODS, { body: { metadata: { name }, spec: { containers, nodeName: 'n' } } });
    assert.equal(made.status, 201, made.text);
    const written = await http2('PUT', `${PODS}/${name}/status`, { body: { ...made.json, status: { podIP } } });
    assert.equal(written.status, 200, written.text);
  };

  test('a pod or a node that says it is at an address that is not its own', async () => {
    await at('liar', '127.0.0.2');
    const pod = await http2('GET', `${PODS}/liar:80/proxy/`);
    assert.deepEqual([pod.status, pod.json.message], [400, 'address not allowed']);
    for (const [name, address] of [
      ['metadata', { type: 'InternalIP', address: '169.254.169.254' }],
      ['loopback', { type: 'Hostname', address: 'localhost.localdomain.invalid' }],
    ] as const) {
      const node = { metadata: { name } };
      assert.equal((await http2('POST', '/api/v1/nodes', { body: node })).status, 201);
      await http2('PUT', `/api/v1/nodes/${name}/status`, { body: { ...node, status: { addresses: [address] } } });
      for (const port of ['', ':10250', ':80'])
        assert.equal((await http2('GET', `/api/v1/nodes/${name}${port}/proxy/`)).status, 400, `${name}${port}`);
    }
  });

  test('an endpoint that no pod of the namespace has', async () => {
    const service = { metadata: { name: 'trap' }, spec: { ports: [{ name: 'web', port: 80 }] } };
    assert.equal((await http2('POST', '/api/v1/namespaces/default/services', { body: service })).status, 201);
    const pod = { kind: 'Pod', namespace: 'default' };
    const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
    const body = {
      metadata: { name: 'trap-1', labels: { 'kubernetes.io/service-name': 'trap' } },
      addressType: 'IPv4',
      endpoints: [
        { addresses: ['127.0.0.1'] },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, name: 'nobody' } },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, name: 'liar' } },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, name: 'p', namespace: 'kube-system' } },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, kind: 'Node', name: 'p' } },
        { addresses: ['127.0.0.2'], targetRef: { ...pod, name: 'liar' } },
      ],
      ports: [{ name: 'web', port: server.port }],
    };
    const made = await http2('POST', slices, { body });
    assert.ok(made.status === 201 || made.status === 422, made.text);
    await until('the slice is known', async () =>
      (await http2('GET', `${slices}?resourceVersion=0`)).text.includes('trap-1'),
    );
    for (let i = 0; i < 5; i++) {
      const answer = await http2('GET', '/api/v1/namespaces/default/services/https:trap:web/proxy/');
      assert.deepEqual([answer.status, answer.json.message], [503, 'no endpoints available for service "trap"']);
    }
  });

  test('the API server’s certificate is for the kubelet’s port alone', async () => {
    const seen: string[] = [];
    const serving = issue(server.ca!, { commonName: 'x', sans: ['127.0.0.1'], usages: ['server'], ...certificates });
    const tls = { cert: serving.certificate, key: serving.key, ca: server.caCertificate, requestCert: true };
    const listeners = [0, 1].map(() =>
      createHttpsServer({ ...tls, rejectUnauthorized: false }, (request, response) => {
        const socket = request.socket as unknown as { getPeerCertificate(): { subject?: { CN: string } } };
        seen.push(socket.getPeerCertificate().subject?.CN ?? 'nobody');
        response.end('ok');
      }),
    );
    for (const one of listeners) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    try {
      const [kubelet, other] = listeners.map((one) => (one.address() as AddressInfo).port);
      const node = { metadata: { name: 'two' } };
      const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }];
      await http2('POST', '/api/v1/nodes', { body: node });
      const status = { addresses, daemonEndpoints: { kubeletEndpoint: { Port: kubelet } } };
      await http2('PUT', '/api/v1/nodes/two/status', { body: { ...node, status } });
      for (const [name, who] of [
        ['two', 'kube-apiserver-kubelet-client'],
        [`two:${kubelet}`, 'kube-apiserver-kubelet-client'],
        [`https:two:${kubelet}`, 'kube-apiserver-kubelet-client'],
        [`https:two:${other}`, 'nobody'],
      ] as const) {
        seen.length = 0;
        assert.equal((await http2('GET', `/api/v1/nodes/${name}/proxy/x`)).text, 'ok', name);
        assert.deepEqual(seen, [who], name);
      }
      // Plain HTTP is spoken to other ports, as it was asked for.
      assert.equal((await http2('GET', `/api/v1/nodes/two:${other}/proxy/x`)).status, 503);
      for (const port of ['0', '65536', 'x', '-1', '1e3', '__proto__'])
        assert.equal((await http2('GET', `/api/v1/nodes/two:${port}/proxy/x`)).status, 400, port);
    } finally {
      for (const one of listeners) {
        one.closeAllConnections();
        await new Promise((resolve) => one.close(resolve));
      }
    }
  });
});

test('a server that drains says so', async () => {
  server.drain();
  const { status, text } = await http2('GET', '/readyz');
  assert.equal(status, 500);
  assert.match(text, /\[-\]shutdown failed: reason withheld/);
  assert.equal((await http2('GET', '/livez')).text, 'ok');
});
