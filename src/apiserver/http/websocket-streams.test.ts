// WebSocket clients at the front, a kubelet that speaks SPDY behind: what each hears of the other.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, request as httpsRequest, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import { constants, inflateSync } from 'node:zlib';
import { Registry } from 'prom-client';
import { WebSocket } from 'ws';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { issue } from '../auth/certificates.ts';
import { type ApiServer, startApiServer } from '../server.ts';

const clock = new FakeClock(realClock.now());
const store = openMemoryStore({ clock });
const times = { nowMs: clock.now(), validityMs: 3_600_000, random: realRandom };
const POD = '/api/v1/namespaces/default/pods/p';

let server: ApiServer;
let kubelet: Server;
let identity: { ca: string; cert: string; key: string };
/** The newest connection to the kubelet. */
let runtime: Runtime | undefined;
let declines = false;

/** A container runtime's end of SPDY: keeps what it is told, says what the test wants. */
class Runtime {
  readonly protocols: string;
  readonly url: string;
  readonly types = new Map<string, number>();
  readonly input = new Map<number, string>();
  readonly ended = new Set<number>();
  readonly pings: number[] = [];
  readonly #socket: Duplex;
  #headers: Buffer = Buffer.alloc(0);
  #read = 0;
  #rest: Buffer = Buffer.alloc(0);
  closed = false;

  constructor(socket: Duplex, url: string, protocols: string) {
    this.#socket = socket;
    this.url = url;
    this.protocols = protocols;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('data', (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      while (this.#rest.length >= 8 && this.#rest.length >= 8 + this.#rest.readUIntBE(5, 3)) {
        const length = 8 + this.#rest.readUIntBE(5, 3);
        this.#frame(this.#rest.subarray(0, length));
        this.#rest = this.#rest.subarray(length);
      }
    });
  }

  #frame(frame: Buffer): void {
    if (frame[0]! < 0x80) {
      const id = frame.readUInt32BE();
      this.input.set(id, (this.input.get(id) ?? '') + frame.toString('utf8', 8));
      if (frame[4]! === 1) this.ended.add(id);
      return;
    }
    assert.equal(frame.readUInt16BE(), 0x8003);
    if (frame.readUInt16BE(2) === 6) this.pings.push(frame.readUInt32BE(8));
    if (frame.readUInt16BE(2) !== 1) return;
    // What is not flushed is not read before more comes.
    assert.deepEqual([...frame.subarray(-5)], [0, 0, 0, 0xff, 0xff]);
    // One zlib stream for all blocks; each is to be readable as soon as it is there.
    this.#headers = Buffer.concat([this.#headers, frame.subarray(18)]);
    const plain = inflateSync(this.#headers, { finishFlush: constants.Z_SYNC_FLUSH });
    const block = plain.subarray(this.#read);
    this.#read = plain.length;
    assert.equal(block.readUInt32BE(), 1);
    const nameLength = block.readUInt32BE(4);
    assert.equal(block.toString('utf8', 8, 8 + nameLength), 'streamtype');
    this.types.set(block.toString('utf8', 12 + nameLength), frame.readUInt32BE(8));
  }

  control(type: number, payload: Buffer): void {
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0x8003);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(payload.length, 4);
    this.#socket.write(Buffer.concat([head, payload]));
  }

  say(type: string, text: string, end = false): void {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(this.types.get(type)!);
    head.writeUInt32BE((end ? 2 ** 24 : 0) + Buffer.byteLength(text), 4);
    this.#socket.write(Buffer.concat([head, Buffer.from(text)]));
  }

  raw(bytes: string): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.destroy();
  }
}

async function send(method: string, path: string, body: object): Promise<{ metadata: object }> {
  const options = { host: '127.0.0.1', port: server.port, method, path, ...identity };
  const request = httpsRequest({ ...options, headers: { 'content-type': 'application/json' } });
  request.end(JSON.stringify(body));
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  assert.ok(response.statusCode < 300, text);
  return JSON.parse(text);
}

