// An extension API server behind an APIService: a real HTTPS server that trusts the front proxy's certificate only.
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Registry } from 'prom-client';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { createCa, issue } from '../auth/certificates.ts';
import { type ApiServer, startApiServer } from '../server.ts';
import { rowsOfList } from './availability.ts';

const clock = new FakeClock(realClock.now());
const store = openMemoryStore({ clock });
const stop = new AbortController();
const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
const ca = createCa({ commonName: 'extension-ca', ...common });
const frontCa = createCa({ commonName: 'front-ca', ...common });
const identity = issue(ca, { commonName: 'flunders', sans: ['sample.default.svc'], usages: ['server'], ...common });
const FLUNDERS = {
  name: 'flunders',
  singularName: 'flunder',
  namespaced: true,
  kind: 'Flunder',
  verbs: ['get', 'list'],
};

interface Seen {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  readonly by: string;
  readonly body: string;
}
const seen: Seen[] = [];
let discoveryFails = false;
const extension = createServer(
  {
    cert: identity.certificate,
    key: identity.key,
    ca: frontCa.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  },
  (asked, answer) => {
    let body = '';
    asked.on('data', (chunk) => {
      body += chunk;
    });
    asked.on('end', () => {
      const by = String((asked.socket as TLSSocket).getPeerCertificate().subject.CN);
      seen.push({ path: asked.url!, method: asked.method!, headers: asked.headers, by, body });
      if (asked.url === '/apis/wardle.example.com/v1') {
        answer.statusCode = discoveryFails ? 503 : 200;
        return answer.end(
          JSON.stringify({ kind: 'APIResourceList', resources: [FLUNDERS, { ...FLUNDERS, name: 'flunders/status' }] }),
        );
      }
      answer.setHeader('content-type', 'application/json');
      answer.statusCode = asked.method === 'POST' ? 201 : 200;
      return answer.end(JSON.stringify({ kind: 'FlunderList', items: [] }));
    });
  },
);

let server: ApiServer;
let agent: Agent;
before(async () => {
  await new Promise<void>((resolve) => extension.listen(0, '127.0.0.1', resolve));
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const staticTokens = new Map([
    ['admin', { username: 'admin', groups: ['system:masters'], extra: { 'example.com/team': ['a', 'b'] } }],
    ['nobody', { username: 'nobody', groups: [] }],
  ]);
  const servingCa = createCa({ commonName: 'own-ca', ...common });
  const serving = issue(servingCa, { commonName: 'api', sans: ['127.0.0.1'], usages: ['server'], ...common });
  const frontProxy = issue(frontCa, { commonName: 'front-proxy-client', usages: ['client'], ...common });
  server = await startApiServer(
    {
      ...{ store, env, staticTokens, frontProxy, tables: new Tables() },
      tls: { ...serving, clientCa: servingCa.certificate },
      requestHeaderCa: frontCa.certificate,
    },
    stop.signal,
  );
  agent = new Agent({ ca: servingCa.certificate, keepAlive: true });
});
after(async () => {
  agent.destroy();
  extension.closeAllConnections();
  extension.close();
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
  readonly json: any;
}

function ask(method: string, path: string, body?: object, headers: { [name: string]: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { 'content-type': 'application/json', authorization: 'Bearer admin', ...headers };
    const sent = request(`${server.url}${path}`, { method, agent, headers: all }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode!, json: text.startsWith('{') ? JSON.parse(text) : text }),
      );
    });
    sent.on('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}

const API_SERVICES = '/apis/apiregistration.k8s.io/v1/apiservices';
const PATH = '/apis/wardle.example.com/v1';

const available = async (name = 'v1.wardle.example.com'): Promise<string> => {
  const { json } = await ask('GET', `${API_SERVICES}/${name}`);
  const condition = json.status?.conditions?.find((one: { type: string }) => one.type === 'Available');
  return condition ? `${condition.status} ${condition.reason}` : '';
};
/** The group in aggregated discovery: "version freshness resources" of each version. */
const discovered = async (): Promise<string[]> => {
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
  const { json } = await ask('GET', '/apis', undefined, { accept });
  const group = json.items.find((item: { metadata: { name: string } }) => item.metadata.name === 'wardle.example.com');
  return (group?.versions ?? []).map(
    (one: { version: string; freshness: string; resources: { resource: string }[] }) =>
      `${one.version} ${one.freshness} ${one.resources.map(({ resource }) => resource)}`,
  );
};
const isListed = async (): Promise<boolean> =>
  (await ask('GET', '/apis')).json.groups.some((group: { name: string }) => group.name === 'wardle.example.com');
const becomes = (wanted: string): Promise<true> =>
  until(`it is ${wanted}`, async () => {
    await clock.advance(1000);
    return (await available()) === wanted;
  });

test('what the server serves itself has APIServices of its own', async () => {
  await until('they are there', async () => (await available('v1.apps')) === 'True Local');
  assert.equal(await available('v1.'), 'True Local');
  const { json } = await ask('GET', API_SERVICES);
  assert.ok(json.items.every((one: { metadata: { labels: object } }) => Object.keys(one.metadata.labels).length === 1));
});

test('an extension API server is found, asked in the name of the user, and merged into discovery', async () => {
  const spec = {
    ...{ group: 'wardle.example.com', version: 'v1', groupPriorityMinimum: 2000, versionPriority: 200 },
    service: { namespace: 'default', name: 'sample', port: 443 },
    caBundle: Buffer.from(ca.certificate).toString('base64'),
  };
  const made = await ask('POST', API_SERVICES, { metadata: { name: 'v1.wardle.example.com' }, spec });
  assert.equal(made.status, 201);
  await becomes('False ServiceNotFound');
  assert.equal((await ask('GET', `${PATH}/flunders`)).status, 503);
  assert.deepEqual(await discovered(), ['v1 Stale '], 'there, though nobody can say what it serves');
  assert.ok(await isListed());
  await ask('POST', '/api/v1/namespaces/default/services', {
    metadata: { name: 'sample' },
    spec: { ports: [{ name: 'https', port: 443 }] },
  });
  await becomes('False MissingEndpoints');
  await ask('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    metadata: { name: 'sample-1', labels: { 'kubernetes.io/service-name': 'sample' } },
    addressType: 'IPv4',
    ports: [{ name: 'https', port: (extension.address() as AddressInfo).port, protocol: 'TCP' }],
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
  });
  await becomes('True Passed');
  seen.length = 0;
  const forged = { 'x-remote-user': 'root', 'x-remote-extra-scopes': 'all' };
  const created = await ask('POST', `${PATH}/namespaces/default/flunders?dryRun=All`, { kind: 'Flunder' }, forged);
  assert.equal(created.status, 201);
  const [one] = seen;
  assert.deepEqual(
    [one!.method, one!.path, one!.by, one!.body],
    ['POST', `${PATH}/namespaces/default/flunders?dryRun=All`, 'front-proxy-client', '{"kind":"Flunder"}'],
  );
  assert.equal(one!.headers['x-remote-user'], 'admin');
  assert.equal(one!.headers['x-remote-group'], 'system:masters, system:authenticated');
  assert.equal(
    one!.headers['x-remote-extra-example.com%2fteam'] ?? one!.headers['x-remote-extra-example.com%2Fteam'],
    'a, b',
  );
  assert.equal(one!.headers['x-remote-extra-scopes'], undefined, 'a client cannot say who it is');
  assert.equal(one!.headers.authorization, undefined);

  const groups = (await ask('GET', '/apis')).json.groups.map((group: { name: string }) => group.name);
  assert.ok(groups.includes('wardle.example.com'));
  const aggregated = await ask('GET', '/apis', undefined, {
    accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  });
  const found = aggregated.json.items.find(
    (item: { metadata: { name: string } }) => item.metadata.name === 'wardle.example.com',
  );
  assert.deepEqual(
    found.versions[0].resources.map((r: { resource: string; subresources: object[] }) => [
      r.resource,
      r.subresources.length,
    ]),
    [['flunders', 1]],
  );
  assert.equal((await ask('GET', PATH)).json.resources.length, 2);
});

