// Streams to containers by every protocol that clients come with: WebSockets as kubectl has used them since 1.31, the channel
// protocol by hand, and SPDY. Attach, debug and run too.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { eventually, kubectlPath, run } from './harness.ts';
import { fetchOnce, RealCluster, WEB_1 } from './real-cluster.ts';

let cluster: RealCluster;
const kubectl = (...args: string[]): Promise<string> => cluster.kubectl(args);

before(async () => {
  cluster = await RealCluster.start('streams');
  await kubectl('run', 'web', `--image=${WEB_1}`);
  const echo = 'while read x; do echo "said $x"; done; echo over';
  await kubectl(
    'run',
    'echo',
    `--image=${WEB_1}`,
    '--stdin',
    '--attach=false',
    '--restart=Never',
    '--command',
    '--',
    'sh',
    '-c',
    echo,
  );
  await cluster.ready('web');
  await cluster.ready('echo');
});
after(() => cluster?.stop());

interface Session {
  readonly protocol: string;
  readonly out: string;
  readonly err: string;
  readonly status: { readonly status: string; readonly reason?: string; readonly details?: object } | undefined;
}

/** One exec in v5.channel.k8s.io, spoken by hand: sends the input, then says that it is all. */
async function channels(query: string, input: string): Promise<Session> {
  const config = JSON.parse(await kubectl('config', 'view', '--raw', '-o', 'json'));
  const user = config.users[0].user;
  const { server, 'certificate-authority-data': ca } = config.clusters[0].cluster;
  const pem = (data: string): string => Buffer.from(data, 'base64').toString();
  const url = `${server.replace('https', 'wss')}/api/v1/namespaces/default/pods/web/exec?${query}`;
  const tls = { ca: pem(ca), cert: pem(user['client-certificate-data']), key: pem(user['client-key-data']) };
  const socket = new WebSocket(url, ['v5.channel.k8s.io'], tls);
  const received: Buffer[][] = [[], [], [], []];
  socket.on('message', (data) => {
    const message = data as Buffer;
    received[message[0]!]!.push(message.subarray(1));
  });
  await once(socket, 'open');
  if (query.includes('stdin')) {
    socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(input)]));
    socket.send(Buffer.from([255, 0]));
  }
  await once(socket, 'close');
  const [, out, err, status] = received.map((parts) => Buffer.concat(parts).toString());
  return {
    protocol: socket.protocol,
    out: out!,
    err: err!,
    status: status === '' ? undefined : JSON.parse(status!),
  };
}

const command = (line: string): string => ['sh', '-c', line].map((c) => `command=${encodeURIComponent(c)}`).join('&');

describe('the channel protocol', () => {
  test('input ends where the client says; output, errors and the status come by their channels', async () => {
    const line = 'md5sum; echo problem >&2; exit 7';
    const input = 'line\n'.repeat(50_000);
    const session = await channels(`stdin=true&stdout=true&stderr=true&${command(line)}`, input);
    const sum = (await run('md5sum', [], { input })).stdout.slice(0, 32);
    assert.deepEqual([session.protocol, session.out, session.err], ['v5.channel.k8s.io', `${sum}  -\n`, 'problem\n']);
    assert.deepEqual([session.status?.status, session.status?.reason], ['Failure', 'NonZeroExitCode']);
    assert.deepEqual(session.status?.details, { causes: [{ reason: 'ExitCode', message: '7' }] });
  });

  test('what succeeds says so, and a large output arrives whole', async () => {
    const session = await channels(`stdout=true&${command('head -c 20000000 /dev/zero | tr "\\0" x')}`, '');
    assert.equal(session.out.length, 20_000_000);
    assert.equal(session.status?.status, 'Success');
  });
});

describe('kubectl over WebSockets and over SPDY', () => {
  for (const webSockets of ['true', 'false']) {
    const env = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets, KUBECTL_PORT_FORWARD_WEBSOCKETS: webSockets };

    test(`exec, with its exit code; cp (WebSockets: ${webSockets})`, async () => {
      const run = (args: string[], input?: string) =>
        cluster.kubectlRun(args, { env, ...(input !== undefined && { input }) });
      const exec = await run(['exec', '-i', 'web', '--', 'sh', '-c', 'cat; echo err >&2; exit 3'], 'given');
      assert.deepEqual([exec.code, exec.stdout], [3, 'given']);
      assert.equal(exec.stderr, 'err\ncommand terminated with exit code 3\n');
      const file = join(cluster.directory, `file-${webSockets}`);
      await writeFile(file, Buffer.alloc(3_000_000, 'content '));
      assert.equal((await run(['cp', file, 'web:/tmp/file'])).code, 0);
      assert.equal((await run(['cp', 'web:/tmp/file', `${file}.back`])).code, 0);
      assert.ok((await readFile(`${file}.back`)).equals(await readFile(file)));
    });

    test(`port-forward (WebSockets: ${webSockets})`, async () => {
      const child = cluster.kubectlStart(['port-forward', 'pod/web', ':80'], { env });
      try {
        const port = await eventually('it listens', async () => /127\.0\.0\.1:(\d+) -> 80/.exec(child.output())?.[1]);
        const names = await Promise.all(Array.from({ length: 8 }, () => fetchOnce(`http://127.0.0.1:${port}/`)));
        assert.deepEqual(new Set(names), new Set(['web']));
      } finally {
        child.kill();
      }
    });
  }
});

describe('attach, run and debug', () => {
  test('attach gives input to the container and shows what it says', async () => {
    const attached = await cluster.kubectlRun(['attach', '-i', 'echo'], { input: 'one\ntwo\n' });
    assert.match(attached.stdout, /said one\nsaid two\n/);
    await eventually('the container ends with its input', async () => {
      return (await cluster.field('pod echo', '{.status.phase}')) === 'Succeeded';
    });
  });

  test('run -it --rm leaves no pod', async () => {
    const line = `${kubectlPath()} run once -it --rm --restart=Never --image=${WEB_1} --command -- sh -c "tty; sleep 2; echo done"`;
    const { stdout } = await run('script', ['-qec', line, '/dev/null'], { env: cluster.env });
    assert.match(stdout, /pod "once" deleted/);
    assert.equal((await cluster.kubectlRun(['get', 'pod', 'once'])).code, 1);
  });

  test('debug starts an ephemeral container in a running pod', async () => {
    await kubectl('debug', 'web', `--image=${WEB_1}`, '-c', 'look', '--', 'sh', '-c', 'echo looking; sleep 300');
    await eventually('it runs', async () => {
      const path = '{.status.ephemeralContainerStatuses[?(@.name=="look")].state.running.startedAt}';
      return (await cluster.field('pod web', path)) !== '';
    });
    await eventually('its log is there', async () => (await kubectl('logs', 'web', '-c', 'look')) === 'looking');
    const { stdout } = await cluster.kubectlRun(['exec', 'web', '-c', 'look', '--', 'echo', 'inside']);
    assert.equal(stdout, 'inside\n');
  });
});
