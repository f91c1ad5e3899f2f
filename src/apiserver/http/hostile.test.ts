// What clients must not be able to do to the API server: real HTTPS on loopback, a whole server over a memory store. After
// each attack another client is still served.
import assert from 'node:assert/strict';
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { Agent, request as httpsRequest } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Registry } from 'prom-client';
import { Tables } from '../../api/tables.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { issue, type KeyedCertificate } from '../auth/certificates.ts';
import { type ApiServer, startApiServer } from '../server.ts';

const env = { clock: realClock, random: realRandom, log: silentLog, metrics: new Registry() };
const store = openMemoryStore({ clock: realClock });
const certificates = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };

let server: ApiServer;
/** Of the same store, and soon tired of clients: the others are those that must not notice. */
let impatient: ApiServer;
let admin: KeyedCertificate;
let agent: Agent;
let session: ClientHttp2Session;

before(async () => {
  const forever = new AbortController().signal;
  server = await startApiServer({ store, tables: new Tables(), env }, forever);
  const timeouts = { handshakeMs: 5000, headersMs: 3000, requestMs: 4000, idleMs: 1000 };
  const other = { ...env, metrics: new Registry() };
  impatient = await startApiServer({ store, tables: new Tables(), env: other, timeouts }, forever);
  admin = issue(server.ca!, {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    ...certificates,
  });
  agent = new Agent({ ca: server.caCertificate, cert: admin.certificate, key: admin.key });
  session = openSession();
});
after(async () => {
  agent.destroy();
  session.destroy();
  await impatient.close();
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: unknown };
  readonly text: string;
}
interface Ask {
  readonly body?: string | Buffer | object;
  readonly type?: string;
  readonly headers?: { readonly [name: string]: string };
}

const http1 = (method: string, path: string, { body, type, headers = {} }: Ask = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const bytes = bytesOf(body);
    const about = bytes
      ? { 'content-type': type ?? 'application/json', 'content-length': String(bytes.length) }
      : undefined;
    const request = httpsRequest(`${server.url}${path}`, { method, agent, headers: { ...about, ...headers } });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      response.on('error', reject);
    });
    request.end(bytes);
  });

function openSession(): ClientHttp2Session {
  const identity = { ca: server.caCertificate, cert: admin.certificate, key: admin.key };
  return connectHttp2(server.url, identity).on('error', () => undefined);
}

const http2 = (method: string, path: string, { body, type, headers = {} }: Ask = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    if (session.destroyed || session.closed) session = openSession();
    const bytes = bytesOf(body);
    const about = bytes ? { 'content-type': type ?? 'application/json' } : {};
    const stream = session.request({ ':method': method, ':path': path, ...about, ...headers }, { endStream: false });
    let head: Answer['headers'] = {};
    let text = '';
    stream.on('response', (received) => {
      head = received;
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('end', () => resolve({ status: head[':status'] as number, headers: head, text }));
    stream.on('error', reject);
    stream.end(bytes);
  });

function bytesOf(body: Ask['body']): Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

const VERSIONS = [
  ['HTTP/1.1', http1],
  ['HTTP/2', http2],
] as const;

/** Another client is served, within a time that also a busy machine keeps. */
async function stillServed(): Promise<void> {
  const startMs = realClock.monotonic();
  const { status, text } = await http1('GET', '/readyz');
  assert.equal(`${status} ${text}`, '200 ok');
  assert.ok(realClock.monotonic() - startMs < 10_000, 'another client had to wait');
}

/** The answer is a Status with this code; it says `message`. */
function refused(answer: Answer, code: number, message: RegExp | string = /./): void {
  assert.equal(answer.status, code, answer.text.slice(0, 300));
  const status = JSON.parse(answer.text);
  assert.equal(status.kind, 'Status');
  assert.equal(status.code, code);
  if (typeof message === 'string') assert.equal(status.message, message);
  else assert.match(status.message, message);
}

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const PODS = '/api/v1/namespaces/default/pods';
const MERGE = 'application/merge-patch+json';
const JSON_PATCH = 'application/json-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';
const configMap = (name: string, further: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  ...further,
});
const nested = (levels: number): string => `${'['.repeat(levels)}1${']'.repeat(levels)}`;