test('who may not is refused before anybody is asked', async () => {
  seen.length = 0;
  const refused = await ask('GET', `${PATH}/flunders`, undefined, { authorization: 'Bearer nobody' });
  assert.equal(refused.status, 403);
  assert.equal(seen.length, 0);
});

test('one that no longer answers is told of, and found again', async () => {
  discoveryFails = true;
  await until('it is noticed', async () => {
    await clock.advance(30_000);
    return (await available()) === 'False FailedDiscoveryCheck';
  });
  assert.deepEqual(await discovered(), ['v1 Stale flunders'], 'as it told last');
  assert.ok(await isListed());
  discoveryFails = false;
  await becomes('True Passed');
  assert.deepEqual(await discovered(), ['v1 Current flunders']);
  await ask('DELETE', `${API_SERVICES}/v1.wardle.example.com`);
  await until('it is gone', async () => (await ask('GET', `${PATH}/flunders`)).status === 404);
});

test('an APIService of what the server serves comes back when somebody deletes it', async () => {
  assert.equal((await ask('DELETE', `${API_SERVICES}/v1.apps`)).status, 200);
  await until('it is there again', async () => (await available('v1.apps')) === 'True Local');
});

test('the APIService of a group version of custom resources is there as long as one of them', async () => {
  const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const define = (kind: string): Promise<Answer> =>
    ask('POST', definitions, {
      metadata: { name: `${kind.toLowerCase()}s.made.example.com` },
      spec: {
        group: 'made.example.com',
        scope: 'Namespaced',
        names: { plural: `${kind.toLowerCase()}s`, kind },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    });
  await define('Cup');
  await define('Mug');
  await until('it is there', async () => (await available('v1.made.example.com')) === 'True Local');
  const gone = (kind: string): Promise<true> =>
    until(`${kind} is gone`, async () => {
      await clock.advance(1000);
      return (await ask('GET', `${definitions}/${kind}s.made.example.com`)).status === 404;
    });
  await ask('DELETE', `${definitions}/cups.made.example.com`);
  await gone('cup');
  assert.equal(await available('v1.made.example.com'), 'True Local');
  await ask('DELETE', `${definitions}/mugs.made.example.com`);
  await gone('mug');
  await until('it goes too', async () => (await ask('GET', `${API_SERVICES}/v1.made.example.com`)).status === 404);
});

test('of what another server tells in discovery only what is a resource is taken', () => {
  const list = {
    resources: [
      null,
      5,
      { name: 7 },
      { name: 'a' },
      { name: 'b', kind: 'B', verbs: 'get', shortNames: 3, categories: [1, 'all'] },
    ],
  };
  const rows = rowsOfList(list, 'g.example.com', 'v1');
  assert.deepEqual(
    rows.map(({ resource, verbs, shortNames, categories }) => ({ resource, verbs, shortNames, categories })),
    [{ resource: 'b', verbs: [], shortNames: [], categories: ['all'] }],
  );
  for (const none of [null, 'x', { resources: 'many' }, []])
    assert.deepEqual(rowsOfList(none, 'g.example.com', 'v1'), []);
});
