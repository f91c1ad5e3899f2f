// Priority and fairness as clients meet it: a whole server, real HTTPS, on a clock that stands still.
import assert from 'node:assert/strict';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { after, before, test } from 'node:test';
import { Registry } from 'prom-client';
import type { FlowSchema, PriorityLevelConfiguration } from '../../api/generated/types.ts';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { issue } from '../auth/certificates.ts';
import { type ApiServer, startApiServer } from '../server.ts';

const clock = new FakeClock(realClock.now());
const metrics = new Registry();
const store = openMemoryStore({ clock });
const FLOW_CONTROL = '/apis/flowcontrol.apiserver.k8s.io/v1';
const SEATS = 60;
let server: ApiServer;
const sessions: ClientHttp2Session[] = [];

before(async () => {
  const env = { clock, random: realRandom, log: silentLog, metrics };
  const limits = { readOnly: 40, mutating: 20 };
  server = await startApiServer(
    { store, tables: new Tables(), env, limits, authorizationMode: 'AlwaysAllow' },
    new AbortController().signal,
  );
});
after(async () => {
  for (const session of sessions) session.destroy();
  await server.close();
  await store.close();
});

function sessionOf(commonName: string, ...organizations: string[]): ClientHttp2Session {
  const about = { usages: ['client'] as const, nowMs: clock.now(), validityMs: 3_600_000, random: realRandom };
  const { certificate, key } = issue(server.ca!, { commonName, organizations, ...about });
  const session = connect(server.url, { ca: server.caCertificate, cert: certificate, key });
  session.on('error', () => undefined);
  sessions.push(session);
  return session;
}

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: unknown };
  readonly text: string;
}

