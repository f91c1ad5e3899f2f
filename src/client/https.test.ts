import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Tables } from '../api/tables.ts';
import { issue } from '../apiserver/auth/certificates.ts';
import { type ApiServer, startApiServer } from '../apiserver/server.ts';
import { FakeClock, settle } from '../lib/fake-clock.ts';
import { until } from '../lib/test-until.ts';
import { isReason } from '../machinery/status.ts';
import { openMemoryStore } from '../store/memory.ts';
import { clientSuite } from './client.suite.ts';
import { TransportError } from './connections.ts';
import { encodeGuards, type HttpsClient, type HttpsOptions, httpsClient } from './https.ts';
import { testEnvironment } from './test-cluster.ts';

/** Passes bytes to a port on this machine until it is told to lose them all. */
async function silenceableRelay(to: number) {
  let silent = false;
  const passed = { asked: 0, answered: 0 };
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = createConnection(to, '127.0.0.1');
    sockets.push(near, far);
    for (const [from, into, count] of [
      [near, far, 'asked'],
      [far, near, 'answered'],
    ] as const) {
      from.on('error', () => undefined);
      from.on('data', (chunk) => {
        passed[count]++;
        if (!silent) into.write(chunk);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    silence: () => {
      silent = true;
    },
    /** How many pieces have come from the client, and from the server. */
    passed: () => ({ ...passed }),
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Servers over one store, of which some may be ended early. Certificates need the real time. */
class Servers {
  readonly clock = new FakeClock(Date.now());
  readonly store = openMemoryStore({ clock: this.clock });
  readonly tables = new Tables();
  readonly servers: ApiServer[] = [];
  readonly #clients: HttpsClient[] = [];

  async start(): Promise<ApiServer> {
    const staticTokens = new Map([['secret', { username: 'admin', groups: ['system:masters'] }]]);
    const { store, tables, clock } = this;
    const options = { store, tables, env: testEnvironment(clock), staticTokens };
    const server = await startApiServer(options, new AbortController().signal);
    this.servers.push(server);
    return server;
  }

  client(access: Partial<HttpsOptions['access']> = {}, options: Partial<HttpsOptions> = {}): HttpsClient {
    const servers = this.servers.map((server) => server.url);
    const whole = { servers, ca: this.servers.map((one) => one.caCertificate).join('\n'), token: 'secret', ...access };
    const client = httpsClient({ access: whole, tables: this.tables, clock: this.clock, ...options });
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const server of this.servers) await server.close();
    await this.store.close();
  }
}

clientSuite('HTTPS', async () => {
  const servers = new Servers();
  await servers.start();
  return { client: servers.client(), close: () => servers.close() };
});

describe('HTTPS connections', () => {
  const namespaces = (client: HttpsClient) => client.resource('namespaces').list();
  const forbidden = (error: unknown): boolean => isReason(error, 'Forbidden', 'Unauthorized');

  it('another server is used when one is gone; a watch there says so', async () => {
    const servers = new Servers();
    const first = await servers.start();
    await servers.start();
    const client = servers.client();
    const { resourceVersion } = await namespaces(client);
    const watching = (async () => {
      const query = { resourceVersion };
      for await (const _ of client.resource('namespaces').watch(query, new AbortController().signal));
    })();
    const ended = watching.then(
      () => 'ended',
      (error: unknown) => error,
    );
    await client.resource('namespaces').create({ metadata: { name: 'made' }, spec: {} });
    servers.servers.splice(0, 1);
    await first.close();
    const outcome = await ended;
    assert.ok(outcome === 'ended' || outcome instanceof TransportError);
    assert.ok((await namespaces(client)).items.some((one) => one.metadata.name === 'made'));
    await servers.close();
  });

  it('one address, with several servers behind it: a connection that was taken and broke off is tried once more', async (t) => {
    const servers = new Servers();
    const { url } = await servers.start();
    let taken = 0;
    let broken = 1;
    const balancer = createServer((socket) => {
      if (++taken <= broken) return socket.destroy();
      const onward = createConnection(Number(new URL(url).port), new URL(url).hostname);
      for (const one of [socket, onward]) one.on('error', () => undefined);
      socket.pipe(onward).pipe(socket);
    });
    await new Promise<void>((resolve) => balancer.listen(0, '127.0.0.1', resolve));
    t.after(async () => {
      await servers.close();
      await new Promise((resolve) => balancer.close(resolve));
    });
    const address = `https://127.0.0.1:${(balancer.address() as AddressInfo).port}`;
    await namespaces(servers.client({ servers: [address] }));
    assert.equal(taken, 2);
    broken = 4;
    await assert.rejects(namespaces(servers.client({ servers: [address] })), TransportError);
    assert.equal(taken, 4, 'once, not for ever');
  });

  it('a client certificate says who asks', async () => {
    const servers = new Servers();
    const { ca } = await servers.start();
    assert.ok(ca);
    const common = { usages: ['client'] as const, nowMs: servers.clock.now(), validityMs: 3_600_000 };
    const { random } = testEnvironment();
    const admin = issue(ca, { commonName: 'root', organizations: ['system:masters'], random, ...common });
    const nobody = issue(ca, { commonName: 'nobody', random, ...common });
    assert.ok((await namespaces(servers.client({ ...admin, token: undefined }))).items.length > 0);
    await assert.rejects(namespaces(servers.client({ ...nobody, token: undefined })), forbidden);
    await servers.close();
  });

  it('a server that the authority does not vouch for is not talked to', async () => {
    const servers = new Servers();
    await servers.start();
    const error = await namespaces(servers.client({ ca: undefined })).catch((e: unknown) => e);
    assert.ok(error instanceof TransportError && !error.sent, String(error));
    await servers.close();
  });

  it('a token file is read again after a minute', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tsukube-token-'));
    const tokenFile = join(directory, 'token');
    const servers = new Servers();
    await servers.start();
    await writeFile(tokenFile, 'wrong\n');
    const client = servers.client({ token: undefined, tokenFile });
    await assert.rejects(namespaces(client), forbidden);
    await writeFile(tokenFile, 'secret\n');
    await assert.rejects(namespaces(client), forbidden);
    await servers.clock.advance(61_000);
    assert.ok((await namespaces(client)).items.length > 0);
    await servers.close();
    await rm(directory, { recursive: true });
  });

  it('a server that accepts and never answers is given up for the next', async () => {
    const silent: Server = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const servers = new Servers();
    const { url } = await servers.start();
    const client = servers.client({ servers: [`https://127.0.0.1:${port}`, url] }, { connectTimeoutMs: 500 });
    const listing = namespaces(client);
    let listed = false;
    void listing.then(() => {
      listed = true;
    });
    await servers.clock.advance(499);
    assert.equal(listed, false);
    await until('the next server is asked', async () => {
      if (!listed) await servers.clock.advance(1);
      return listed;
    });
    assert.ok((await listing).items.length > 0);
    await servers.close();
    silent.close();
  });

  it('a connection that falls silent is noticed by ping, and its watch breaks', async () => {
    const servers = new Servers();
    const { port } = await servers.start();
    const relay = await silenceableRelay(port);
    const direct = servers.client();
    const options = { pingAfterMs: 10_000, pingTimeoutMs: 5_000 };
    const client = servers.client({ servers: [`https://127.0.0.1:${relay.port}`] }, options);
    const { resourceVersion } = await namespaces(client);
    const seen: string[] = [];
    const outcomes: unknown[] = [];
    const watching = (async () => {
      for await (const batch of client
        .resource('namespaces')
        .watch({ resourceVersion }, new AbortController().signal)) {
        seen.push(...batch.map((event) => event.type));
      }
    })().catch((error: unknown) => outcomes.push(error));
    await direct.resource('namespaces').create({ metadata: { name: 'heard' }, spec: {} });
    await until('the watch hears', () => seen.length > 0);
    for (let i = 0; i < 6; i++) {
      const before = relay.passed();
      await servers.clock.advance(10_000);
      await until('a ping is asked and answered', async () => {
        const { asked, answered } = relay.passed();
        // What was still under way when the clock went on counts as heard just now: the next ping is later then.
        if (asked === before.asked) await servers.clock.advance(1_000);
        return asked > before.asked && answered > before.answered;
      });
      await settle();
    }
    assert.equal(outcomes.length, 0, 'pings are answered');
    relay.silence();
    const silentMs = servers.clock.monotonic();
    await until('the watch breaks', async () => {
      await servers.clock.advance(1_000);
      return outcomes.length > 0;
    });
    const noticedMs = servers.clock.monotonic() - silentMs;
    assert.ok(noticedMs >= options.pingTimeoutMs, `noticed after ${noticedMs} ms`);
    await watching;
    const [outcome] = outcomes;
    assert.ok(outcome instanceof TransportError && outcome.sent);
    relay.close();
    await servers.close();
  });

  it('no address but https, and no client without one', () => {
    const servers = new Servers();
    assert.throws(() => servers.client({ servers: ['http://127.0.0.1:1'] }), /only https is supported/);
    assert.throws(() => servers.client({ servers: [] }), /at least one server/);
  });

  it('guards travel as one header', () => {
    const guards = [
      { key: '/registry/leases/kube-system/a.term', revision: 7 },
      { key: 'k', revision: 0 },
    ];
    assert.equal(encodeGuards(guards), '%2Fregistry%2Fleases%2Fkube-system%2Fa.term=7,k=0');
  });
});
