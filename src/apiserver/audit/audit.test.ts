// Audit as its reader meets it: a server over HTTPS whose events go into a list.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect } from 'node:http2';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Registry } from 'prom-client';
import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { CachedObject, ListResult } from '../contract.ts';
import { requestInfo } from '../http/request-info.ts';
import type { Response } from '../http/response.ts';
import { type ApiServer, startApiServer } from '../server.ts';
import { Auditor, BATCH_CHARACTERS, MAX_QUEUED_BYTES, MAX_QUEUED_EVENTS } from './auditor.ts';
import { readAuditPolicy } from './policy.ts';

// biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
type Json = any;

const rule = (level: string, resources: readonly string[], more: object = {}): object => ({
  level,
  resources: [{ group: '', resources }],
  ...more,
});
const policy = readAuditPolicy({
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  rules: [
    { level: 'None', users: ['quiet'] },
    rule('Metadata', ['secrets', 'configmaps/none', 'nodes/proxy']),
    rule('RequestResponse', ['configmaps'], { omitManagedFields: true }),
    rule('Request', ['services'], { omitStages: ['RequestReceived'] }),
    { level: 'None', nonResourceURLs: ['/version'] },
    { level: 'Metadata', nonResourceURLs: ['/healthz*'] },
    { level: 'Metadata', verbs: ['watch'] },
  ],
});
const MAPS = '/api/v1/namespaces/default/configmaps';

