// The balancer over real servers and sockets: what is sent where when servers fail in different ways.
import assert from 'node:assert/strict';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { afterEach, describe, it } from 'node:test';
import { Tables } from '../../api/tables.ts';
import { createCa, issue } from '../../apiserver/auth/certificates.ts';
import { seededRandom } from '../../lib/random.ts';
import { until } from '../../lib/test-until.ts';
import { realClock } from '../../platform/environment.ts';
import { TransportError } from '../connections.ts';
import { type HttpsClient, httpsClient } from '../https.ts';
import { serverUrls } from './follow-servers.ts';

const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: seededRandom(9) };
const ca = createCa({ commonName: 'ca', ...common });
const serving = issue(ca, { commonName: 's', sans: ['127.0.0.1'], usages: ['server'], ...common });
const TIMINGS = { checkIntervalMs: 20, checkTimeoutMs: 500, unhealthyThreshold: 2, healthyThreshold: 2 };

/** A server of which the test says how it behaves. */
class Fake {
  readonly asked: string[] = [];
  isReady = true;
  /** Breaks the connection of a request instead of answering. */
  breaks: (method: string) => boolean = () => false;
  #server: Http2SecureServer | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();
  port = 0;

  async start(): Promise<void> {
    const server = createSecureServer({ cert: serving.certificate, key: serving.key });
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => undefined);
    });
    server.on('stream', (stream, headers) =>
      this.#answer(stream as ServerHttp2Stream, String(headers[':method']), String(headers[':path'])),
    );
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as { port: number }).port;
    this.#server = server;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  #answer(stream: ServerHttp2Stream, method: string, path: string): void {
    stream.on('error', () => undefined);
    if (path === '/readyz') {
      stream.respond({ ':status': this.isReady ? 200 : 500 });
      stream.end('ok');
      return;
    }
    this.asked.push(`${method} ${path}`);
    if (this.breaks(method)) {
      stream.session?.destroy();
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(JSON.stringify({ by: this.port }));
  }

  stop(): void {
    for (const session of this.#sessions) session.destroy();
    this.#sessions.clear();
    this.#server?.close();
  }
}

describe('a client of several servers', () => {
  const servers: Fake[] = [];
  const clients: HttpsClient[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
    for (const server of servers.splice(0)) server.stop();
  });
  async function start(count: number): Promise<HttpsClient> {
    for (let i = 0; i < count; i++) {
      const server = new Fake();
      await server.start();
      servers.push(server);
    }
    const access = { servers: servers.map(({ url }) => url), ca: ca.certificate };
    const options = { access, tables: new Tables(), clock: realClock, balancer: { timings: TIMINGS } };
    const client = httpsClient(options);
    clients.push(client);
    return client;
  }
  const by = async (client: HttpsClient, method = 'GET'): Promise<number> =>
    ((await client.request(method, '/x')) as { by: number }).by;
  const healthy = (client: HttpsClient): boolean[] => client.servers().map(({ isHealthy }) => isHealthy);

  it('a server that fails /readyz gets no new requests though its connection lives, and gets them again when it is ready', async () => {
    const client = await start(2);
    const first = await by(client);
    const one = servers.find(({ port }) => port === first)!;
    one.isReady = false;
    await until('it is left out', () => healthy(client).includes(false));
    assert.notEqual(await by(client), first);
    one.isReady = true;
    await until('it is used again', () => !healthy(client).includes(false));
    const other = servers.find(({ port }) => port !== first)!;
    other.stop();
    assert.equal(await by(client), first);
  });

  it('a read whose connection broke goes to the next server; a write does not', async () => {
    const client = await start(2);
    for (const server of servers) server.breaks = (method) => server === servers[0] && method === 'GET';
    assert.equal(await by(client), servers[1]!.port);
    assert.deepEqual(servers[0]!.asked, ['GET /x']);
    for (const server of servers) server.breaks = (method) => method === 'POST';
    await assert.rejects(by(client, 'POST'), (error) => error instanceof TransportError && error.sent);
    const posts = servers.flatMap(({ asked }) => asked).filter((one) => one.startsWith('POST'));
    assert.deepEqual(posts, ['POST /x'], 'it may have been done');
  });

  it('a write that reached no server goes to the next one', async () => {
    const client = await start(3);
    servers[0]!.stop();
    servers[1]!.stop();
    assert.equal(await by(client, 'POST'), servers[2]!.port);
  });

  it('when none is ready those that live are used; when none lives it says so, and recovers', async () => {
    const client = await start(2);
    for (const server of servers) server.isReady = false;
    await until('none is healthy', () => !healthy(client).includes(true));
    servers[0]!.stop();
    await until('one is dead', () => client.servers().some(({ isLive }) => !isLive));
    assert.equal(await by(client), servers[1]!.port);
    servers[1]!.stop();
    await assert.rejects(by(client), /cannot connect to/);
    await servers[0]!.start();
    servers[0]!.isReady = true;
    await until('it is found again', () => healthy(client).includes(true));
    assert.equal(await by(client), servers[0]!.port);
  });

  it('one server needs no checks', async () => {
    const client = await start(1);
    assert.equal(await by(client), servers[0]!.port);
    assert.deepEqual(
      client.servers().map(({ connections, isHealthy }) => [connections, isHealthy]),
      [[1, true]],
    );
  });
});

describe('the servers of an EndpointSlice', () => {
  it('are its ready addresses with the port https', () => {
    const slice = (addressType: 'IPv4' | 'IPv6', address: string) => ({
      metadata: { name: 'kubernetes' },
      addressType,
      endpoints: [{ addresses: [address] }, { addresses: ['10.9.9.9'], conditions: { ready: false } }],
      ports: [
        { name: 'other', port: 1 },
        { name: 'https', port: 6443 },
      ],
    });
    assert.deepEqual(serverUrls(slice('IPv4', '10.0.0.1')), ['https://10.0.0.1:6443']);
    assert.deepEqual(serverUrls(slice('IPv6', 'fd00::1')), ['https://[fd00::1]:6443']);
    assert.deepEqual(serverUrls({ metadata: { name: 'k' }, addressType: 'IPv4', endpoints: [] }), []);
  });
});
