// npm run bench:churn: objects are made, changed and deleted for some minutes in a whole server. What it holds after
// each round, garbage collected, is told; it fails when that grows with the number of writes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Access, call, startOurs } from './contestant.ts';
import { Inspected } from './inspected.ts';
import { prepareObjects } from './operations.ts';
import { memoryMiB } from './usage.ts';

const USAGE = `npm run bench:churn -- [options]
  --minutes N      how long (default: 5)
  --objects N      of each kind, made, changed and deleted in a round (default: 250)
  --growth N       bytes for each write that may remain, on average of the second half (default: 100)
  --port N         first of ten ports (default: 19440)
  --bundle FILE    the program (default: dist/main.js)`;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    objects: { type: 'string', default: '250' },
    growth: { type: 'string', default: '100' },
    port: { type: 'string', default: '19440' },
    bundle: { type: 'string', default: 'dist/main.js' },
    help: { type: 'boolean' },
  },
});
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}

interface Round {
  readonly writes: number;
  /** Live objects of the JavaScript heap and the buffers that they hold. */
  readonly heldBytes: number;
}

const LANES = 16;
/** Histories of changes fill at first. */
const WARM_UP = 0.5;
const metadata = (round: number, i: number) => ({ name: `churn-${round}-${i}`, labels: { app: 'churn' } });
/** Big, so that histories that are bounded by bytes are full soon. */
const PADDING = 'x'.repeat(10_000);
const container = { name: 'main', image: 'registry.example/churn:1', env: [{ name: 'PADDING', value: PADDING }] };

/** Of each kind: where, and what. Controllers follow the Deployments; nobody runs the pods. */
const KINDS: readonly { readonly path: string; readonly object: (round: number, i: number) => object }[] = [
  {
    path: '/api/v1/namespaces/bench/configmaps',
    object: (round, i) => ({ metadata: metadata(round, i), data: { padding: PADDING } }),
  },
  {
    path: '/api/v1/namespaces/bench/pods',
    object: (round, i) => ({
      metadata: metadata(round, i),
      spec: { schedulerName: 'nobody', terminationGracePeriodSeconds: 0, containers: [container] },
    }),
  },
  {
    path: '/apis/apps/v1/namespaces/bench/deployments',
    object: (round, i) => ({
      metadata: metadata(round, i),
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: `churn-${round}-${i}` } },
        template: {
          metadata: { labels: { app: `churn-${round}-${i}` } },
          spec: { containers: [container] },
        },
      },
    }),
  },
];

const directory = await mkdtemp(join(tmpdir(), 'tsukube-churn-'));
const port = Number(options.port);
const server = await startOurs({
  ...{ name: 'churn', directory, port, bundle: options.bundle },
  nodeOptions: [`--inspect=127.0.0.1:${port + 1}`],
});
try {
  const access = await prepareObjects(server);
  const inspected = await Inspected.open(port + 1);
  const rounds: Round[] = [];
  const end = performance.now() + Number(options.minutes) * 60_000;
  let writes = 0;
  for (let round = 0; performance.now() < end; round++) {
    for (const { path, object } of KINDS) writes += await churn(access, path, (i) => object(round, i));
    await emptied(access);
    const { usedMiB, buffersMiB } = await inspected.held();
    rounds.push({ writes, heldBytes: (usedMiB + buffersMiB) * 2 ** 20 });
    const { own } = memoryMiB([...server.processes.values()][0]!);
    const held = `${usedMiB.toFixed(1)} MiB in objects, ${buffersMiB.toFixed(1)} MiB in buffers`;
    process.stdout.write(`${writes} writes: held ${held}; ${own.toFixed(0)} MiB of memory\n`);
  }
  inspected.close();
  const grown = slope(rounds.slice(Math.floor(rounds.length * WARM_UP)));
  process.stdout.write(`${grown.toFixed(1)} bytes remain of a write\n`);
  process.exitCode = grown <= Number(options.growth) ? 0 : 1;
} finally {
  await server.close();
  await rm(directory, { recursive: true, force: true });
}

/** Makes, changes and deletes the objects; returns how many writes that were. */
async function churn(access: Access, path: string, object: (i: number) => object): Promise<number> {
  let next = 0;
  let writes = 0;
  const ask = async (method: string, at: string, body?: object): Promise<string> => {
    const answer = await call(access, method, at, body, { keepAlive: true });
    if (answer.status >= 300) throw new Error(`${method} ${at} was answered with ${answer.status}: ${answer.body}`);
    writes++;
    return answer.body;
  };
  const lane = async (): Promise<void> => {
    while (next < Number(options.objects)) {
      const made = JSON.parse(await ask('POST', path, object(next++)));
      const changed = { ...made, metadata: { ...made.metadata, resourceVersion: '', labels: { changed: 'yes' } } };
      await ask('PUT', `${path}/${made.metadata.name}`, changed);
      await ask('DELETE', `${path}/${made.metadata.name}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return writes;
}

/** Waits until the ReplicaSets have followed their Deployments. */
async function emptied(access: Access): Promise<void> {
  const path = '/apis/apps/v1/namespaces/bench/replicasets?limit=1';
  for (let tries = 0; JSON.parse((await call(access, 'GET', path)).body).items.length > 0; tries++) {
    if (tries > 600) throw new Error('the garbage collector leaves ReplicaSets behind');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Bytes a write, by least squares. */
function slope(rounds: readonly Round[]): number {
  const mean = (of: (round: Round) => number): number => rounds.reduce((sum, r) => sum + of(r), 0) / rounds.length;
  const [x, y] = [mean((r) => r.writes), mean((r) => r.heldBytes)];
  const above = rounds.reduce((sum, r) => sum + (r.writes - x) * (r.heldBytes - y), 0);
  const below = rounds.reduce((sum, r) => sum + (r.writes - x) ** 2, 0);
  if (below === 0) throw new Error('too few rounds to tell growth: give it more minutes');
  return above / below;
}