for (const [version, send] of VERSIONS) {
  describe(`bodies over ${version}`, () => {
    const own = version === 'HTTP/2' ? 'two' : 'one';
    const post = (body: Ask['body'], type?: string): Promise<Answer> =>
      send('POST', CONFIG_MAPS, { body: body!, ...(type !== undefined && { type }) });

    test('what is no JSON, YAML or protobuf is a bad request', async () => {
      for (const body of ['', '{', '{"a":', 'null', '[]', '"x"', '1e999', '\u0000', '{"a":1}}', '{"a":\'1\'}']) {
        refused(await post(body), 400);
      }
      for (const body of [
        ': : :\n - x',
        '{a: ',
        '? '.repeat(5000),
        '- '.repeat(50_000),
        '&a [*a]',
        '*x',
        '%YAML 9\n',
      ]) {
        refused(await post(body, 'application/yaml'), 400);
      }
      for (const bytes of ['', 'k8s\0', 'k8s', 'k8s\0\x0a\xff\xff\xff\xff\x0f', 'k8s\0\x12\x02\x0b\x0b']) {
        const answer = await post(Buffer.from(bytes, 'latin1'), 'application/vnd.kubernetes.protobuf');
        assert.ok(answer.status === 400 || answer.status === 422, JSON.stringify(bytes));
      }
      refused(await post('{}', 'constructor'), 415);
      refused(await post('{}', '__proto__'), 415);
      await stillServed();
    });

    test('values of other kinds are refused by name', async () => {
      refused(await post({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }), 400, /Secret/);
      refused(await post({ apiVersion: 'v9', kind: 'ConfigMap', metadata: { name: 'a' } }), 400, /v9/);
      refused(await post({ apiVersion: 5, kind: {}, metadata: [] }), 400);
      refused(await post(configMap('a', { data: [1] })), 400, /cannot unmarshal array/);
      refused(await post(configMap('a', { data: { k: 1 } })), 400, /cannot unmarshal number/);
      refused(await post(configMap('a', { metadata: 'x' })), 400);
      const strict = await send('POST', `${CONFIG_MAPS}?fieldValidation=Strict`, { body: configMap('a', { foo: 1 }) });
      refused(strict, 400, /strict decoding error: unknown field "foo"/);
    });

    test('bodies above the limit are refused with 413, and the client reads it', async () => {
      const body = configMap('big', { data: { k: 'x'.repeat(10 * 1024 * 1024) } });
      refused(await post(body), 413, /limit is 3145728/);
      const yaml = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n${'  k: v\n'.repeat(60_000)}`;
      refused(await post(yaml, 'application/yaml'), 413, /for YAML/);
      await stillServed();
    });

    test('unknown fields are named in warnings that stay small', async () => {
      const name = `warned-${own}`;
      const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`unknown${i}${'x'.repeat(500)}`, i]));
      const { status, headers } = await post(configMap(name, many));
      assert.equal(status, 201);
      const length = String(headers.warning).length;
      assert.ok(length > 1000 && length < 8192, `${length} characters of warnings`);
    });

    test('deep nesting is refused wherever it stands', async () => {
      refused(await post(nested(100_000)), 400);
      refused(await post(`{"a":${nested(100_000)}}`), 400, /exceeded max depth/);
      refused(await post(`{"a":${nested(100_000)},"a":1}`), 400, /exceeded max depth/);
      refused(await post(`{"n":1234567890123456789,"a":${nested(100_000)}}`), 400, /exceeded max depth/);
      refused(await post(`a: ${nested(20_000)}`, 'application/yaml'), 400);
      refused(await post(`a: ${nested(1100)}`, 'application/yaml'), 400, /exceeded max depth/);
      const deep = (levels: number): string =>
        `{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"deep"},"revision":1,"data":{"a":${nested(levels)}}}`;
      const revisions = '/apis/apps/v1/namespaces/default/controllerrevisions';
      refused(await send('POST', revisions, { body: deep(5000) }), 400, /exceeded max depth/);
      for (const type of [MERGE, STRATEGIC, JSON_PATCH]) {
        const patch = `{"data":${nested(100_000)}}`;
        const body = type === JSON_PATCH ? `[{"op":"add","path":"/data","value":${patch}}]` : patch;
        refused(await send('PATCH', `${CONFIG_MAPS}/kube-root-ca.crt`, { body, type }), 400, /exceeded max depth/);
      }
      await stillServed();
    });

    test('a number of a million digits is no number', async () => {
      refused(await post(`{"metadata":{"name":"a","generation":${'9'.repeat(1_000_000)}}}`), 400);
      const quota = (cpu: string): object => ({
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'q' },
        spec: { hard: { cpu } },
      });
      const quotas = '/api/v1/namespaces/default/resourcequotas';
      for (const cpu of ['9'.repeat(1_000_000), '1e999999999', '1e-999999999', '0x10', '--1', 'NaN', '1KiB']) {
        const { status } = await send('POST', quotas, { body: quota(cpu) });
        assert.ok(status === 400 || status === 422, `${cpu.slice(0, 20)}: ${status}`);
      }
      await stillServed();
    });

    test('names and labels that could be paths or patterns', async () => {
      const names = [
        '../secrets',
        'a/b',
        '%2e%2e',
        'A',
        '-',
        '',
        'a'.repeat(300),
        `${'a.'.repeat(500_000)}!`,
        '\n',
        '😀',
      ];
      for (const name of names) {
        const { status } = await post({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });
        assert.equal(status, 422, JSON.stringify(name.slice(0, 20)));
      }
      const labels = { [`${'a'.repeat(100_000)}!`]: `${'-a'.repeat(100_000)}` };
      refused(await post({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', labels } }), 422);
      refused(await send('GET', `${CONFIG_MAPS}/..%2f..%2fsecrets`), 404);
      refused(await send('GET', `${CONFIG_MAPS}/%zz`), 400, /invalid URL escape/);
      await stillServed();
    });

    test('aliases do not multiply', async () => {
      let laughs = 'a0: &a0 [x,x,x,x,x,x,x,x,x]\n';
      for (let i = 1; i < 12; i++)
        laughs += `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(',')}]\n`;
      refused(await post(laughs, 'application/yaml'), 400, /excessive aliasing/);
      const long = `a: &a ${'x'.repeat(100_000)}\nb: [${Array(30_000).fill('*a').join(',')}]\n`;
      refused(await post(long, 'application/yaml'), 400, /excessive aliasing/);
      const startMs = realClock.monotonic();
      await post(`a: &a x\nb: [${Array(60_000).fill('*a').join(',')}]\n`, 'application/yaml');
      // In square time it takes minutes.
      assert.ok(realClock.monotonic() - startMs < 20_000, 'each alias reads the whole document');
      await stillServed();
    });

    test('members named like prototypes are members', async () => {
      const name = `proto-${own}`;
      const data = '{"__proto__":"p","constructor":"c","toString":"t","hasOwnProperty":"h"}';
      const expected = JSON.parse(data);
      const created = await post(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":${data}}`);
      assert.deepEqual(JSON.parse(created.text).data, expected, created.text);
      for (const [type, body] of [
        [MERGE, '{"data":{"__proto__":"2","constructor":null}}'],
        [STRATEGIC, '{"data":{"__proto__":"3","constructor":"c"}}'],
        [
          JSON_PATCH,
          '[{"op":"replace","path":"/data/__proto__","value":"4"},{"op":"add","path":"/data/valueOf","value":"v"}]',
        ],
      ] as const) {
        const patched = await send('PATCH', `${CONFIG_MAPS}/${name}`, { body, type });
        assert.equal(patched.status, 200, patched.text);
      }
      const { data: kept } = JSON.parse((await send('GET', `${CONFIG_MAPS}/${name}`)).text);
      assert.deepEqual(
        kept,
        JSON.parse('{"__proto__":"4","constructor":"c","toString":"t","hasOwnProperty":"h","valueOf":"v"}'),
      );
      for (const body of ['{"__proto__":{"polluted":1}}', '{"metadata":{"__proto__":{"polluted":1}}}']) {
        await send('PATCH', `${CONFIG_MAPS}/${name}`, { body, type: MERGE });
      }
      const metadata =
        '{"name":"x","labels":{"__proto__":"a"},"annotations":{"constructor":{"prototype":{"polluted":1}}}}';
      refused(await post(`{"apiVersion":"v1","kind":"ConfigMap","metadata":${metadata}}`), 400);
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
      await stillServed();
    });

    test('names that every object inherits are labels, keys and resources like others', async () => {
      const names = ['constructor', 'toString', 'valueOf', 'hasOwnProperty', '__proto__'];
      const good = names.filter((name) => name !== '__proto__');
      const labels = Object.fromEntries(good.map((name) => [name, 'x']));
      const name = `inherits-${own}`;
      const made = await post({ metadata: { name, labels, annotations: labels }, apiVersion: 'v1', kind: 'ConfigMap' });
      assert.equal(made.status, 201, made.text);
      const { metadata } = JSON.parse(made.text);
      assert.deepEqual([metadata.labels, metadata.annotations], [labels, labels]);
      const found = async (selector: string): Promise<boolean> => {
        const { status, text } = await send('GET', `${CONFIG_MAPS}?labelSelector=${encodeURIComponent(selector)}`);
        assert.equal(status, 200, text);
        return JSON.parse(text).items.some((one: { metadata: { name: string } }) => one.metadata.name === name);
      };
      for (const key of good) {
        assert.deepEqual(
          [
            await found(key),
            await found(`${key}=x`),
            await found(`${key}!=x`),
            await found(`!${key}`),
            await found(`${key} in (y)`),
          ],
          [true, true, false, false, false],
          key,
        );
      }
      const bare = `bare-${own}`;
      await post(configMap(bare));
      const { items } = JSON.parse((await send('GET', `${CONFIG_MAPS}?labelSelector=constructor`)).text);
      assert.ok(
        items.every((one: { metadata: { name: string } }) => one.metadata.name !== bare),
        'nobody has a label by birth',
      );
      const spec = {
        nodeSelector: labels,
        containers: [{ name: 'c', image: 'i', resources: { limits: { 'example.com/constructor': '1', cpu: '1' } } }],
      };
      const template = { metadata: { labels }, spec };
      const body = { metadata: { name }, spec: { selector: { matchLabels: labels }, template } };
      const deployed = await send('POST', `${DEPLOYMENTS}?dryRun=All`, { body });
      assert.equal(deployed.status, 201, deployed.text);
      assert.deepEqual(JSON.parse(deployed.text).spec.template.spec.nodeSelector, labels);
      for (const unknown of names) {
        for (const path of [
          `/api/v1/${unknown}`,
          `/apis/${unknown}/v1/x`,
          `/apis/apps/${unknown}/x`,
          `${PODS}/p/${unknown}`,
        ]) {
          assert.equal((await send('GET', path)).status, 404, path);
        }
        assert.equal((await send('GET', `/api/v1/namespaces/${unknown}/pods`)).status, 200);
        assert.equal((await send('GET', `${CONFIG_MAPS}?${unknown}=1`)).status, 200);
        refused(await send('GET', `${CONFIG_MAPS}/${unknown}`), 404, /not found$/);
        refused(await send('GET', `${CONFIG_MAPS}?fieldSelector=${unknown}%3D1`), 400);
      }
    });

    test('options of a delete are read as what they are, or refused, and nothing is deleted', async () => {
      const name = `kept-${own}`;
      const at = `${CONFIG_MAPS}/${name}`;
      assert.equal((await post(configMap(name))).status, 201);
      const deep = `{"preconditions":${'{"a":'.repeat(2000)}1${'}'.repeat(2001)}`;
      for (const body of [
        '[]',
        '"x"',
        '{',
        '{"kind":"Pod"}',
        '{"kind":1}',
        '{"gracePeriodSeconds":"5"}',
        '{"gracePeriodSeconds":1.5}',
        '{"gracePeriodSeconds":-1}',
        '{"gracePeriodSeconds":{}}',
        '{"gracePeriodSeconds":99999999999999999999}',
        '{"orphanDependents":"yes"}',
        '{"orphanDependents":true,"propagationPolicy":"Orphan"}',
        '{"propagationPolicy":"constructor"}',
        '{"propagationPolicy":["Orphan"]}',
        '{"preconditions":[]}',
        '{"preconditions":{"uid":7}}',
        '{"dryRun":"All"}',
        '{"dryRun":["Some"]}',
        deep,
      ]) {
        refused(await send('DELETE', at, { body }), 400);
        refused(await send('DELETE', CONFIG_MAPS, { body }), 400);
      }
      for (const body of ['{"preconditions":{"uid":"other"}}', '{"preconditions":{"resourceVersion":"1"}}']) {
        refused(await send('DELETE', at, { body }), 409);
      }
      assert.equal(
        (await send('DELETE', at, { body: '{"dryRun":["All"],"unknown":1,"__proto__":{"dryRun":null}}' })).status,
        200,
      );
      assert.equal((await send('GET', at)).status, 200, 'it is still there');
      assert.equal((await send('DELETE', at, { body: '{"kind":"DeleteOptions","gracePeriodSeconds":0}' })).status, 200);
      refused(await send('GET', at), 404);
    });

    test('absurd patches are refused', async () => {
      const name = `patched-${own}`;
      assert.equal((await post(configMap(name, { data: { k: 'v' } }))).status, 201);
      const at = `${CONFIG_MAPS}/${name}`;
      for (const path of ['/data/k/999999999999999', '/metadata/finalizers/99999999999', '/a/b/c', 'x', '/data/~9']) {
        refused(await send('PATCH', at, { type: JSON_PATCH, body: [{ op: 'remove', path }] }), 422);
      }
      const { status } = await send('PATCH', at, {
        type: JSON_PATCH,
        body: [{ op: 'add', path: '/'.repeat(100_000), value: 1 }],
      });
      assert.equal(status, 422);
      for (const body of [
        '{}',
        'null',
        '"x"',
        '[1]',
        '[{"op":5,"path":"/a"}]',
        '[{"op":"nope","path":"/data"}]',
        '[{}]',
      ]) {
        const { status: code } = await send('PATCH', at, { type: JSON_PATCH, body });
        assert.ok(code === 400 || code === 422, `${body}: ${code}`);
      }
      const tooMany = Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'ConfigMap' }));
      refused(await send('PATCH', at, { type: JSON_PATCH, body: tooMany }), 413, /10000/);
      const zeros = [{ op: 'add', path: '/x', value: Array(200_000).fill(0) }];
      const inserts = Array.from({ length: 9000 }, () => ({ op: 'add', path: '/x/1', value: 0 }));
      refused(await send('PATCH', at, { type: JSON_PATCH, body: [...zeros, ...inserts] }), 413, /array elements/);
      for (const body of [
        '[]',
        'null',
        '5',
        '{"metadata":5}',
        '{"metadata":{"labels":{"a":{"b":1}}}}',
        '{"data":[]}',
      ]) {
        refused(await send('PATCH', at, { type: MERGE, body }), 400);
      }
      for (const body of [
        '{"$patch":"nope"}',
        '{"metadata":{"$patch":7}}',
        '{"metadata":{"$retainKeys":5}}',
        '{"metadata":{"$setElementOrder":[]}}',
        '{"metadata":{"$setElementOrder/finalizers":{}}}',
        '{"metadata":{"$deleteFromPrimitiveList":["a"]}}',
      ]) {
        const answer = await send('PATCH', at, { type: STRATEGIC, body });
        assert.ok(answer.status === 400 || answer.status === 422, `${body}: ${answer.status} ${answer.text}`);
      }
      refused(await send('PATCH', at, { type: 'application/x', body: '{}' }), 415);
      await stillServed();
    });

    test('long lists in a strategic merge take time in proportion to their length', async () => {
      const name = `long-${own}`;
      assert.equal((await send('POST', DEPLOYMENTS, { body: deployment(name) })).status, 201);
      const containers = Array.from({ length: 60_000 }, (_, i) => ({ name: `c${i}` }));
      const startMs = realClock.monotonic();
      const answer = await send('PATCH', `${DEPLOYMENTS}/${name}`, {
        type: STRATEGIC,
        body: { spec: { template: { spec: { containers } } } },
      });
      assert.ok(answer.status === 422 || answer.status === 400, String(answer.status));
      // In square time it takes minutes.
      assert.ok(realClock.monotonic() - startMs < 30_000);
      await stillServed();
    });

    test('options in bodies have types', async () => {
      for (const body of [
        { dryRun: 5 },
        { dryRun: 'All' },
        { gracePeriodSeconds: 'soon' },
        { gracePeriodSeconds: 1.5 },
        { preconditions: 'x' },
        { preconditions: { uid: {} } },
        { propagationPolicy: {} },
        { orphanDependents: 'no' },
      ]) {
        refused(await send('DELETE', `${CONFIG_MAPS}/none`, { body }), 400);
      }
    });
  });
}

