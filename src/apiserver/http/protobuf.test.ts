// Protobuf and metadata-only answers as clients receive them, over HTTPS.
import assert from 'node:assert/strict';
import { type Agent, Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { after, before, test } from 'node:test';
import { Registry } from 'prom-client';
import { decode } from '../../api/codec.ts';
import { decodeProtobuf, readEnvelope } from '../../api/protobuf-decode.ts';
import { encodeProtobuf, inEnvelope } from '../../api/protobuf-encode.ts';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { StatusError } from '../../machinery/status.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { issue } from '../auth/certificates.ts';
import { type ApiServer, startApiServer } from '../server.ts';
import { negotiate } from './media.ts';
import { WatchPace } from './watch-pace.ts';
import { watchStream } from './watch-stream.ts';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const PARTIAL = 'as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const PARTIAL_LIST = 'as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
const MAPS = '/api/v1/namespaces/default/configmaps';
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';

const tables = new Tables();
const clock = new FakeClock(realClock.now());
const store = openMemoryStore({ clock });
let server: ApiServer;
let agent: Agent;

before(async () => {
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  server = await startApiServer({ store, tables, env }, new AbortController().signal);
  const who = { commonName: 'admin', organizations: ['system:masters'], usages: ['client' as const] };
  const admin = issue(server.ca!, { ...who, nowMs: clock.now(), validityMs: 3_600_000, random: realRandom });
  agent = new HttpsAgent({ ca: server.caCertificate, cert: admin.certificate, key: admin.key, keepAlive: true });
  for (const name of ['a', 'b', 'c']) {
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { name } }, data: { name } };
    assert.equal((await ask('POST', MAPS, 'application/json', Buffer.from(JSON.stringify(body)))).status, 201);
  }
});
after(async () => {
  agent.destroy();
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly etag: string | undefined;
  readonly raw: Buffer;
}

function open(method: string, path: string, accept: string, type = 'application/json', more: object = {}) {
  const headers = { accept, ...more, ...(method !== 'GET' && { 'content-type': type }) };
  return httpsRequest({ host: '127.0.0.1', port: server.port, path, method, agent, headers });
}

function ask(
  method: string,
  path: string,
  accept: string,
  body?: Buffer,
  type?: string,
  more?: object,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = open(method, path, accept, type, more);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, type: headers['content-type'], etag: headers.etag, raw: Buffer.concat(chunks) });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

type Read = { readonly [key: string]: unknown } & { readonly kind: string; readonly apiVersion: string };

/** What an envelope holds, as decoded from JSON. */
function opened(bytes: Buffer): Read {
  const { apiVersion, kind, raw } = readEnvelope(bytes);
  const type = tables.typeOfKind(apiVersion, kind);
  assert.ok(type, `${apiVersion} ${kind}`);
  const { object } = decode(tables, type, { apiVersion, kind, ...decodeProtobuf(tables, type, raw) });
  return object as unknown as Read;
}

function fromJson(bytes: Buffer): Read {
  const value = JSON.parse(bytes.toString()) as Read;
  const type = tables.typeOfKind(value.apiVersion, value.kind)!;
  return decode(tables, type, value).object as unknown as Read;
}

test('objects, lists, pages, other kinds of answers: the same in both forms', async () => {
  const paths = [
    `${MAPS}/a`,
    MAPS,
    `${MAPS}?limit=2`,
    '/api/v1/services',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles?limit=20',
    '/apis/storage.k8s.io/v1/storageclasses',
    `${MAPS}/missing`,
    '/apis',
    '/apis/apps',
    '/apis/apps/v1',
  ];
  for (const path of paths) {
    const json = await ask('GET', path, 'application/json');
    const protobuf = await ask('GET', path, `${PROTOBUF},application/json`);
    assert.equal(protobuf.status, json.status, path);
    assert.equal(protobuf.type, PROTOBUF, path);
    const [read, expected] = [opened(protobuf.raw), fromJson(json.raw)];
    if (typeof (expected as { items?: unknown }).items === 'object') {
      // Items of a list have no kind of their own in protobuf.
      for (const item of expected.items as { kind?: string; apiVersion?: string }[]) {
        delete item.kind;
        delete item.apiVersion;
      }
    }
    assert.deepEqual(read, expected, path);
  }
});

test('aggregated discovery and OpenAPI: whole once, then unchanged', async () => {
  const aggregated = 'g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
  const [json, protobuf] = await Promise.all(
    ['application/json', PROTOBUF].map((type) => ask('GET', '/apis', `${type};${aggregated},application/json`)),
  );
  assert.deepEqual([json!.type, protobuf!.type], [`application/json;${aggregated}`, `${PROTOBUF};${aggregated}`]);
  assert.deepEqual(opened(protobuf!.raw).items, fromJson(json!.raw).items);
  for (const path of ['/openapi/v2', '/openapi/v3/api/v1', '/openapi/v3/apis/apps/v1']) {
    const first = await ask('GET', path, 'application/json');
    assert.match(first.etag ?? '', /^"[0-9A-F]{64,128}"$/, path);
    const again = await ask('GET', path, 'application/json', undefined, undefined, { 'if-none-match': first.etag! });
    assert.deepEqual([again.status, again.raw.length, again.etag], [304, 0, first.etag], path);
  }
});

