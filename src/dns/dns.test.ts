// The server with real sockets on loopback, in front of a resolver of the test's own.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import dnsPacket, { type DecodedPacket, type Packet, type RecordType } from 'dns-packet';
import type { EndpointSlice } from '../api/generated/types.ts';
import type { Environment } from '../lib/environment.ts';
import { PlainInformers } from '../network/test-informers.ts';
import { realEnvironment } from '../platform/environment.ts';
import { runDns } from './dns.ts';
import type { Upstream } from './resolv-conf.ts';
import { serveDns } from './server.ts';

const HOST = '127.0.0.1';
type Resolve = (question: dnsPacket.Question, transport: string) => Partial<Packet> | undefined;

/** A resolver that answers as it is told, and counts. */
class Resolver {
  asked: string[] = [];
  port = 0;
  resolve: Resolve = (question) => ({
    answers: [{ type: 'A', name: question.name, ttl: 300, data: '192.0.2.1' }],
  });

  async listen(env: Environment, signal: AbortSignal): Promise<this> {
    this.port = await serveDns(
      {
        address: HOST,
        port: 0,
        clock: env.clock,
        log: env.log,
        respond: async (message, { transport }) => {
          const { id, questions } = dnsPacket.decode(message);
          this.asked.push(`${transport} ${questions![0]!.type} ${questions![0]!.name}`);
          const reply = this.resolve(questions![0]!, transport);
          return reply && dnsPacket.encode({ type: 'response', id: id!, questions: questions!, flags: 0x80, ...reply });
        },
      },
      signal,
    );
    return this;
  }

  get upstream(): Upstream {
    return { address: HOST, port: this.port };
  }
}

let abort: AbortController;
let env: Environment;
let informers: PlainInformers;
let resolver: Resolver;
let running: Promise<void>;

beforeEach(async () => {
  abort = new AbortController();
  env = realEnvironment('silent');
  informers = new PlainInformers();
  informers.put('namespaces', { metadata: { name: 'default' }, spec: {} });
  resolver = await new Resolver().listen(env, abort.signal);
});

afterEach(async () => {
  abort.abort();
  await running;
});

/** Starts the server; resolves with its port when it has all objects. */
function start(upstreams: readonly Upstream[] = [resolver.upstream]): Promise<number> {
  return new Promise((resolve, reject) => {
    const listening = ([port]: readonly number[]): void => void setImmediate(() => resolve(port!));
    running = runDns({ informers, env, addresses: [HOST], port: 0, upstreams, listening }, abort.signal);
    running.catch(reject);
  });
}

function overUdp(port: number, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', reject);
    socket.on('message', (reply) => {
      socket.close();
      resolve(reply);
    });
    socket.send(message, port, HOST);
  });
}

function question(name: string, type: RecordType, more: Partial<Packet> = {}): Buffer {
  return dnsPacket.encode({ type: 'query', id: 4711, flags: 0x100, questions: [{ name, type }], ...more });
}

type Answered = DecodedPacket & { rcode: string };

async function ask(port: number, name: string, type: RecordType = 'A'): Promise<Answered> {
  const decoded = dnsPacket.decode(await overUdp(port, question(name, type))) as Answered;
  assert.equal(decoded.id, 4711);
  assert.equal(decoded.questions![0]!.name, name);
  return decoded;
}

function askOverTcp(port: number, messages: readonly Buffer[]): Promise<DecodedPacket[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, HOST);
    const replies: DecodedPacket[] = [];
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length > 2 && received.length >= received.readUInt16BE(0) + 2) {
        const end = received.readUInt16BE(0) + 2;
        replies.push(dnsPacket.decode(received.subarray(2, end)));
        received = received.subarray(end);
      }
      if (replies.length === messages.length) {
        socket.destroy();
        resolve(replies);
      }
    });
    for (const message of messages) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(length);
      socket.write(message);
    }
  });
}

function headless(count: number): void {
  informers.put('services', { metadata: { name: 'db', namespace: 'default' }, spec: { clusterIP: 'None' } });
  const labels = { 'kubernetes.io/service-name': 'db' };
  const endpoints = Array.from({ length: count }, (_, i) => ({ addresses: [`10.244.${i >> 8}.${i & 255}`] }));
  const slice = { metadata: { name: 'db-a', namespace: 'default', labels }, endpoints, ports: [] };
  informers.put('endpointslices.discovery.k8s.io', { ...slice, addressType: 'IPv4' } as unknown as EndpointSlice);
}

test('names of the cluster are answered at once, and follow their objects', async () => {
  const port = await start();
  assert.equal((await ask(port, 'web.default.svc.cluster.local')).rcode, 'NXDOMAIN');
  const spec = { clusterIP: '10.96.0.7', ports: [{ port: 80 }] };
  informers.put('services', { metadata: { name: 'web', namespace: 'default' }, spec });
  const reply = await ask(port, 'WEB.default.svc.cluster.local');
  assert.equal(reply.rcode, 'NOERROR');
  assert.ok(reply.flag_aa);
  assert.deepEqual(
    reply.answers!.map((record) => 'data' in record && record.data),
    ['10.96.0.7'],
  );
  assert.deepEqual(resolver.asked, []);
});

test('an answer that is too large for UDP is whole over TCP, many on one connection', async () => {
  headless(200);
  const port = await start();
  const cut = await ask(port, 'db.default.svc.cluster.local');
  assert.ok(cut.flag_tc);
  const asked = question('db.default.svc.cluster.local', 'A');
  const [first, second] = await askOverTcp(port, [asked, asked]);
  assert.equal(first!.flag_tc, false);
  assert.equal(first!.answers!.length, 200);
  const order = (packet: DecodedPacket): string => JSON.stringify(packet.answers);
  assert.notEqual(order(first!), order(second!), 'clients that take the first are spread');
});