const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';

function deployment(name: string): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  const spec = { selector: { matchLabels: labels }, template };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec };
}

describe('queries and paths', () => {
  test('absurd values', async () => {
    for (const query of [
      'limit=1e9',
      'limit=abc',
      'limit=99999999999999999999',
      'resourceVersion=abc',
      'resourceVersion=-1',
      'resourceVersion=1.5',
      'continue=garbage',
      'continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi9zZWNyZXRzIn0',
      'continue=bnVsbA',
      'continue=__proto__',
      'watch=1&timeoutSeconds=x',
      'labelSelector=a%20in%20(',
      'labelSelector=%21%21%21',
      `labelSelector=${'a'.repeat(20_000)}`,
      `labelSelector=${encodeURIComponent(`a in (${'b,'.repeat(5000)}`)}`,
      'fieldSelector=spec.constructor%3Dx',
      'fieldSelector=__proto__%3Dx',
      'fieldSelector=metadata.name',
      'fieldSelector=metadata.name%3D%5Cq',
    ]) {
      for (const [, send] of VERSIONS) refused(await send('GET', `${PODS}?${query}`), 400);
    }
    for (const query of ['resourceVersionMatch=Exact', 'resourceVersion=0&resourceVersionMatch=__proto__']) {
      refused(await http1('GET', `${PODS}?${query}`), 422);
    }
    for (const query of ['limit=-1', 'limit=', 'timeoutSeconds=-5', 'pretty=__proto__', 'limit=1000000000']) {
      assert.equal((await http1('GET', `${CONFIG_MAPS}?${query}`)).status, 200, query);
    }
    refused(await http1('POST', `${CONFIG_MAPS}?dryRun=perhaps`, { body: configMap('a') }), 400);
    refused(await http1('POST', `${CONFIG_MAPS}?fieldManager=${'x'.repeat(200)}`, { body: configMap('a') }), 422);
  });

  test('a watch for longer than a timer can count does not end at once', async () => {
    const stream = session.request({ ':path': `${CONFIG_MAPS}?watch=1&timeoutSeconds=999999999999999` });
    const [first] = await once<[Buffer]>(stream, 'data');
    assert.match(first.toString(), /"type":"ADDED"/);
    assert.equal(stream.readableEnded, false);
    stream.close();
  });

  test('methods are not looked up among what every object has', async () => {
    for (const method of [
      'constructor',
      '__proto__',
      'toString',
      'hasOwnProperty',
      'TRACE',
      'PROPFIND',
      'x'.repeat(1000),
    ]) {
      for (const path of [CONFIG_MAPS, `${CONFIG_MAPS}/a`, '/readyz', '/nothing']) {
        const { status } = await http2(method, path);
        assert.ok([403, 404, 405].includes(status), `${method} ${path}: ${status}`);
      }
    }
    await stillServed();
  });

  test('what clients make up is no label of a metric', async () => {
    for (let i = 0; i < 20; i++) {
      await http2('GET', `/apis/made-up-${i}.example.com/v1/things`);
      await http2('GET', `${CONFIG_MAPS}/a/made-up-${i}`);
      await http2(`MADEUP${i}`, '/readyz');
    }
    const { text } = await http1('GET', '/metrics');
    assert.match(text, /apiserver_request_total/);
    assert.doesNotMatch(text, /made-?up/i);
  });

  test('slashes and dots do not lead around authorization', async () => {
    const anonymous = connectHttp2(server.url, { ca: server.caCertificate });
    const status = (path: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const stream = anonymous.request({ ':path': path });
        stream.on('response', (head) => resolve(head[':status']!));
        stream.on('error', reject);
        stream.resume();
      });
    try {
      for (const path of [
        '//api/v1/secrets',
        '/api//v1/secrets',
        '/version/../api/v1/secrets',
        '/version/..%2fapi/v1/secrets',
        '/api/v1/namespaces/default%2f..%2fkube-system/secrets',
        '/api/v1/namespaces//secrets',
        '/api/v1/watch/secrets',
        '/./metrics',
        '//metrics',
        '/healthz/../metrics',
      ]) {
        assert.ok([400, 403, 404].includes(await status(path)), path);
      }
      assert.equal(await status('/version'), 200);
    } finally {
      anonymous.destroy();
    }
  });
});