describe('what is told of requests', () => {
  const clock = new FakeClock(Date.parse('2026-01-02T03:04:05.006Z'));
  const store = openMemoryStore({ clock });
  const events: Json[] = [];
  let server: ApiServer;
  let agent: Agent;
  before(async () => {
    const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
    const staticTokens = new Map([
      ['admin', { username: 'admin', groups: ['system:masters'] }],
      ['nobody', { username: 'nobody', groups: ['system:authenticated'] }],
      ['quiet', { username: 'quiet', groups: ['system:authenticated'] }],
    ]);
    const sink = async (lines: readonly string[]): Promise<void> => {
      events.push(...lines.map((line) => JSON.parse(line)));
    };
    server = await startApiServer(
      {
        ...{ store, tables: new Tables(), env, staticTokens, anonymous: false, audit: { policy, sink } },
        isProxyable: (address) => address === '127.0.0.1',
      },
      new AbortController().signal,
    );
    agent = new Agent({ ca: server.caCertificate, keepAlive: true });
  });
  after(async () => {
    agent.destroy();
    await server.close();
    await store.close();
  });

  function ask(
    method: string,
    path: string,
    body?: object,
    headers: object = {},
  ): Promise<{ status: number; json: Json; auditId: string }> {
    return new Promise((resolve, reject) => {
      const all = {
        'content-type': 'application/json',
        authorization: 'Bearer admin',
        'user-agent': 'test/1',
        ...headers,
      };
      const sent = request(`${server.url}${path}`, { method, agent, headers: all }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          const auditId = String(response.headers['audit-id']);
          resolve({ status: response.statusCode!, json: text.startsWith('{') ? JSON.parse(text) : text, auditId });
        });
      });
      sent.on('error', reject);
      sent.end(body && JSON.stringify(body));
    });
  }

  /** The events of a request, once it is told to be over. */
  async function told(id: string, last = 'ResponseComplete'): Promise<Json[]> {
    const found = (): Json[] => events.filter((event) => event.auditID === id);
    await until(`${last} of ${id}`, async () => found().some((event) => event.stage === last));
    return found();
  }

  test('who, what, when and the answer, with the objects where the policy wants them', async () => {
    const made = await ask('POST', `${MAPS}?fieldManager=t`, { metadata: { name: 'a' }, data: { k: 'v' } });
    assert.equal(made.status, 201);
    const [received, complete, ...more] = await told(made.auditId);
    assert.equal(more.length, 0);
    const time = '2026-01-02T03:04:05.006000Z';
    assert.deepEqual(received, {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'RequestResponse',
      auditID: made.auditId,
      stage: 'RequestReceived',
      requestURI: `${MAPS}?fieldManager=t`,
      verb: 'create',
      user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
      sourceIPs: ['127.0.0.1'],
      userAgent: 'test/1',
      objectRef: { resource: 'configmaps', namespace: 'default', apiVersion: 'v1' },
      requestReceivedTimestamp: time,
      stageTimestamp: time,
    });
    assert.deepEqual([complete.stage, complete.objectRef.name], ['ResponseComplete', 'a']);
    assert.deepEqual(complete.responseStatus, { metadata: {}, code: 201 });
    assert.deepEqual(complete.requestObject.data, { k: 'v' });
    assert.equal(complete.responseObject.metadata.uid, made.json.metadata.uid);
    assert.ok(made.json.metadata.managedFields && !complete.responseObject.metadata.managedFields);
    assert.equal(complete.annotations['authorization.k8s.io/decision'], 'allow');
    const merge = { 'content-type': 'application/merge-patch+json' };
    const patched = await ask('PATCH', `${MAPS}/a`, { data: { k: 'w' } }, merge);
    assert.deepEqual((await told(patched.auditId))[1].requestObject, { data: { k: 'w' } });
    const listed = (await told((await ask('GET', MAPS)).auditId))[1];
    assert.equal(listed.responseObject.kind, 'ConfigMapList');
    assert.ok(listed.responseObject.items.some((one: Json) => one.metadata.name === 'a'));
    assert.ok(listed.responseObject.items.every((one: Json) => !one.metadata.managedFields));
    await ask('POST', '/api/v1/namespaces', { metadata: { name: 'emptied' } });
    await ask('POST', '/api/v1/namespaces/emptied/configmaps', { metadata: { name: 'b' } });
    const emptied = (await told((await ask('DELETE', '/api/v1/namespaces/emptied/configmaps')).auditId))[1];
    assert.equal(emptied.verb, 'deletecollection');
    assert.deepEqual(
      emptied.responseObject.items.map((one: Json) => one.metadata.name),
      ['b'],
    );
  });

  test('of secrets no more than that somebody asked for them', async () => {
    const made = await ask('POST', '/api/v1/namespaces/default/secrets', {
      metadata: { name: 's' },
      stringData: { p: 'word' },
    });
    const all = await told(made.auditId);
    assert.deepEqual(
      all.map((event) => event.stage),
      ['RequestReceived', 'ResponseComplete'],
    );
    assert.ok(!JSON.stringify(all).includes('word') && !all[1].requestObject && !all[1].responseObject);
  });

  test('the request only, without its first stage; nothing at all', async () => {
    const made = await ask('POST', '/api/v1/namespaces/default/services', {
      metadata: { name: 's' },
      spec: { ports: [{ port: 1 }] },
    });
    const all = await told(made.auditId);
    assert.deepEqual(
      all.map((event) => event.stage),
      ['ResponseComplete'],
    );
    assert.ok(all[0].requestObject && !all[0].responseObject);
    const none = await ask('GET', '/version');
    const quiet = await ask('GET', `${MAPS}/none`, undefined, { authorization: 'Bearer quiet' });
    assert.equal(quiet.status, 403);
    await told((await ask('GET', '/healthz')).auditId);
    for (const { auditId } of [none, quiet]) assert.equal(events.filter((e) => e.auditID === auditId).length, 0);
  });

  test('refusals, of who may not, who is unknown, and who speaks for another', async () => {
    const forbidden = await ask('GET', `${MAPS}/a`, undefined, { authorization: 'Bearer nobody' });
    const refused = (await told(forbidden.auditId))[1];
    assert.deepEqual([refused.responseStatus.code, refused.responseStatus.reason], [403, 'Forbidden']);
    assert.equal(refused.annotations['authorization.k8s.io/decision'], 'forbid');
    const unknown = await ask('GET', `${MAPS}/a`, undefined, { authorization: 'Bearer wrong' });
    const [failed, ...more] = await told(unknown.auditId, 'ResponseStarted');
    assert.deepEqual([failed.user, failed.responseObject, more], [{}, undefined, []]);
    const message = 'Authentication failed, attempted: bearer';
    assert.deepEqual(failed.responseStatus, { metadata: {}, message, code: 401 });
    const nobody = await ask('GET', `${MAPS}/a`, undefined, { authorization: '' });
    const [nameless] = await told(nobody.auditId, 'ResponseStarted');
    assert.equal(nameless.responseStatus.message, 'Authentication failed, no credentials provided');
    const session = connect(server.url, { ca: server.caCertificate });
    const stream = session.request({ ':path': `${MAPS}/a`, 'audit-id': 'by-http2', authorization: 'Basic Og==' });
    stream.resume();
    const [byHttp2] = await told('by-http2', 'ResponseStarted');
    session.destroy();
    assert.equal(byHttp2.responseStatus.message, 'Authentication failed, attempted: basic');
    const as = await ask('GET', `${MAPS}/a`, undefined, { 'impersonate-user': 'nobody' });
    const [spoken] = await told(as.auditId);
    assert.deepEqual([spoken.user.username, spoken.impersonatedUser.username], ['admin', 'nobody']);
  });

  test('a watch when it begins and when it ends', async () => {
    const id = 'given-by-the-client';
    const sent = request(`${server.url}/api/v1/pods?watch=true`, {
      agent,
      headers: { authorization: 'Bearer admin', 'audit-id': id },
    });
    sent.on('error', () => undefined);
    sent.end();
    await told(id, 'ResponseStarted');
    assert.ok(!events.some((event) => event.auditID === id && event.stage === 'ResponseComplete'));
    sent.destroy();
    const stages = (await told(id)).map((event) => event.stage);
    assert.deepEqual(stages, ['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
  });

  test('a connection that leads elsewhere when it is answered and when it is over', async (t) => {
    const over = Promise.withResolvers<void>();
    const elsewhere = createServer((_, response) => {
      response.write('begun');
      void over.promise.then(() => response.end());
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      elsewhere.closeAllConnections();
      elsewhere.close();
    });
    const node = { metadata: { name: 'n' }, status: { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }] } };
    await ask('POST', '/api/v1/nodes', node);
    await ask('PUT', '/api/v1/nodes/n/status', node);
    const id = 'leads-elsewhere';
    const asked = ask('GET', `/api/v1/nodes/n:${(elsewhere.address() as AddressInfo).port}/proxy/x`, undefined, {
      'audit-id': id,
    });
    const [, started, ...more] = await told(id, 'ResponseStarted');
    assert.deepEqual([started.stage, started.responseStatus.code, more], ['ResponseStarted', 200, []]);
    over.resolve();
    assert.equal((await asked).json, 'begun');
    const stages = (await told(id)).map((event) => event.stage);
    assert.deepEqual(stages, ['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
  });

  test('what admission policies have to say', async () => {
    const group = '/apis/admissionregistration.k8s.io/v1';
    const matchConstraints = {
      resourceRules: [{ operations: ['UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
    };
    const auditAnnotations = [{ key: 'size', valueExpression: "'has ' + string(size(object.data))" }];
    const validations = [{ expression: 'false', message: 'never' }];
    await ask('POST', `${group}/validatingadmissionpolicies`, {
      metadata: { name: 'p' },
      spec: { matchConstraints, validations, auditAnnotations },
    });
    const spec = { policyName: 'p', validationActions: ['Audit'] };
    await ask('POST', `${group}/validatingadmissionpolicybindings`, { metadata: { name: 'b' }, spec });
    let annotations: Json;
    await until('the policy is asked', async () => {
      const put = await ask('PUT', `${MAPS}/a`, { metadata: { name: 'a' }, data: { k: 'v' } });
      assert.equal(put.status, 200);
      ({ annotations } = (await told(put.auditId))[1]);
      return annotations['p/size'] !== undefined;
    });
    assert.equal(annotations['p/size'], 'has 1');
    assert.deepEqual(JSON.parse(annotations['validation.policy.admission.k8s.io/validation_failure']), [
      { message: 'never', policy: 'p', binding: 'b', expressionIndex: 0, validationActions: ['Audit'] },
    ]);
  });
});

describe('a writer', () => {
  const everything = readAuditPolicy({
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [{ level: 'RequestResponse' }],
  });
  const exchange = { path: '/healthz', rawQuery: '', header: () => undefined, socket: {} };
  const response = { exchange, auditId: 'x' } as unknown as Response;
  const info = requestInfo('GET', '/healthz', new URLSearchParams());

  function writer(sink: (lines: readonly string[]) => Promise<void>, by = everything) {
    const metrics = new Registry();
    const env = { clock: new FakeClock(0), log: silentLog, metrics };
    const authorizer = { authorize: () => ({ allowed: true, reason: '' }) };
    const auditor = new Auditor({ policy: by, sink, env, authorizer });
    const begin = () => auditor.begin(info, response, { user: undefined })!;
    const lost = async () => {
      const { values } = await metrics.getSingleMetric('apiserver_audit_error_total')!.get();
      return values.map(({ value }) => value);
    };
    return { auditor, begin, lost };
  }

  /** An object that is answered, of about so many bytes. */
  function answered(size: number): CachedObject {
    const object = { metadata: { name: 'a' }, data: { k: 'v'.repeat(size) } } as unknown as KubeObject;
    return { object, bytes: Buffer.from(JSON.stringify(object)) } as CachedObject;
  }

  test('whose sink hangs holds up nobody: what is too much is counted and lost', async () => {
    const written: string[] = [];
    const hangs = Promise.withResolvers<void>();
    const { auditor, begin, lost } = writer(async (lines) => {
      await hangs.promise;
      written.push(...lines);
    }, policy);
    for (let i = 0; i < MAX_QUEUED_EVENTS + 5; i++) begin();
    assert.deepEqual(await lost(), [5]);
    hangs.resolve();
    await auditor.flush();
    assert.equal(written.length, MAX_QUEUED_EVENTS);
  });

  test('tells of the end of a request once: the first who ends it counts', async () => {
    const written: Json[] = [];
    const { auditor, begin } = writer(async (lines) => {
      written.push(...lines.map((line) => JSON.parse(line)));
    });
    const served = begin();
    served.complete(200);
    served.complete(0, new Error('the connection is gone'));
    const failed = begin();
    failed.complete(0, new Error('broken'));
    failed.complete(200);
    await auditor.flush();
    assert.deepEqual(
      written.map(({ stage, responseStatus }) => [stage, responseStatus.code]),
      [
        ['ResponseComplete', 200],
        ['Panic', 500],
      ],
    );
  });

  test('counts what long lists hold on to', async () => {
    const hangs = Promise.withResolvers<void>();
    const { auditor, begin, lost } = writer(() => hangs.promise);
    const items = new Array<CachedObject>(10_000).fill(answered(0));
    for (let i = 0; i < 20; i++) {
      const record = begin();
      record.answerList({ kind: 'ConfigMapList' }, { items } as unknown as ListResult);
      record.complete(200);
    }
    const [refused = 0] = await lost();
    assert.ok(refused >= 20 - MAX_QUEUED_BYTES / (items.length * 1_000), `${refused} of 20 lost`);
    assert.ok(refused < 20);
    hangs.resolve();
    await auditor.flush();
    // One that is longer than all that may wait is told when nothing does.
    const record = begin();
    const longest = new Array<CachedObject>(Math.ceil(MAX_QUEUED_BYTES / 1_000) + 1).fill(answered(0));
    record.answerList({ kind: 'ConfigMapList' }, { items: longest } as unknown as ListResult);
    record.complete(200);
    await auditor.flush();
    assert.deepEqual(await lost(), [refused]);
  });

  test('hands on big events a few at a time, as they were answered', async () => {
    const sizes: number[] = [];
    const names = new Set<string>();
    const { auditor, begin } = writer(async (lines) => {
      sizes.push(lines.reduce((sum, line) => sum + line.length, 0));
      for (const line of lines) names.add(JSON.parse(line).responseObject.metadata.name);
    });
    const size = 200_000;
    for (let i = 0; i < 40; i++) {
      const record = begin();
      record.answer(answered(size));
      record.complete(200);
    }
    await auditor.flush();
    assert.deepEqual([...names], ['a']);
    assert.ok(Math.max(...sizes) < BATCH_CHARACTERS + 2 * size, `${Math.max(...sizes)} at once`);
    assert.ok(sizes.reduce((sum, one) => sum + one, 0) > 40 * size);
  });

  test('counts an event that cannot be told as lost, and tells those after it', async () => {
    const written: string[] = [];
    const { auditor, begin, lost } = writer(async (lines) => void written.push(...lines));
    for (const damaged of [true, false]) {
      const record = begin();
      // Its text is asked for after its size.
      let asked = 0;
      const object = {
        get bytes(): Buffer {
          if (asked++ > 0) throw new Error('damaged');
          return Buffer.alloc(0);
        },
      } as unknown as CachedObject;
      if (damaged) record.answer(object);
      record.complete(200);
    }
    await auditor.flush();
    assert.equal(written.length, 1);
    assert.deepEqual(await lost(), [1]);
  });
});