test('a write in protobuf is answered in it', async () => {
  const message = encodeProtobuf(tables, 'io.k8s.api.core.v1.Secret', { metadata: { name: 's' }, data: { k: 'AP8=' } });
  const created = await ask(
    'POST',
    '/api/v1/namespaces/default/secrets',
    PROTOBUF,
    inEnvelope('v1', 'Secret', message),
    PROTOBUF,
  );
  assert.equal(created.status, 201);
  const secret = opened(created.raw) as Read & { data: object; metadata: { uid?: string } };
  assert.deepEqual(secret.data, { k: 'AP8=' });
  assert.ok(secret.metadata.uid);
  const deleted = await ask('DELETE', '/api/v1/namespaces/default/secrets/s', PROTOBUF);
  assert.deepEqual([deleted.status, opened(deleted.raw).status], [200, 'Success']);
});

test('metadata alone, of one object and of many, in both forms', async () => {
  for (const form of ['application/json', PROTOBUF]) {
    const read = form === PROTOBUF ? opened : fromJson;
    const one = read((await ask('GET', `${MAPS}/a`, `${form};${PARTIAL}`)).raw) as Read & {
      metadata: { name: string };
    };
    assert.deepEqual([one.kind, one.apiVersion, one.metadata.name], ['PartialObjectMetadata', 'meta.k8s.io/v1', 'a']);
    assert.equal('data' in one, false);
    const many = read((await ask('GET', `${MAPS}?labelSelector=name`, `${form};${PARTIAL_LIST}`)).raw);
    const items = many.items as { metadata: { name: string } }[];
    assert.deepEqual(
      [many.kind, items.map((item) => item.metadata.name)],
      ['PartialObjectMetadataList', ['a', 'b', 'c']],
    );
  }
});

test('a list is not one object, nor one object a list; a table has no protobuf form', async () => {
  const message = async (path: string, accept: string): Promise<unknown[]> => {
    const { status, raw } = await ask('GET', path, accept);
    return [status, (JSON.parse(raw.toString()) as { message: string }).message];
  };
  assert.deepEqual(await message(MAPS, `application/json;${PARTIAL}`), [
    406,
    'you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)',
  ]);
  assert.deepEqual(await message(`${MAPS}/a`, `application/json;${PARTIAL_LIST}`), [
    406,
    'you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)',
  ]);
  const table = await ask(
    'GET',
    MAPS,
    `${PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1`,
  );
  assert.equal(table.type, 'application/json');
  assert.equal((await ask('GET', `${MAPS}?watch=1`, 'application/yaml')).status, 406);
});

/** The frames of a watch, decoded as they come, until `enough`. */
async function watched(accept: string, query: string, enough: (events: readonly Event[]) => boolean): Promise<Watched> {
  const events: Event[] = [];
  let type: string | undefined;
  let rest = Buffer.alloc(0);
  const request = open('GET', `${MAPS}?watch=1&${query}`, accept);
  request.on('error', () => undefined);
  request.on('response', (response) => {
    type = response.headers['content-type'];
    response.on('error', () => undefined);
    response.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
        const end = 4 + rest.readUInt32BE();
        const event = decodeProtobuf(tables, `${META}.WatchEvent`, rest.subarray(4, end));
        events.push(event as unknown as Event);
        rest = rest.subarray(end);
      }
    });
  });
  request.end();
  await until('the watch has told enough', () => enough(events));
  request.destroy();
  return { type, events };
}

test('a watch that cannot go on says so in a frame of its own', () => {
  const sent: Buffer[] = [];
  const sink = { write: (chunk: Buffer) => sent.push(chunk) > 0, buffered: 0, drained: async () => undefined };
  const accepted = negotiate(`${PROTOBUF};stream=watch`);
  const resource = tables.resource('', 'v1', 'configmaps')!;
  const stream = watchStream({
    sink: { ...sink, end: () => undefined, destroy: () => undefined },
    accepted,
    table: { printer: {} as never, resource, accepted, include: 'None' },
    pace: new WatchPace(clock, 0),
    sent: () => undefined,
    ended: () => undefined,
  });
  stream.end(new StatusError('Expired', 'too old'));
  const event = decodeProtobuf(tables, `${META}.WatchEvent`, sent[0]!.subarray(4)) as {
    type?: string;
    object?: object;
  };
  assert.equal(event.type, 'ERROR');
  assert.partialDeepStrictEqual(event.object, { kind: 'Status', reason: 'Expired', message: 'too old', code: 410 });
});

interface Event {
  readonly type: string;
  readonly object: { kind: string; metadata: { name?: string; annotations?: { [key: string]: string } } };
}
interface Watched {
  readonly type: string | undefined;
  readonly events: readonly Event[];
}

test('a watch in frames, beginning with what there is, and the bookmark that says that it was all', async () => {
  const initial =
    'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=name';
  const full = await watched(`${PROTOBUF};stream=watch`, initial, (events) =>
    events.some((e) => e.type === 'BOOKMARK'),
  );
  assert.equal(full.type, `${PROTOBUF};stream=watch`);
  assert.deepEqual(
    full.events.map(({ type, object }) => [type, object.kind, object.metadata.name ?? '']),
    [...['a', 'b', 'c'].map((name) => ['ADDED', 'ConfigMap', name]), ['BOOKMARK', 'ConfigMap', '']],
  );
  assert.deepEqual(full.events.at(-1)!.object.metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
  const metadata = await watched(`${PROTOBUF};${PARTIAL};stream=watch`, initial, (events) => events.length >= 4);
  assert.deepEqual(
    metadata.events.map(({ object }) => object.kind),
    Array.from({ length: 4 }, () => 'PartialObjectMetadata'),
  );
  const some = await watched(`${PROTOBUF};stream=watch`, 'resourceVersion=1', (events) => events.length >= 3);
  assert.ok(some.events.every((event) => event.type === 'ADDED'));
});
