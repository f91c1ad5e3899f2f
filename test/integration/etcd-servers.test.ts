// Several API servers over one etcd: what one writes all see, they start together, and nothing is given away twice.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { Registry } from 'prom-client';
import { Tables } from '../../src/api/tables.ts';
import { issue } from '../../src/apiserver/auth/certificates.ts';
import { type ApiServer, startApiServer } from '../../src/apiserver/server.ts';
import type { Client } from '../../src/client/contract.ts';
import { inProcessClient } from '../../src/client/in-process.ts';
import { PROFILES } from '../../src/cluster/profiles.ts';
import { sleep } from '../../src/lib/clock.ts';
import { StatusError } from '../../src/machinery/status.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { never } from '../../src/store/contract.suite.ts';
import type { Store } from '../../src/store/contract.ts';
import { openEtcdStore } from '../../src/store/etcd/open.ts';
import { Members } from './etcd-members.ts';

const env = realEnvironment('silent');
const ADMIN = { username: 'admin', groups: ['system:masters', 'system:authenticated'] };
const GENEROUS_MS = 30_000;
const SERVERS = 3;

let members: Members;
const stop = new AbortController();
const stores: Store[] = [];
const servers: ApiServer[] = [];
const clients: Client[] = [];

before(async () => {
  members = await Members.start({ env, count: 3 });
  // All at once over an empty etcd: each makes what every cluster has.
  await Promise.all(
    Array.from({ length: SERVERS }, async (_, i) => {
      const { store } = openEtcdStore({
        endpoints: members.endpoints,
        tls: members.tls,
        env,
        timings: PROFILES.fast.etcd,
      });
      stores[i] = store;
      const tables = new Tables();
      const server = await startApiServer({ store, tables, env: { ...env, metrics: new Registry() } }, stop.signal);
      servers[i] = server;
      clients[i] = inProcessClient({ api: server.pipeline, tables, user: ADMIN, clock: env.clock });
    }),
  );
});
after(async () => {
  stop.abort(new Error('the test is over'));
  for (const server of servers) await server?.close();
  for (const store of stores) await store?.close();
  await members?.stop();
});

interface Service {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string };
  readonly spec: { readonly clusterIP?: string; readonly ports?: readonly { readonly nodePort?: number }[] };
}

test('started together: every bootstrap object is there once, on every server', async () => {
  const names = async (
    client: Client,
    resource: 'clusterroles.rbac.authorization.k8s.io' | 'namespaces',
  ): Promise<string[]> => (await client.resource(resource).list({})).items.map((item) => String(item.metadata.name));
  const roles = await names(clients[0]!, 'clusterroles.rbac.authorization.k8s.io');
  assert.ok(roles.length > 50);
  for (const client of clients) {
    assert.deepEqual(await names(client, 'clusterroles.rbac.authorization.k8s.io'), roles);
    assert.deepEqual((await names(client, 'namespaces')).sort(), [
      'default',
      'kube-node-lease',
      'kube-public',
      'kube-system',
    ]);
  }
});

test('what one server writes the others read at once, and their watches tell', async () => {
  const configMaps = clients.map((client) => client.resource('configmaps'));
  const stopWatch = new AbortController();
  const { resourceVersion } = await configMaps[1]!.list({});
  const seen: string[] = [];
  const watching = (async () => {
    const watch = configMaps[1]!.watch({ resourceVersion }, stopWatch.signal);
    for await (const batch of watch) {
      for (const event of batch) if (event.type === 'ADDED') seen.push(String(event.object.metadata.name));
      if (seen.length >= 20) return;
    }
  })();
  for (let i = 0; 20 > i; i++) {
    const name = `c${i}`;
    await configMaps[0]!.create({ metadata: { name, namespace: 'default' }, data: { i: String(i) } });
    // A consistent read on another server is never behind.
    const { items } = await configMaps[2]!.list({});
    assert.ok(items.some((item) => item.metadata.name === name));
  }
  await watching;
  stopWatch.abort();
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, i) => `c${i}`),
  );
});

test('addresses and node ports that several servers give away at once are all different', async () => {
  const made = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      clients[i % SERVERS]!.resource('services').create({
        metadata: { name: `s${i}`, namespace: 'default' },
        spec: { type: 'NodePort', ports: [{ port: 80 }] },
      }),
    ),
  );
  const services = made as unknown as readonly Service[];
  assert.equal(new Set(services.map((s) => s.spec.clusterIP)).size, 60);
  assert.equal(new Set(services.map((s) => s.spec.ports?.[0]?.nodePort)).size, 60);
});

test('without a quorum: writes and consistent reads are refused as unavailable, reads of any version go on', async () => {
  const configMaps = clients[0]!.resource('configmaps');
  const ready = async (path: string): Promise<number> => {
    const { code } = await probe(servers[0]!, path);
    return code;
  };
  assert.equal(await ready('/readyz'), 200);
  assert.equal(await ready('/readyz/etcd'), 200);
  await members.kill(0);
  await members.kill(1);
  try {
    const refused = (error: unknown): boolean => {
      assert.ok(error instanceof StatusError, String(error));
      assert.ok([503, 504].includes(error.status.code ?? 0), JSON.stringify(error.status));
      return true;
    };
    await assert.rejects(configMaps.list({}), refused);
    await assert.rejects(configMaps.create({ metadata: { name: 'late', namespace: 'default' } }), refused);
    const { items } = await configMaps.list({ resourceVersion: '0' });
    assert.equal(items.filter((item) => String(item.metadata.name).startsWith('c')).length, 20);
    assert.equal(await ready('/readyz'), 500);
    assert.equal(await ready('/livez/etcd'), 500);
    assert.equal(await ready('/livez?exclude=etcd'), 200);
  } finally {
    await members.run(0);
    await members.run(1);
  }
  const untilMs = env.clock.monotonic() + GENEROUS_MS;
  for (;;) {
    try {
      await configMaps.create({ metadata: { name: 'again', namespace: 'default' } });
      break;
    } catch (error) {
      assert.ok(untilMs > env.clock.monotonic(), String(error));
      await sleep(env.clock, 100, never);
    }
  }
  assert.equal(await ready('/readyz'), 200);
});

async function probe(server: ApiServer, path: string): Promise<{ readonly code: number }> {
  const common = { nowMs: env.clock.now(), validityMs: 3_600_000, random: env.random };
  const admin = issue(server.ca!, {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    ...common,
  });
  const identity = { ca: server.caCertificate, cert: admin.certificate, key: admin.key };
  return new Promise((resolve, reject) => {
    const sent = request(`${server.url}${path}`, { ...identity, agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve({ code: response.statusCode ?? 0 }));
    });
    sent.on('error', reject);
    sent.end();
  });
}
