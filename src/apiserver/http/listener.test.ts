import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request as httpsRequest } from 'node:https';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { until } from '../../lib/test-until.ts';
import { isReason } from '../../machinery/status.ts';
import { realClock } from '../../platform/environment.ts';
import { createCa, issue } from '../auth/certificates.ts';
import { CertificateUsers } from './certificate-users.ts';
import { ClientGoneError, type Exchange } from './exchange.ts';
import { type Listener, listen } from './listener.ts';

const validity = { nowMs: realClock.now(), validityMs: 3_600_000, random: seededRandom(3) };
const ca = createCa({ commonName: 'ca', ...validity });
const otherCa = createCa({ commonName: 'other', ...validity });
const serving = issue(ca, { commonName: 'server', sans: ['127.0.0.1'], usages: ['server'], ...validity });
const client = issue(ca, { commonName: 'alice', organizations: ['dev'], usages: ['client'], ...validity });
const stranger = issue(otherCa, { commonName: 'mallory', usages: ['client'], ...validity });
const users = new CertificateUsers();

let listener: Listener;
let seen: Exchange[] = [];
let gone: unknown[] = [];

/** One of them twice, and an empty one. */
const CHUNKS = [Buffer.from('a'), Buffer.alloc(300_000, 'ü'), Buffer.alloc(0), Buffer.from('a'.repeat(16))];
CHUNKS.push(CHUNKS[1]!, Buffer.from('z'));

/** Answers by path, to show one property of an exchange each. */
async function handle(exchange: Exchange): Promise<void> {
  seen.push(exchange);
  try {
    if (exchange.path === '/echo') {
      const body = await exchange.body(10);
      exchange.respond(200, { 'content-type': 'text/plain', warning: ['one', 'two'] }, body);
    } else if (exchange.path === '/who') {
      const user = users.of(exchange.socket);
      exchange.respond(200, {}, JSON.stringify({ user: user?.username ?? null, groups: exchange.headers('x-many') }));
    } else if (exchange.path === '/stream') {
      exchange.signal.addEventListener('abort', () => gone.push(exchange.signal.reason), { once: true });
      const sink = exchange.stream(200, {});
      sink.write(Buffer.from('first\n'));
    } else if (exchange.path === '/chunks') {
      const sink = exchange.stream(200, {});
      for (const chunk of CHUNKS) if (!sink.write(chunk)) await sink.drained();
      sink.end();
    } else {
      exchange.respond(404, {}, `${exchange.method} ${exchange.path}?${exchange.rawQuery}`);
    }
  } catch (error) {
    exchange.respond(isReason(error, 'RequestEntityTooLarge') ? 413 : 401, {}, (error as Error).message);
  }
}

before(async () => {
  const tls = { certificate: serving.certificate, key: serving.key, clientCa: ca.certificate };
  listener = await listen({
    tls,
    address: '127.0.0.1',
    port: 0,
    handle: (e) => void handle(e),
    log: silentLog,
    clock: realClock,
    random: seededRandom(4),
  });
});
after(() => listener.close());

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: { readonly [name: string]: unknown };
}
interface Ask {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: { readonly [name: string]: string | string[] };
  readonly pair?: { readonly certificate: string; readonly key: string };
}
type Client = (path: string, ask?: Ask) => Promise<Answer>;

const overHttp1: Client = (path, { method = 'GET', body, headers = {}, pair } = {}) =>
  new Promise((resolve, reject) => {
    const at = { host: '127.0.0.1', port: listener.port, ca: ca.certificate };
    const identity = pair ? { cert: pair.certificate, key: pair.key } : {};
    const request = httpsRequest({ ...at, ...identity, path, method, headers: headers as never, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body: text, headers: response.headers }));
    });
    request.end(body);
  });

const overHttp2: Client = async (path, { method = 'GET', body, headers = {}, pair } = {}) => {
  const identity = pair ? { cert: pair.certificate, key: pair.key } : {};
  const session = connectHttp2(`https://127.0.0.1:${listener.port}`, { ca: ca.certificate, ...identity });
  try {
    return await new Promise<Answer>((resolve, reject) => {
      session.on('error', reject);
      const stream = session.request({ ':path': path, ':method': method, ...headers });
      let status = 0;
      let text = '';
      let received: Answer['headers'] = {};
      stream.on('response', (head) => {
        status = head[':status']!;
        received = head;
      });
      stream.on('error', reject);
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      stream.on('end', () => resolve({ status, body: text, headers: received }));
      stream.end(body);
    });
  } finally {
    session.destroy();
  }
};

