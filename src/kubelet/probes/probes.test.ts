import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import type { ProbeHandler } from '../../api/generated/types.ts';
import type { EventRecorder } from '../../client/event-recorder.ts';
import { testEnvironment } from '../../client/test-cluster.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { type CriClient, CriError } from '../cri/client.ts';
import { PodEvents } from '../events.ts';
import { aContainer, aPod, observed, seen } from '../pod/fixtures.ts';
import { type ProbeResult, probeURL, runHandler } from './handlers.ts';
import { ProbeManager } from './manager.ts';

let server: Server;
let port: number;
before(async () => {
  server = createServer((request, response) => {
    if (request.url === '/slow') return;
    if (request.url === '/away') response.setHeader('location', 'http://elsewhere.example/');
    if (request.url === '/on') response.setHeader('location', '/ok');
    const codes: { [path: string]: number } = { '/ok': 200, '/bad': 500, '/on': 302, '/away': 302 };
    response.statusCode = request.headers['x-fail'] ? 503 : (codes[request.url!] ?? 404);
    response.end(request.headers['user-agent']);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

type Exec = CriClient['execSync'];
const exec = (answer: () => Promise<{ exitCode: number; stdout: string }>): CriClient => {
  const execSync: Exec = async () => {
    const { exitCode, stdout } = await answer();
    return { exitCode, stdout: Buffer.from(stdout), stderr: Buffer.alloc(0) };
  };
  return { execSync } as unknown as CriClient;
};
const nobody = exec(async () => ({ exitCode: 0, stdout: '' }));

function ask(handler: ProbeHandler, cri = nobody, clock = new FakeClock()): Promise<ProbeResult> {
  const container = aContainer('main', { ports: [{ name: 'http', containerPort: port }] });
  const target = { container, containerId: 'c', podIP: '127.0.0.1' };
  return runHandler(handler, target, { cri, clock, timeoutMs: 1000, signal: new AbortController().signal });
}

test('HTTP: codes, redirects, headers, named ports', async () => {
  const get = (path: string, more = {}): Promise<ProbeResult> => ask({ httpGet: { path, port: 'http', ...more } });
  assert.deepEqual(await get('/ok'), { outcome: 'success', message: 'kube-probe/1.36' });
  assert.deepEqual(await get('/bad'), { outcome: 'failure', message: 'HTTP probe failed with statuscode: 500' });
  assert.equal((await get('/on')).outcome, 'success');
  assert.equal((await get('/away')).outcome, 'success');
  const failing = { httpHeaders: [{ name: 'X-Fail', value: '1' }] };
  assert.equal((await get('/ok', failing)).message, 'HTTP probe failed with statuscode: 503');
  assert.equal((await ask({ httpGet: { port: 'nope' } })).outcome, 'error');
  const target = { container: aContainer('c'), containerId: '', podIP: 'fd00::1' };
  assert.equal(probeURL({ port: 8080, path: 'x?y=1' }, target, 8080).href, 'http://[fd00::1]:8080/x?y=1');
});

test('what does not answer in time, or not at all, is a failure in upstream words', async () => {
  const clock = new FakeClock();
  const slow = ask({ httpGet: { path: '/slow', port } }, nobody, clock);
  await clock.advance(1000);
  const late = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  assert.deepEqual(await slow, { outcome: 'failure', message: `Get "http://127.0.0.1:${port}/slow": ${late}` });
  assert.deepEqual(await ask({ tcpSocket: { port: 1 } }), {
    outcome: 'failure',
    message: 'dial tcp 127.0.0.1:1: connect: connection refused',
  });
  assert.equal((await ask({ tcpSocket: { port } })).outcome, 'success');
  assert.match(
    (await ask({ grpc: { port: 1 } })).message,
    /^timeout: failed to connect service "127\.0\.0\.1:1" within 1s/,
  );
});

test('gRPC health, over the wire', async () => {
  const grpc = new GrpcServer();
  // HealthCheckRequest { service = 1 } and HealthCheckResponse { status = 1 } by hand: 1 is SERVING, 2 NOT_SERVING.
  const method = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: (request: string) => Buffer.from(request),
    requestDeserialize: (bytes: Buffer) => bytes.subarray(2).toString(),
    responseSerialize: (status: number) => Buffer.from([8, status]),
    responseDeserialize: (bytes: Buffer) => bytes[1]!,
  };
  grpc.addService(
    { Check: method },
    {
      Check: (call: { request: string }, done: (error: null, status: number) => void) =>
        done(null, call.request === 'up' ? 1 : 2),
    },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  try {
    assert.deepEqual(await ask({ grpc: { port: bound, service: 'up' } }), {
      outcome: 'success',
      message: 'service healthy',
    });
    const down = await ask({ grpc: { port: bound, service: 'down' } });
    assert.deepEqual(down, { outcome: 'failure', message: 'service unhealthy (responded with "NOT_SERVING")' });
  } finally {
    grpc.forceShutdown();
  }
});

test('commands: exit codes, output, timeouts', async () => {
  const run = (answer: () => Promise<{ exitCode: number; stdout: string }>) =>
    ask({ exec: { command: ['check', 'it'] } }, exec(answer));
  assert.deepEqual(await run(async () => ({ exitCode: 0, stdout: 'fine' })), { outcome: 'success', message: 'fine' });
  assert.deepEqual(await run(async () => ({ exitCode: 3, stdout: 'no' })), { outcome: 'failure', message: 'no' });
  const late = await run(() => Promise.reject(new CriError('ExecSync', 4, 'timeout')));
  assert.deepEqual(late, { outcome: 'failure', message: 'command timed out: "check it" timed out after 1s' });
  assert.equal((await run(() => Promise.reject(new CriError('ExecSync', 2, 'broken')))).outcome, 'error');
});

test('the loops of a pod: startup lets the others through, liveness fails after its threshold', async () => {
  const clock = new FakeClock();
  const healthy = { startup: false, liveness: true };
  const execSync: Exec = async (_id, [name]) => {
    const good = healthy[name as keyof typeof healthy];
    return { exitCode: good ? 0 : 1, stdout: Buffer.from(`${name} is down`), stderr: Buffer.alloc(0) };
  };
  const probe = (name: string, failureThreshold: number) => ({
    exec: { command: [name] },
    periodSeconds: 2,
    failureThreshold,
  });
  const container = aContainer('main', { startupProbe: probe('startup', 5), livenessProbe: probe('liveness', 2) });
  const pod = aPod({ containers: [container] });
  const messages: string[] = [];
  const recorder: EventRecorder = {
    event: (_s, _t, reason, message) => void messages.push(`${reason}: ${message}`),
    as: () => recorder,
  };
  const changes: string[] = [];
  const manager = new ProbeManager({
    env: testEnvironment(clock),
    cri: { execSync } as unknown as CriClient,
    events: new PodEvents(recorder),
    view: () => ({ pod, podIP: '', observed: observed([seen('main', { startedAtMs: clock.now() })]) }),
    onChange: (uid) => changes.push(uid),
  });
  manager.add(pod, () => false);
  const verdicts = manager.verdicts('u-1');
  await clock.advance(4_500);
  assert.deepEqual([verdicts.startup('id-main'), manager.isStarted('u-1', container, 'id-main')], ['unknown', false]);
  assert.deepEqual([...new Set(messages)], ['Unhealthy: Startup probe failed: startup is down']);
  healthy.startup = true;
  await clock.advance(2_000);
  assert.equal(manager.isStarted('u-1', container, 'id-main'), true);
  await clock.advance(2_000);
  assert.equal(verdicts.liveness('id-main'), 'success');
  healthy.liveness = false;
  await clock.advance(6_000);
  assert.equal(verdicts.liveness('id-main'), 'failure');
  assert.deepEqual(changes, ['u-1', 'u-1']);
  manager.remove('u-1');
  await clock.advance(10_000);
  assert.equal(clock.pending, 0);
});
