// npm run bench:churn: objects are made, changed and deleted in a whole server, first until its history of changes is full,
// which is what a write may leave behind, then for some minutes. What the server holds after each round, garbage
// collected, is told, and how many Events live on for their hour; it fails when it still grows with the number of writes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HISTORY_EVENTS, HISTORY_SLACK } from '../../src/store/local.ts';
import { type Access, call, startOurs } from './contestant.ts';
import { Inspected } from './inspected.ts';
import { prepareObjects } from './operations.ts';
import { memoryMiB } from './usage.ts';

const USAGE = `npm run bench:churn -- [options]
  --minutes N      how long, once history is full (default: 4)
  --objects N      of each kind, made, changed and deleted in a round (default: 250)
  --growth N       bytes for each write that may remain once history is full (default: 40)
  --port N         first of ten ports (default: 19440)
  --bundle FILE    the program (default: dist/main.js)`;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '4' },
    objects: { type: 'string', default: '250' },
    growth: { type: 'string', default: '40' },
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
  /** The store's: so many changes were made, of which it keeps the last FULL_HISTORY at most. */
  readonly revision: number;
  /** Live objects of the JavaScript heap and the buffers that they hold. */
  readonly heldBytes: number;
}

const LANES = 16;
/** What the store keeps for watches that resume. */
const FULL_HISTORY = HISTORY_EVENTS + HISTORY_SLACK;
/** The rounds before this revision warm up what is compiled and cached. */
const WARM_REVISION = 20_000;
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
  let writes = 0;
  let end = Number.POSITIVE_INFINITY;
  for (let round = 0; performance.now() < end; round++) {
    for (const { path, object } of KINDS) writes += await churn(access, path, (i) => object(round, i));
    await emptied(access);
    const { usedMiB, buffersMiB } = await inspected.held();
    const { revision, events } = await counted(access);
    rounds.push({ writes, revision, heldBytes: (usedMiB + buffersMiB) * 2 ** 20 });
    const { own } = memoryMiB([...server.processes.values()][0]!);
    const held = `${usedMiB.toFixed(1)} MiB in objects, ${buffersMiB.toFixed(1)} MiB in buffers`;
    process.stdout.write(
      `${writes} writes, revision ${revision}, ${events} Events: held ${held}; ${own.toFixed(0)} MiB of memory\n`,
    );
    if (revision >= FULL_HISTORY && end === Number.POSITIVE_INFINITY) {
      end = performance.now() + Number(options.minutes) * 60_000;
    }
  }
  inspected.close();
  const filling = rounds.filter(({ revision }) => revision > WARM_REVISION && FULL_HISTORY > revision);
  const full = rounds.filter(({ revision }) => revision >= FULL_HISTORY);
  const kept = slope(filling, (round) => round.revision);
  const grown = slope(full, (round) => round.writes);
  const most = (kept * FULL_HISTORY) / 2 ** 20;
  process.stdout.write(
    `a change in the store's history takes ${kept.toFixed(0)} bytes, a full history ${most.toFixed(0)} MiB\n` +
      `once it is full ${grown.toFixed(1)} bytes remain of a write\n`,
  );
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

/** The store's revision, and the Events that live on: each stays for its hour and no longer. */
async function counted(access: Access): Promise<{ readonly revision: number; readonly events: number }> {
  const { body } = await call(access, 'GET', '/api/v1/events?limit=1');
  const { metadata, items } = JSON.parse(body);
  return { revision: Number(metadata.resourceVersion), events: items.length + (metadata.remainingItemCount ?? 0) };
}

/** Bytes held for each of what is counted, by least squares. */
function slope(rounds: readonly Round[], count: (round: Round) => number): number {
  const mean = (of: (round: Round) => number): number => rounds.reduce((sum, r) => sum + of(r), 0) / rounds.length;
  const [x, y] = [mean(count), mean((r) => r.heldBytes)];
  const above = rounds.reduce((sum, r) => sum + (count(r) - x) * (r.heldBytes - y), 0);
  const below = rounds.reduce((sum, r) => sum + (count(r) - x) ** 2, 0);
  if (!(below > 0)) throw new Error('too few rounds to tell growth: give it more minutes or fewer objects');
  return above / below;
}