for (const [name, ask] of [
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
] as const) {
  test(`${name}: body in, body and headers out`, async () => {
    const answer = await ask('/echo', { method: 'POST', body: 'hello' });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, 'hello');
    assert.equal(String(answer.headers.warning), 'one, two');
  });

  test(`${name}: a body beyond the limit is refused`, async () => {
    assert.equal((await ask('/echo', { method: 'POST', body: 'x'.repeat(11) })).status, 413);
  });

  test(`${name}: path and query arrive as sent`, async () => {
    assert.equal((await ask('/a%2Fb?x=%20')).body, 'GET /a%2Fb?x=%20');
  });

  test(`${name}: HEAD has no body`, async () => {
    const answer = await ask('/x', { method: 'HEAD' });
    assert.deepEqual([answer.status, answer.body], [404, '']);
  });

  test(`${name}: the client certificate names the user, and a stranger's is refused`, async () => {
    assert.deepEqual(JSON.parse((await ask('/who', { pair: client })).body), { user: 'alice', groups: [] });
    assert.equal(JSON.parse((await ask('/who')).body).user, null);
    const refused = await ask('/who', { pair: stranger });
    assert.equal(refused.status, 401);
    assert.match(refused.body, /client certificate/);
  });

  test(`${name}: every value of a repeated header is told apart`, async () => {
    const { body } = await ask('/who', { headers: { 'x-many': ['a, b', 'c'] } });
    assert.deepEqual(JSON.parse(body).groups, ['a, b', 'c']);
  });
}

test('a client that goes away aborts its exchange, and answering it does nothing', async () => {
  gone = [];
  seen = [];
  const session = connectHttp2(`https://127.0.0.1:${listener.port}`, { ca: ca.certificate });
  const stream = session.request({ ':path': '/stream' });
  await new Promise((resolve) => stream.once('data', resolve));
  session.destroy();
  const request = httpsRequest({
    host: '127.0.0.1',
    port: listener.port,
    ca: ca.certificate,
    path: '/stream',
    agent: false,
  });
  request.end();
  await new Promise<void>((resolve) => request.once('response', (r) => r.once('data', () => resolve())));
  request.on('error', () => undefined);
  request.destroy();
  await until('both are known to be gone', () => gone.length === 2);
  assert.ok(gone.every((reason) => reason instanceof ClientGoneError));
  for (const exchange of seen) {
    exchange.respond(200, {}, 'nobody reads this');
    exchange.stream(200, {}).end();
  }
});

test('what is streamed arrives whole, and another request follows on the connection', async () => {
  const agent = new Agent({ ca: ca.certificate, keepAlive: true, maxSockets: 1 });
  const ask = (method: string, path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = httpsRequest({ host: '127.0.0.1', port: listener.port, method, path, agent }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => resolve(Buffer.concat(pieces).toString()));
        response.on('error', reject);
      });
      asked.on('error', reject);
      asked.end();
    });
  const whole = Buffer.concat(CHUNKS).toString();
  assert.equal(await ask('GET', '/chunks'), whole);
  assert.equal(await ask('HEAD', '/chunks'), '');
  assert.deepEqual(await Promise.all([ask('GET', '/chunks'), ask('GET', '/chunks')]), [whole, whole]);
  assert.equal(await ask('GET', '/x'), 'GET /x?');
  agent.destroy();
});

test('a client of HTTP/1.0 gets what is streamed as it is', async () => {
  const socket = connectTls({ host: '127.0.0.1', port: listener.port, ca: ca.certificate });
  socket.write('GET /chunks HTTP/1.0\r\n\r\n');
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  const text = Buffer.concat(pieces).toString();
  assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4), Buffer.concat(CHUNKS).toString());
});

test('a refused upgrade is answered in HTTP and the connection ends', async () => {
  const socket = connectTls({
    host: '127.0.0.1',
    port: listener.port,
    ca: ca.certificate,
    ALPNProtocols: ['http/1.1'],
  });
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.write('GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  assert.match(text, /^HTTP\/1\.1 404 Not Found\r\n/);
  assert.match(text, /GET \/up\?$/);
});