function ask(session: ClientHttp2Session, method: string, path: string, body?: object) {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const stream: ClientHttp2Stream = session.request(
    { ':method': method, ':path': path, ...(body && { 'content-type': type }) },
    { endStream: false },
  );
  stream.end(body && JSON.stringify(body));
  const answer = new Promise<Answer>((resolve) => {
    let headers: Answer['headers'] = {};
    let text = '';
    stream.on('error', () => undefined);
    stream.on('response', (received) => {
      headers = received;
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('close', () => resolve({ status: Number(headers[':status'] ?? 0), headers, text }));
  });
  return { stream, answer };
}

async function metric(name: string, labels: string): Promise<number> {
  const text = await metrics.metrics();
  const line = text.split('\n').find((one) => one.startsWith(`apiserver_flowcontrol_${name}{${labels}`));
  return Number(line?.split(' ').at(-1) ?? 0);
}

const DEFAULT = 'priority_level="global-default",flow_schema="global-default"';

test('a flood of one user keeps nobody else waiting for more than their turn', async () => {
  const flooding = sessionOf('flood');
  // Lists that wait for a version which does not come: each keeps its seats until its client gives up.
  const flood = Array.from({ length: 240 }, () => ask(flooding, 'GET', '/api/v1/pods?resourceVersion=99999999'));
  const running = await until('all have come, and more than have a seat', async () => {
    const executing = await metric('current_executing_requests', DEFAULT);
    const waiting = await metric('current_inqueue_requests', DEFAULT);
    return executing + waiting === flood.length && waiting > 100 && executing;
  });
  assert.ok(running < SEATS);

  for (const [session, path] of [
    [sessionOf('system:kube-scheduler'), '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x'],
    [sessionOf('system:node:n', 'system:nodes'), '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n'],
    [sessionOf('root', 'system:masters'), '/api/v1/pods'],
    [sessionOf('anybody'), '/readyz'],
  ] as const) {
    const { status } = await ask(session, 'GET', path).answer;
    assert.ok([200, 404].includes(status), `${path}: ${status}`);
  }

  const jane = ask(sessionOf('jane'), 'GET', '/api/v1/namespaces/default/configmaps/x');
  let answer: Answer | undefined;
  void jane.answer.then((received) => {
    answer = received;
  });
  await until('jane waits', async () => (await metric('current_inqueue_requests', DEFAULT)) === 241 - running);
  let ended = 0;
  for (const one of flood) {
    if (answer) break;
    const dispatched = await metric('dispatched_requests_total', DEFAULT);
    one.stream.close();
    ended++;
    await until('the next has its turn', async () => (await metric('dispatched_requests_total', DEFAULT)) > dispatched);
    // Hers needs nothing but the processor.
    await until('it is under way or answered', async () => {
      const executing = await metric('current_executing_requests', DEFAULT);
      return answer || executing === running;
    });
  }
  assert.equal(answer?.status, 404);
  assert.ok(ended <= 10, `${ended} requests of the flood had their turn before jane's, of ${flood.length}`);
  for (const one of flood) one.stream.close();
  await until('all are gone', async () => (await metric('current_executing_requests', DEFAULT)) === 0);
});

test('the objects are there, say so in their status, and answers name them', async () => {
  const root = sessionOf('root', 'system:masters');
  const items = async <T>(resource: string): Promise<T[]> =>
    JSON.parse((await ask(root, 'GET', `${FLOW_CONTROL}/${resource}`).answer).text).items;
  const levels = await items<PriorityLevelConfiguration>('prioritylevelconfigurations');
  assert.deepEqual(
    levels.map((level) => level.metadata.name),
    [
      ...['catch-all', 'exempt', 'global-default', 'leader-election', 'node-high', 'system'],
      ...['workload-high', 'workload-low'],
    ],
  );
  const schemas = await until('every status is written', async () => {
    const all = await items<FlowSchema>('flowschemas');
    return all.every((schema) => schema.status?.conditions?.[0]?.reason === 'Found') && all;
  });
  assert.equal(schemas.length, 13);
  assert.equal(
    schemas.find((schema) => schema.metadata.name === 'probes')?.status?.conditions?.[0]?.message,
    'This FlowSchema references the PriorityLevelConfiguration object named "exempt" and it exists',
  );
  const { headers } = await ask(sessionOf('jane'), 'GET', '/api/v1/pods').answer;
  const uid = (list: readonly { metadata: { name: string; uid?: string } }[], name: string) =>
    list.find((one) => one.metadata.name === name)?.metadata.uid;
  assert.equal(headers['x-kubernetes-pf-flowschema-uid'], uid(schemas, 'global-default'));
  assert.equal(headers['x-kubernetes-pf-prioritylevel-uid'], uid(levels, 'global-default'));
});

test('what somebody adds is in force; what is mandatory comes back', async () => {
  const root = sessionOf('root', 'system:masters');
  const limited = { nominalConcurrencyShares: 1, limitResponse: { type: 'Reject' } };
  const level = { metadata: { name: 'own' }, spec: { type: 'Limited', limited } };
  const schema = {
    metadata: { name: 'own' },
    spec: {
      matchingPrecedence: 10,
      priorityLevelConfiguration: { name: 'own' },
      rules: [
        {
          subjects: [{ kind: 'User', user: { name: 'own' } }],
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
        },
      ],
    },
  };
  const made = await ask(root, 'POST', `${FLOW_CONTROL}/flowschemas`, schema).answer;
  assert.equal(made.status, 201, made.text);
  const status = async (): Promise<string> =>
    JSON.parse((await ask(root, 'GET', `${FLOW_CONTROL}/flowschemas/own`).answer).text).status?.conditions?.[0]?.reason;
  await until('it is dangling', async () => (await status()) === 'NotFound');
  assert.equal((await ask(root, 'POST', `${FLOW_CONTROL}/prioritylevelconfigurations`, level).answer).status, 201);
  await until('it is not', async () => (await status()) === 'Found');
  const { uid } = JSON.parse(made.text).metadata;
  const own = sessionOf('own');
  const { headers } = await ask(own, 'GET', '/api/v1/pods').answer;
  assert.equal(headers['x-kubernetes-pf-flowschema-uid'], uid);

  await ask(root, 'DELETE', `${FLOW_CONTROL}/flowschemas/catch-all`).answer;
  await until('it comes back', async () => {
    const answer = await ask(root, 'GET', `${FLOW_CONTROL}/flowschemas/catch-all`).answer;
    return answer.status === 200;
  });
});

test('another server changes nothing of what is there', async () => {
  const revision = await store.revision(new AbortController().signal);
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const other = await startApiServer({ store, tables: new Tables(), env }, new AbortController().signal);
  const { items } = await store.list({ prefix: '/registry/', signal: new AbortController().signal });
  await other.close();
  const changed = items.filter((item) => item.revision > revision && /flow|priority/.test(item.key));
  assert.deepEqual(
    changed.map((item) => item.key),
    [],
  );
});