describe('identity', () => {
  const bare = (headers: { [name: string]: string }, identity: object = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const options = { agent: false, ca: server.caCertificate, headers, ...identity } as const;
      const request = httpsRequest(`${server.url}/api/v1/namespaces/kube-system/secrets`, options, (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      request.on('error', reject).end();
    });
  const user = () => {
    const own = issue(server.ca!, { commonName: 'nobody', usages: ['client'], ...certificates });
    return { cert: own.certificate, key: own.key };
  };

  test('headers of a front proxy mean nothing from somebody else', async () => {
    const headers = { 'x-remote-user': 'admin', 'x-remote-group': 'system:masters', 'x-forwarded-client-cert': 'x' };
    assert.equal(await bare(headers), 403);
    assert.equal(await bare(headers, user()), 403);
  });

  test('impersonation is to be allowed, in every part', async () => {
    const asked: { [name: string]: string }[] = [
      { 'impersonate-user': 'admin' },
      { 'impersonate-user': 'nobody', 'impersonate-group': 'system:masters' },
      { 'impersonate-user': 'nobody', 'impersonate-extra-__proto__': 'x' },
      { 'impersonate-user': 'system:serviceaccount:kube-system:default' },
      { 'impersonate-user': 'nobody', 'impersonate-uid': '1' },
    ];
    for (const headers of asked) {
      assert.equal(await bare(headers, user()), 403, JSON.stringify(headers));
    }
    assert.equal(await bare({ 'impersonate-group': 'system:masters' }, user()), 500);
  });

  test('tokens that are none', async () => {
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    const claims = Buffer.from('{"sub":"system:serviceaccount:kube-system:default"}').toString('base64url');
    for (const token of [
      'x',
      'a.b.c',
      `${none}.${claims}.`,
      '.'.repeat(1000),
      'e30.e30.e30',
      '\t',
      'x'.repeat(30_000),
    ]) {
      const status = await bare({ authorization: `Bearer ${token}` });
      assert.equal(status, token === '\t' ? 403 : 401, token.slice(0, 20));
    }
  });
});

describe('connections', () => {
  const tls = (alpn: string, identity: object = {}, to = server): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const at = { host: '127.0.0.1', port: to.port, ca: to.caCertificate, ALPNProtocols: [alpn], ...identity };
      const socket = connectTls(at, () => resolve(socket));
      socket.on('error', reject);
    });
  /** What comes until the server ends the connection. */
  const untilClosed = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(text));
    });
  const tcp = (to = server): Socket => connectTcp({ host: '127.0.0.1', port: to.port });

  test('plain HTTP and garbage on the TLS port', async () => {
    for (const text of [
      'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      '\x16\x03\x01\xff\xff',
      'SSH-2.0-x\r\n',
      '\0'.repeat(5000),
    ]) {
      const socket = tcp();
      socket.write(text, 'latin1');
      await untilClosed(socket);
    }
    await stillServed();
  });

  test('a connection that says nothing is closed, before and after the handshake', async () => {
    const silent = [
      untilClosed(tcp(impatient)),
      untilClosed(await tls('http/1.1', {}, impatient)),
      untilClosed(await tls('h2', {}, impatient)),
    ];
    await Promise.all(silent);
    await stillServed();
  });

  test('headers and bodies that come drop by drop are cut off', async () => {
    const { certificate, key } = issue(impatient.ca!, {
      commonName: 'admin',
      organizations: ['system:masters'],
      usages: ['client'],
      ...certificates,
    });
    const identity = { cert: certificate, key };
    const drip = async (start: string, drop: string): Promise<string> => {
      const socket = await tls('http/1.1', identity, impatient);
      socket.write(start);
      const timer = setInterval(() => socket.write(drop), 50);
      const text = await untilClosed(socket);
      clearInterval(timer);
      return text;
    };
    const body = `POST ${CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`;
    const answers = await Promise.all([
      drip('GET / HTTP/1.1\r\n', 'X-Slow: 1\r\n'),
      drip('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n', 'X-Slow: 1\r\n'),
      drip(body, ' '),
    ]);
    assert.match(answers[0], /^HTTP\/1.1 408 /);
    assert.match(answers[1], /^HTTP\/1.1 200 OK[\s\S]*HTTP\/1.1 408 /);
    assert.match(answers[2], /^HTTP\/1.1 408 /);
    await stillServed();
  });

  test('header bombs', async () => {
    const socket = await tls('http/1.1');
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${'X-Bomb: xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n'.repeat(10_000)}\r\n`);
    assert.match(await untilClosed(socket), /^HTTP\/1.1 431 /);
    const own = openSession();
    const bomb = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`x-bomb-${i}`, 'x'.repeat(100)]));
    const ended = new Promise<void>((resolve) => {
      const stream = own.request({ ':path': '/readyz', ...bomb });
      stream.on('error', () => undefined);
      stream.once('close', () => {
        assert.notEqual(stream.rstCode, 0);
        resolve();
      });
    });
    await ended;
    own.destroy();
    await stillServed();
  });

  test('malformed requests', async () => {
    for (const text of [
      '\r\n\r\n\0',
      'GET\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    ]) {
      const socket = await tls('http/1.1');
      socket.write(text);
      assert.match(await untilClosed(socket), /^HTTP\/1.1 400 /, JSON.stringify(text));
    }
    const smuggled = await tls('http/1.1');
    smuggled.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
    assert.match(await untilClosed(smuggled), /^HTTP\/1.1 400 /);
  });

  test('rapid resets end the session of who makes them', async () => {
    const own = openSession();
    await once(own, 'connect');
    let made = 0;
    const flood = (): void => {
      for (let i = 0; i < 200 && !own.destroyed && !own.closed; i++, made++) {
        const stream: ClientHttp2Stream = own.request({ ':path': PODS });
        stream.on('error', () => undefined);
        stream.close(8);
      }
      if (!own.destroyed && !own.closed && made < 20_000) setImmediate(flood);
    };
    flood();
    await once(own, 'close');
    assert.ok(made < 20_000, `${made} resets were taken`);
    await stillServed();
  });

  test('floods of settings and pings', async () => {
    const frame = (type: number, flags: number, payload: Buffer): Buffer => {
      const head = Buffer.alloc(9);
      head.writeUIntBE(payload.length, 0, 3);
      head[3] = type;
      head[4] = flags;
      return Buffer.concat([head, payload]);
    };
    const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, Buffer.alloc(0))]);
    for (const one of [frame(4, 0, Buffer.alloc(0)), frame(6, 0, Buffer.alloc(8))]) {
      const socket = await tls('h2');
      // What is answered is not read: the answers must not pile up.
      socket.pause();
      socket.on('error', () => undefined);
      socket.write(preface);
      const flood = Buffer.concat(Array<Buffer>(20_000).fill(one));
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 10; i++) socket.write(flood);
      await stillServed();
      assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
      socket.destroy();
    }
    await stillServed();
  });

  test('thousands of idle watches', async () => {
    const own = [openSession(), openSession(), openSession()];
    const before = process.memoryUsage().rss;
    const opened = own.flatMap((one) =>
      Array.from({ length: 900 }, () => {
        const stream = one.request({ ':path': `${CONFIG_MAPS}?watch=1&resourceVersion=0` });
        stream.on('error', () => undefined).resume();
        return once(stream, 'response');
      }),
    );
    await Promise.all(opened);
    const each = (process.memoryUsage().rss - before) / opened.length;
    assert.ok(each < 100 * 1024, `${Math.round(each)} bytes for each watch, client included`);
    await stillServed();
    for (const one of own) one.destroy();
  });

  test('a watcher that never reads is dropped, and what waits for it is bounded', async () => {
    const socket = await tls('http/1.1', { cert: admin.certificate, key: admin.key });
    socket.write(`GET ${CONFIG_MAPS}?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: x\r\n\r\n`);
    socket.once('readable', () => undefined);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    await until('the watch begins', () => watchers() === 1);
    await http1('POST', CONFIG_MAPS, { body: configMap('busy') });
    const big = 'x'.repeat(900_000);
    for (let i = 0; i < 60 && watchers() > 0; i++) {
      const { status } = await http1('PUT', `${CONFIG_MAPS}/busy`, {
        body: configMap('busy', { data: { k: `${i}${big}` } }),
      });
      assert.equal(status, 200);
    }
    await until('the watcher is dropped', () => watchers() === 0);
    socket.resume();
    await closed;
    await stillServed();
  });

  const watchers = (): number => {
    const cache = server.caches.for(server.tables.preferred('', 'configmaps')!) as unknown as { watchers: number };
    return cache.watchers;
  };

  test('upgrades that lead nowhere', async () => {
    const identity = { cert: admin.certificate, key: admin.key };
    for (const [path, code] of [
      [CONFIG_MAPS, 405],
      [`${PODS}/none/exec?command=x&stdout=1`, 404],
      [`${PODS}/none/log`, 404],
      ['/readyz', 200],
      [`${PODS}/none/exec/..%2f..`, 404],
    ] as const) {
      const socket = await tls('http/1.1', identity);
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${'\0'.repeat(10_000)}`,
      );
      assert.match(await untilClosed(socket), new RegExp(`^HTTP/1.1 ${code} `), path);
    }
    await stillServed();
  });
});

function once<T extends unknown[]>(
  emitter: { once(event: string, listener: (...values: T) => void): unknown },
  event: string,
) {
  return new Promise<T>((resolve) => emitter.once(event, (...values: T) => resolve(values)));
}
