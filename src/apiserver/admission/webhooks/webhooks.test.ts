// Admission webhooks as clients meet them: real HTTPS to the server, and from it to the webhook.
import assert from 'node:assert/strict';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { Tables } from '../../../api/tables.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLog } from '../../../lib/log.ts';
import { until } from '../../../lib/test-until.ts';
import { realClock, realRandom } from '../../../platform/environment.ts';
import { openMemoryStore } from '../../../store/memory.ts';
import { createCa, issue } from '../../auth/certificates.ts';
import { type ApiServer, startApiServer } from '../../server.ts';

const clock = new FakeClock(realClock.now());
const store = openMemoryStore({ clock });
const stop = new AbortController();
let server: ApiServer;
let agent: Agent;

// biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
type Json = any;

/** What the webhook was asked, and what it says to a path. */
const asked: { path: string; review: Json }[] = [];
const paths = (): string[] => asked.map(({ path }) => path);
type Say = (request: Json) => object | Promise<object>;
const says = new Map<string, Say>();
const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
const ca = createCa({ commonName: 'hooks', ...common });
const identity = issue(ca, { commonName: 'hook', sans: ['127.0.0.1'], usages: ['server'], ...common });
const webhook = createServer({ cert: identity.certificate, key: identity.key }, (incoming, answer) => {
  let text = '';
  incoming.on('data', (chunk) => {
    text += chunk;
  });
  incoming.on('end', async () => {
    const path = new URL(incoming.url ?? '/', 'https://hook').pathname.slice(1);
    const review = JSON.parse(text);
    asked.push({ path, review: review.request });
    const response = { uid: review.request.uid, allowed: true, ...(await says.get(path)?.(review.request)) };
    answer.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: review.apiVersion, response }));
  });
});

before(async () => {
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const staticTokens = new Map([['admin', { username: 'admin', groups: ['system:masters'] }]]);
  server = await startApiServer({ store, tables: new Tables(), env, staticTokens }, stop.signal);
  agent = new Agent({ ca: server.caCertificate, keepAlive: true });
  await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  agent.destroy();
  await server.close();
  await store.close();
  webhook.closeAllConnections();
  webhook.close();
});

interface Answer {
  readonly status: number;
  readonly warnings: string;
  readonly json: Json;
}