before(async () => {
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const looker = { username: 'looker', groups: [] };
  const staticTokens = new Map([['look', looker]]);
  server = await startApiServer({ store, tables: new Tables(), env, staticTokens }, new AbortController().signal);
  const who = { commonName: 'admin', organizations: ['system:masters'], usages: ['client' as const], ...times };
  const admin = issue(server.ca!, who);
  identity = { ca: server.caCertificate, cert: admin.certificate, key: admin.key };
  const serving = issue(server.ca!, { commonName: 'n', sans: ['127.0.0.1'], usages: ['server'], ...times });
  kubelet = createServer({ cert: serving.certificate, key: serving.key });
  kubelet.on('request', (request, answer) => answer.end(`said of ${request.url?.split('/').at(-1)}\n`));
  kubelet.on('upgrade', (request, socket) => {
    if (declines) {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone');
      return;
    }
    const protocols = String(request.headers['x-stream-protocol-version']);
    const chosen = protocols.split(',')[0]!.trim();
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\nX-Stream-Protocol-Version: ${chosen}\r\n\r\n`,
    );
    runtime = new Runtime(socket, `${request.method} ${request.url}`, protocols);
  });
  await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve));
  const { port } = kubelet.address() as AddressInfo;
  await send('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const node = { metadata: { name: 'n' } };
  const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }];
  await send('POST', '/api/v1/nodes', node);
  const status = { addresses, daemonEndpoints: { kubeletEndpoint: { Port: port } } };
  await send('PUT', '/api/v1/nodes/n/status', { ...node, status });
  const spec = { containers: [{ name: 'c', image: 'x' }], nodeName: 'n' };
  await send('POST', '/api/v1/namespaces/default/pods', { metadata: { name: 'p' }, spec });
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const rules = [{ apiGroups: [''], resources: ['pods/exec'], verbs: ['get'] }];
  await send('POST', `${rbac}/clusterroles`, { metadata: { name: 'look' }, rules });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'look' };
  const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'looker' }];
  await send('POST', `${rbac}/clusterrolebindings`, { metadata: { name: 'look' }, roleRef, subjects });
});
after(async () => {
  await new Promise((resolve) => kubelet.close(resolve));
  await server.close();
  await store.close();
});

interface Client {
  readonly socket: WebSocket;
  /** What came by each channel. */
  readonly by: string[];
  /** Every message, as text. */
  readonly messages: string[];
  closed: boolean;
}

/** A client that is connected, and the runtime that it is connected to. */
async function connect(path: string, protocols: string[]): Promise<{ client: Client; runtime: Runtime }> {
  runtime = undefined;
  const socket = new WebSocket(`wss://127.0.0.1:${server.port}${path}`, protocols, identity);
  const client: Client = { socket, by: ['', '', '', '', ''], messages: [], closed: false };
  socket.on('message', (data) => {
    const message = data as Buffer;
    client.by[message[0]!] += message.toString('utf8', 1);
    client.messages.push(message.toString('latin1'));
  });
  socket.on('close', () => {
    client.closed = true;
  });
  await once(socket, 'open');
  return { client, runtime: await until('the runtime is asked', () => runtime) };
}

const on = (channel: number, text: string): Buffer => Buffer.concat([Buffer.from([channel]), Buffer.from(text)]);

test('exec: each channel is a stream, an ended input ends, the status goes last', async () => {
  const query = 'stdin=true&stdout=true&stderr=true&command=a';
  const { client, runtime } = await connect(`${POD}/exec?${query}`, ['v5.channel.k8s.io', 'v4.channel.k8s.io']);
  assert.equal(client.socket.protocol, 'v5.channel.k8s.io');
  assert.deepEqual(
    [runtime.protocols, runtime.url],
    ['v4.channel.k8s.io', 'POST /exec/default/p/c?input=1&output=1&error=1&command=a'],
  );
  await until('all streams are there', () => runtime.types.size === 4);
  assert.deepEqual([...runtime.types.keys()], ['error', 'stdin', 'stdout', 'stderr']);
  await until('the client is told that it is connected', () => client.messages.includes('\x01'));
  client.socket.send(on(0, 'given '));
  client.socket.send(on(0, 'more'));
  client.socket.send(Buffer.from([255, 0]));
  const stdin = runtime.types.get('stdin')!;
  await until('the input has ended', () => runtime.ended.has(stdin));
  assert.equal(runtime.input.get(stdin), 'given more');
  runtime.control(6, Buffer.from([0, 0, 0, 2]));
  runtime.say('stdout', 'out');
  runtime.say('stderr', 'err', true);
  runtime.say('error', '{"status":"Failure"}', true);
  await until('the ping is answered', () => runtime.pings.includes(2));
  assert.equal(client.by[3], '', 'output may still come');
  runtime.say('stdout', 'put', true);
  await until('the client is told the end', () => client.closed);
  assert.deepEqual(client.by.slice(1, 4), ['output', 'err', '{"status":"Failure"}']);
  await until('the connection to the kubelet is closed', () => runtime.closed);
});

test('attach with a terminal: one output, and its size', async () => {
  const path = `${POD}/attach?stdin=true&stdout=true&stderr=true&tty=true`;
  const { client, runtime } = await connect(path, ['v5.channel.k8s.io']);
  await until('all streams are there', () => runtime.types.size === 4);
  assert.deepEqual([...runtime.types.keys()], ['error', 'stdin', 'stdout', 'resize']);
  client.socket.send(on(4, '{"Width":80,"Height":24}'));
  const resize = runtime.types.get('resize')!;
  await until('the size is passed on', () => runtime.input.get(resize) === '{"Width":80,"Height":24}');
  client.socket.close();
  await until('the connection to the kubelet is closed', () => runtime.closed);
});

test('a connection that breaks behind is a failure with a status, and what no stream is meant for is passed over', async () => {
  const { client, runtime } = await connect(`${POD}/exec?stdout=true&command=a`, ['v5.channel.k8s.io']);
  client.socket.send('text');
  client.socket.send(Buffer.alloc(0));
  client.socket.send(on(0, 'no input was asked for'));
  await until('all streams are there', () => runtime.types.size === 2);
  runtime.end();
  await until('the client is told', () => client.closed);
  const status = JSON.parse(client.by[3]!);
  assert.deepEqual([status.status, status.code, status.reason], ['Failure', 500, 'InternalError']);
});

test('port-forward: SPDY in binary messages, both ways', async () => {
  runtime = undefined;
  // By hand: the name has a slash, which the library takes for a mistake.
  const protocol = 'SPDY/3.1+portforward.k8s.io';
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
    'sec-websocket-protocol': protocol,
  };
  const request = httpsRequest({
    host: '127.0.0.1',
    port: server.port,
    path: `${POD}/portforward`,
    headers,
    ...identity,
  });
  request.end();
  const [answer, socket, head] = (await once(request, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
  assert.equal(answer.headers['sec-websocket-protocol'], protocol);
  let received = head.toString('latin1');
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const kept = await until('the runtime is asked', () => runtime);
  assert.deepEqual([kept.protocols, kept.url], ['portforward.k8s.io', 'POST /portForward/default/p']);
  const frame = Buffer.from('\0\0\0\x01\x01\0\0\x02hi', 'latin1');
  const masked = Buffer.concat([Buffer.from([0x82, 0x80 | frame.length, 0, 0, 0, 0]), frame]);
  socket.write(masked);
  await until('a frame is through', () => kept.ended.has(1));
  assert.equal(kept.input.get(1), 'hi');
  kept.raw('anything');
  await until('what it says comes in a binary message', () => received === '\x82\x08anything');
  kept.end();
  await until('the end comes as a close message', () => received.startsWith('\x88', 10));
  socket.destroy();
});

test('what the kubelet declines is the client’s answer; a GET is not enough to do something', async () => {
  declines = true;
  const open = async (path: string, headers: object): Promise<number> => {
    const options = { headers: headers as { [name: string]: string } };
    const socket = new WebSocket(`wss://127.0.0.1:${server.port}${path}`, ['v5.channel.k8s.io'], {
      ...('authorization' in headers ? { ca: identity.ca } : identity),
      ...options,
    });
    socket.on('error', () => undefined);
    const opened = once(socket, 'open').then(
      () => 101,
      () => 0,
    );
    const refused = once(socket, 'unexpected-response').then(
      ([, response]) => {
        response.resume();
        return response.statusCode as number;
      },
      () => 0,
    );
    const code = await Promise.race([opened, refused]);
    socket.terminate();
    return code;
  };
  const path = `${POD}/exec?stdout=true&command=a`;
  assert.equal(await open(path, {}), 404);
  declines = false;
  assert.equal(await open(path, { authorization: 'Bearer look' }), 403);
});

test('a log is read in messages, the first of them empty, as it is or in base64', async () => {
  const read = async (protocols: string[]): Promise<{ protocol: string; messages: string[] }> => {
    const socket = new WebSocket(`wss://127.0.0.1:${server.port}${POD}/log?container=c`, protocols, identity);
    const messages: string[] = [];
    socket.on('message', (data) => messages.push((data as Buffer).toString()));
    await once(socket, 'close');
    return { protocol: socket.protocol, messages };
  };
  assert.deepEqual(await read(['binary.k8s.io']), { protocol: 'binary.k8s.io', messages: ['', 'said of c\n'] });
  assert.deepEqual(await read([]), { protocol: '', messages: ['', 'said of c\n'] });
  const { messages } = await read(['base64.binary.k8s.io']);
  assert.deepEqual(messages, ['', Buffer.from('said of c\n').toString('base64')]);
});