test('other names are resolved outside, and kept for a while', async () => {
  const port = await start();
  const [one, two] = [await ask(port, 'example.org'), await ask(port, 'EXAMPLE.org')];
  for (const reply of [one, two]) {
    assert.equal(reply.rcode, 'NOERROR');
    assert.equal(reply.flag_aa, false);
    assert.deepEqual(
      reply.answers!.map((record) => 'data' in record && record.data),
      ['192.0.2.1'],
    );
  }
  assert.deepEqual(resolver.asked, ['udp A example.org']);
  const hits = await env.metrics.getSingleMetric('coredns_cache_hits_total')!.get();
  assert.equal(hits.values[0]!.value, 1);
});

test('that there is no such name is kept too; that a resolver failed is not', async () => {
  const soa = { mname: 'ns.org', rname: 'root.org', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 60 };
  resolver.resolve = (asked) =>
    asked.name.startsWith('no')
      ? { flags: 0x80 | 3, authorities: [{ type: 'SOA', name: 'org', ttl: 60, data: soa }] }
      : { flags: 0x80 | 2 };
  const port = await start();
  for (const name of ['no.org', 'no.org', 'bad.org', 'bad.org']) await ask(port, name);
  assert.deepEqual(resolver.asked, ['udp A no.org', 'udp A bad.org', 'udp A bad.org']);
  assert.equal((await ask(port, 'no.org')).rcode, 'NXDOMAIN');
  assert.equal((await ask(port, 'bad.org')).rcode, 'SERVFAIL');
});

test('an external name comes with its addresses, since some clients follow no alias', async () => {
  const spec = { type: 'ExternalName', externalName: 'example.org' } as const;
  informers.put('services', { metadata: { name: 'out', namespace: 'default' }, spec });
  const reply = await ask(await start(), 'out.default.svc.cluster.local');
  assert.deepEqual(
    reply.answers!.map((record) => `${record.name} ${record.type}`),
    ['out.default.svc.cluster.local CNAME', 'example.org A'],
  );
});

test('a resolver that does not listen is passed over, and asked last from then on', async () => {
  const closed = createSocket('udp4');
  await new Promise<void>((resolve) => closed.bind(0, HOST, resolve));
  const dead = { address: HOST, port: closed.address().port };
  await new Promise<void>((resolve) => closed.close(() => resolve()));
  const port = await start([dead, resolver.upstream]);
  assert.equal((await ask(port, 'one.org')).rcode, 'NOERROR');
  assert.equal((await ask(port, 'two.org')).rcode, 'NOERROR');
  const failures = await env.metrics.getSingleMetric('coredns_proxy_healthcheck_failures_total')!.get();
  assert.deepEqual(
    failures.values.map((value) => value.value),
    [1],
  );
});

test('a resolver that cannot be reached from here is passed over, and ends nobody', async () => {
  // To the broadcast address no socket may be connected: as without a route the system refuses at once.
  const unreachable = { address: '255.255.255.255', port: 53 };
  const port = await start([unreachable, resolver.upstream]);
  assert.equal((await ask(port, 'example.org')).rcode, 'NOERROR');
  abort.abort();
  await running;
  abort = new AbortController();
  assert.equal((await ask(await start([unreachable]), 'example.org')).rcode, 'SERVFAIL');
});

test('with nobody to ask the answer is a failure, not that there is no such name', async () => {
  assert.equal((await ask(await start([]), 'example.org')).rcode, 'SERVFAIL');
});

test('over TCP the resolver is asked over TCP', async () => {
  const port = await start();
  const [reply] = await askOverTcp(port, [question('example.org', 'A')]);
  assert.equal(reply!.answers!.length, 1);
  assert.deepEqual(resolver.asked, ['tcp A example.org']);
});

test('until all objects are known nothing is said about names of the cluster', async () => {
  informers.start = () => new Promise(() => undefined);
  const port = await start();
  assert.equal((await ask(port, 'web.default.svc.cluster.local')).rcode, 'SERVFAIL');
  assert.equal((await ask(port, 'example.org')).rcode, 'NOERROR');
});

test('what is not a question is not answered, and harms nobody', async () => {
  const port = await start();
  const noise = createSocket('udp4');
  const response = question('example.org', 'A');
  response[2] = 0x80;
  for (const message of [Buffer.from('x'), response, Buffer.alloc(600, 0xff)]) noise.send(message, port, HOST);
  const malformed = await overUdp(port, question('example.org', 'A').subarray(0, 20));
  assert.equal((dnsPacket.decode(malformed) as Answered).rcode, 'FORMERR');
  assert.equal((await ask(port, 'cluster.local', 'SOA')).rcode, 'NOERROR');
  noise.close();
});

test('questions are counted under the names of CoreDNS', async () => {
  const port = await start();
  await ask(port, 'cluster.local', 'SOA');
  await ask(port, 'example.org', 'A');
  const text = await env.metrics.metrics();
  const server = 'server="dns://127.0.0.1:0"';
  for (const line of [
    `coredns_dns_requests_total{${server},zone="cluster.local.",view="",proto="udp",family="1",type="SOA"} 1`,
    `coredns_dns_responses_total{${server},zone=".",view="",rcode="NOERROR",plugin="forward"} 1`,
    `coredns_dns_request_duration_seconds_count{${server},zone="cluster.local.",view=""} 1`,
    'coredns_proxy_request_duration_seconds_count{proxy_name="forward",',
  ]) {
    assert.ok(text.includes(line), `${line} is missing in\n${text}`);
  }
});