function ask(method: string, path: string, body?: object, type = 'application/json'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': type, authorization: 'Bearer admin' };
    const sent = request(`${server.url}${path}`, { method, agent, headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const warnings = String(response.headers.warning ?? '');
        resolve({ status: response.statusCode!, warnings, json: text.startsWith('{') ? JSON.parse(text) : text });
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1';
const MAPS = '/api/v1/namespaces/default/configmaps';
const MAP_RULE = { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] };

const hook = (path: string, more: object = {}): object => ({
  name: `${path}.example.com`,
  clientConfig: {
    url: `https://127.0.0.1:${(webhook.address() as AddressInfo).port}/${path}`,
    caBundle: Buffer.from(ca.certificate).toString('base64'),
  },
  rules: [MAP_RULE],
  sideEffects: 'None',
  admissionReviewVersions: ['v2', 'v1'],
  ...more,
});

async function configure(kind: 'mutating' | 'validating', name: string, ...webhooks: object[]): Promise<void> {
  const made = await ask('POST', `${CONFIGURATIONS}/${kind}webhookconfigurations`, { metadata: { name }, webhooks });
  assert.equal(made.status, 201, JSON.stringify(made.json));
}

beforeEach(async () => {
  for (const kind of ['mutating', 'validating']) {
    const { status } = await ask('DELETE', `${CONFIGURATIONS}/${kind}webhookconfigurations`);
    assert.equal(status, 200);
  }
  says.clear();
  await ask('DELETE', MAPS);
  asked.length = 0;
});

const map = (name: string, data: object = {}, labels: object = {}): object => ({ metadata: { name, labels }, data });
const patch = (...operations: object[]): object => ({
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

test('a mutating webhook changes what is stored, with defaults, and tells the user', async () => {
  says.set('adds', () => ({ ...patch({ op: 'add', path: '/data/b', value: '2' }), warnings: ['mind the gap'] }));
  await configure('mutating', 'one', hook('adds'));
  const made = await ask('POST', `${MAPS}?fieldManager=me`, map('a', { a: '1' }));
  assert.deepEqual([made.status, made.json.data], [201, { a: '1', b: '2' }]);
  assert.match(made.warnings, /"mind the gap"/);
  const { review } = asked[0]!;
  assert.deepEqual(
    { ...review, uid: '', object: review.object.data, userInfo: review.userInfo.username },
    {
      uid: '',
      kind: { group: '', version: 'v1', kind: 'ConfigMap' },
      resource: { group: '', version: 'v1', resource: 'configmaps' },
      requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
      requestResource: { group: '', version: 'v1', resource: 'configmaps' },
      name: 'a',
      namespace: 'default',
      operation: 'CREATE',
      userInfo: 'admin',
      object: { a: '1' },
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', fieldManager: 'me', fieldValidation: 'Warn' },
    },
  );
  says.set('adds', () => patch({ op: 'replace', path: '/data', value: {} }));
  await ask('PUT', `${MAPS}/a`, map('a', { c: '3' }));
  assert.deepEqual([asked[1]?.review.operation, asked[1]?.review.oldObject.data], ['UPDATE', { a: '1', b: '2' }]);
  assert.deepEqual((await ask('GET', `${MAPS}/a`)).json.data, undefined);
});

test('a validating webhook refuses in its own words, after one question', async () => {
  says.set('no', ({ object }) => ({ allowed: object.data?.ok === 'yes', status: { message: 'not ok', code: 418 } }));
  await configure('validating', 'one', hook('no'));
  const refused = await ask('POST', MAPS, map('a'));
  assert.deepEqual(
    [refused.status, refused.json.message],
    [418, 'admission webhook "no.example.com" denied the request: not ok'],
  );
  assert.equal((await ask('POST', MAPS, map('a', { ok: 'yes' }))).status, 201);
  asked.length = 0;
  const merge = 'application/merge-patch+json';
  assert.equal((await ask('PATCH', `${MAPS}/a`, { data: { ok: 'no' } }, merge)).status, 418);
  assert.deepEqual(paths(), ['no']);
  says.set('no', () => ({ allowed: false }));
  const silent = await ask('PATCH', `${MAPS}/a`, { data: { ok: 'no' } }, merge);
  assert.deepEqual(
    [silent.status, silent.json.message],
    [400, 'admission webhook "no.example.com" denied the request without explanation'],
  );
});

test('a webhook that cannot be asked refuses, or is passed over', async () => {
  const gone = { clientConfig: { url: 'https://127.0.0.1:1/' }, failurePolicy: 'Ignore' };
  await configure('validating', 'one', hook('gone', gone));
  assert.equal((await ask('POST', MAPS, map('a'))).status, 201);
  await configure('validating', 'two', hook('closed', { ...gone, failurePolicy: 'Fail' }));
  const refused = await ask('POST', MAPS, map('b'));
  assert.equal(refused.status, 500);
  const why =
    /^Internal error occurred: failed calling webhook "closed.example.com": failed to call webhook: Post "https:\/\/127.0.0.1:1\/\?timeout=10s": connect ECONNREFUSED/;
  assert.match(refused.json.message, why);
});

test('a webhook has its time, and no more', async () => {
  let release = (_: object): void => undefined;
  says.set('slow', () => new Promise<object>((resolve) => (release = resolve)));
  await configure('validating', 'one', hook('slow', { timeoutSeconds: 3 }));
  const made = ask('POST', MAPS, map('a'));
  await until('the webhook is asked', async () => asked.length === 1);
  await clock.advance(3000);
  const { status, json } = await made;
  release({});
  assert.equal(status, 500);
  assert.match(json.message, /failed calling webhook "slow.example.com": .*timeout=3s": context deadline exceeded$/);
});

test('answers that are none are failures', async () => {
  await configure('validating', 'one', hook('odd'));
  const message = async (answer: object): Promise<string> => {
    says.set('odd', () => answer);
    return (await ask('POST', MAPS, map('a'))).json.message;
  };
  const invalid =
    'Internal error occurred: failed calling webhook "odd.example.com": received invalid webhook response: ';
  assert.match(await message({ uid: 'other' }), new RegExp(`^${invalid}expected response.uid=".*", got "other"$`));
  assert.equal(await message(patch()), `${invalid}validating webhook may not return response.patch`);
});

test('a patch that does not apply is an error, whatever the policy', async () => {
  says.set('bad', () => patch({ op: 'remove', path: '/data/none' }));
  await configure('mutating', 'one', hook('bad', { failurePolicy: 'Ignore' }));
  const { status, json } = await ask('POST', MAPS, map('a', { a: '1' }));
  assert.equal(status, 500);
  assert.match(json.message, /^Internal error occurred: /);
});

describe('only what matches is asked about', () => {
  const told = async (more: object, name = 'a', labels: object = {}): Promise<boolean> => {
    await configure('validating', name, hook(name, more));
    asked.length = 0;
    const { status, json } = await ask('POST', MAPS, map(name, { size: '10' }, labels));
    assert.equal(status, 201, JSON.stringify(json));
    return paths().includes(name);
  };
  const rule = (more: object): object => ({ rules: [{ ...MAP_RULE, ...more }] });

  test('by rule', async () => {
    assert.equal(await told(rule({ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'] })), true);
    assert.equal(await told(rule({ operations: ['DELETE'] }), 'b'), false);
    assert.equal(await told(rule({ apiGroups: ['apps'] }), 'c'), false);
    assert.equal(await told(rule({ resources: ['*/status', 'secrets'] }), 'd'), false);
    assert.equal(await told(rule({ scope: 'Cluster' }), 'e'), false);
    assert.equal(await told(rule({ scope: 'Namespaced', resources: ['*/*'] }), 'f'), true);
  });

  test('by labels of the object and of the namespace', async () => {
    assert.equal(await told({ objectSelector: { matchLabels: { a: 'b' } } }), false);
    assert.equal(await told({ objectSelector: { matchLabels: { a: 'b' } } }, 'b', { a: 'b' }), true);
    const of = (name: string): object => ({
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
    });
    assert.equal(await told(of('default'), 'c'), true);
    assert.equal(await told(of('other'), 'd'), false);
  });

  test('by condition', async () => {
    const when = (...expressions: string[]): object => ({
      matchConditions: expressions.map((expression, i) => ({ name: `c${i}`, expression })),
    });
    assert.equal(await told(when("request.operation == 'CREATE'", "object.data.size.matches('^1')")), true);
    assert.equal(await told(when("request.userInfo.username != 'admin'", 'object.none.such == 1'), 'b'), false);
    const may = "authorizer.group('').resource('pods').namespace('x').check('create').allowed()";
    assert.equal(await told(when(may, "authorizer.requestResource.check('create').allowed()"), 'c'), true);
    const selected = may.replace('.check', ".fieldSelector('metadata.name=a').labelSelector('b in (c)').check");
    assert.equal(await told(when(selected, '!request.dryRun', 'namespaceObject == null'), 'f'), true);
    const loop = (variable: string, body: string): string => `[${[...Array(20).keys()]}].all(${variable}, ${body})`;
    const endless = loop('a', loop('b', loop('c', loop('d', 'true'))));
    assert.equal(await told({ ...when(endless), failurePolicy: 'Ignore' }, 'g'), false, 'it takes too long to tell');
    const long = Array(30).fill(loop('a', loop('b', loop('c', '[1, 2, 3].all(d, true)'))));
    assert.equal(await told({ ...when(long[0], long[0]), failurePolicy: 'Ignore' }, 'h'), true);
    assert.equal(await told({ ...when(...long), failurePolicy: 'Ignore' }, 'i'), false, 'all together do');
    assert.equal(await told({ ...when('object.none.such == 1'), failurePolicy: 'Ignore' }, 'd'), false);
    await configure('validating', 'e', hook('e', when('object.none.such == 1')));
    const { status, json } = await ask('POST', MAPS, map('e', { size: '10' }));
    assert.equal(status, 403);
    assert.match(json.message, /^configmaps "e" is forbidden: expression 'object.none.such == 1' resulted in error: /);
  });

  test('in the version that the webhook knows', async () => {
    const rules = [
      {
        operations: ['CREATE'],
        apiGroups: ['autoscaling'],
        apiVersions: ['v1'],
        resources: ['horizontalpodautoscalers'],
      },
    ];
    says.set('v1', () => patch({ op: 'replace', path: '/spec/targetCPUUtilizationPercentage', value: 70 }));
    await configure('mutating', 'exact', hook('exact', { rules, matchPolicy: 'Exact' }));
    await configure('mutating', 'v1', hook('v1', { rules }));
    const resource = { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } };
    const spec = {
      maxReplicas: 3,
      metrics: [{ type: 'Resource', resource }],
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' },
    };
    const path = '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers';
    const { json } = await ask('POST', path, { metadata: { name: 'h' }, spec });
    assert.equal(json.spec.metrics[0].resource.target.averageUtilization, 70, JSON.stringify(json));
    assert.deepEqual(paths(), ['v1']);
    const { resource: shown, requestResource, object } = asked[0]!.review;
    assert.deepEqual([shown.version, requestResource.version, object.apiVersion], ['v1', 'v2', 'autoscaling/v1']);
  });

  test('but never its own configuration', async () => {
    says.set('all', () => ({ allowed: false }));
    const rules = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }];
    await configure('validating', 'all', hook('all', { rules }));
    assert.equal((await ask('POST', MAPS, map('a'))).status, 400);
    const path = `${CONFIGURATIONS}/validatingwebhookconfigurations/all`;
    assert.equal((await ask('DELETE', path)).status, 200);
  });
});

test('a scale is a Scale, also where it is changed', async () => {
  const of = (resource: string): object => ({
    rules: [{ operations: ['UPDATE'], apiGroups: ['apps'], apiVersions: ['*'], resources: [resource] }],
  });
  await configure('mutating', 'whole', hook('whole', of('replicasets')));
  await configure('mutating', 'scale', hook('scale', of('*/scale')));
  says.set('scale', () => patch({ op: 'replace', path: '/spec/replicas', value: 3 }));
  const path = '/apis/apps/v1/namespaces/default/replicasets';
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  await ask('POST', path, { metadata: { name: 'r' }, spec: { selector: { matchLabels: { a: 'b' } }, template } });
  const merge = 'application/merge-patch+json';
  const { json } = await ask('PATCH', `${path}/r/scale`, { spec: { replicas: 7 } }, merge);
  assert.deepEqual([json.kind, json.spec.replicas], ['Scale', 3], JSON.stringify(json));
  assert.equal((await ask('GET', `${path}/r`)).json.spec.replicas, 3);
  assert.deepEqual(paths(), ['scale']);
  const { kind, object, oldObject, subResource } = asked[0]!.review;
  assert.deepEqual([kind.kind, subResource], ['Scale', 'scale']);
  assert.deepEqual([object.spec.replicas, oldObject.spec.replicas], [7, 1]);
});

test('dry run is for webhooks that do nothing else', async () => {
  await configure('validating', 'one', hook('quiet'));
  assert.equal((await ask('POST', `${MAPS}?dryRun=All`, map('a'))).status, 201);
  const { dryRun, options } = asked[0]!.review;
  assert.deepEqual([dryRun, options.dryRun], [true, ['All']]);
});

test('deletes are judged, by webhooks of both kinds', async () => {
  await ask('POST', MAPS, map('a', { a: '1' }));
  const rules = [{ ...MAP_RULE, operations: ['DELETE'] }];
  says.set('keeps', () => ({ allowed: false, status: { reason: 'Kept' } }));
  await configure('mutating', 'looks', hook('looks', { rules }));
  await configure('validating', 'keeps', hook('keeps', { rules }));
  const refused = await ask('DELETE', `${MAPS}/a`);
  assert.equal(refused.json.message, 'admission webhook "keeps.example.com" denied the request: Kept');
  assert.deepEqual(paths(), ['looks', 'keeps']);
  assert.deepEqual([asked[0]?.review.object, asked[0]?.review.oldObject.data], [null, { a: '1' }]);
  says.set('looks', () => patch({ op: 'add', path: '/x', value: 1 }));
  const { json } = await ask('DELETE', `${MAPS}/a`);
  assert.match(json.message, /"looks.example.com" attempted to modify the object, which is not supported for this/);
  assert.equal((await ask('GET', `${MAPS}/a`)).status, 200);
});

test('connections are judged', async () => {
  const rules = [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/exec'] }];
  says.set('exec', () => ({ allowed: false, status: { message: 'no way in' } }));
  await configure('validating', 'exec', hook('exec', { rules }));
  const refused = await ask('POST', '/api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&stdin=true');
  assert.equal(refused.json.message, 'admission webhook "exec.example.com" denied the request: no way in');
  const { object, subResource, operation, name } = asked[0]!.review;
  const wants = { kind: 'PodExecOptions', apiVersion: 'v1', stdin: true, command: ['sh', '-c'] };
  assert.deepEqual(
    { object, subResource, operation, name },
    {
      object: wants,
      subResource: 'exec',
      operation: 'CONNECT',
      name: 'p',
    },
  );
});

test('a webhook that wants to is asked again when a later one changed the object', async () => {
  says.set('counts', ({ object }) => {
    return patch({ op: 'add', path: '/data/seen', value: String(Object.keys(object.data).length) });
  });
  says.set('adds', () => patch({ op: 'add', path: '/data/more', value: 'yes' }));
  const reinvocationPolicy = 'IfNeeded';
  await configure(
    'mutating',
    'a',
    hook('counts', { reinvocationPolicy }),
    hook('once'),
    hook('adds', { reinvocationPolicy }),
  );
  const { json } = await ask('POST', MAPS, map('a', { a: '1' }));
  assert.deepEqual(paths(), ['counts', 'once', 'adds', 'counts']);
  assert.deepEqual(json.data, { a: '1', seen: '3', more: 'yes' });
});

test('what a webhook adds gets its defaults', async () => {
  const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['services'] }];
  says.set('port', () => patch({ op: 'add', path: '/spec/ports/-', value: { name: 'b', port: 81 } }));
  await configure('mutating', 'a', hook('port', { rules }));
  const spec = { ports: [{ name: 'a', port: 80 }] };
  const { json } = await ask('POST', '/api/v1/namespaces/default/services', { metadata: { name: 's' }, spec });
  assert.deepEqual(json.spec.ports[1], { name: 'b', protocol: 'TCP', port: 81, targetPort: 81 });
});

test('what a webhook makes of an object must be valid', async () => {
  says.set('spoils', () => patch({ op: 'add', path: '/data/..', value: 'x' }));
  await configure('mutating', 'a', hook('spoils'));
  const { status, json } = await ask('POST', MAPS, map('a', { a: '1' }));
  assert.equal(status, 422);
  assert.match(json.message, /data\[..\]: Invalid value/);
});

test('configurations that cannot work are refused', async () => {
  const causes = async (more: object): Promise<string[]> => {
    const body = { metadata: { name: 'bad' }, webhooks: [hook('x', more)] };
    const { json } = await ask('POST', `${CONFIGURATIONS}/mutatingwebhookconfigurations`, body);
    return (json.details?.causes ?? []).map((one: Json) => `${one.field}: ${one.message}`);
  };
  assert.deepEqual(await causes({ sideEffects: undefined }), [
    'webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun',
  ]);
  assert.deepEqual(await causes({ timeoutSeconds: 31, name: 'x' }), [
    'webhooks[0].name: Invalid value: "x": should be a domain with at least three segments separated by dots',
    'webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds',
  ]);
  const [wrong = ''] = await causes({ matchConditions: [{ name: 'c', expression: 'object.' }] });
  assert.match(wrong, /^webhooks\[0\].matchConditions\[0\].expression: Invalid value: "object.": compilation failed: /);
  assert.deepEqual(await causes({ matchConditions: [{ name: 'c', expression: '1 + 1' }] }), [
    'webhooks[0].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool but got int',
  ]);
  assert.deepEqual(await causes({ matchConditions: [{ name: 'c', expression: 'object.data.a' }] }), [
    'webhooks[0].matchConditions[0].expression: Invalid value: "object.data.a": must evaluate to bool but got dyn',
  ]);
});
