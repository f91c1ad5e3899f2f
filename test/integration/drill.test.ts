// A drill on a real cluster of six hosts, and drills that are killed at any moment: the cluster is healed every time.
// `npm run drill:kills` kills 20 (DRILL_KILLS), at moments by DRILL_SEED.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '../../src/lib/random.ts';
import { BUNDLE, eventually, run } from './harness.ts';
import { RealCluster } from './real-cluster.ts';

const KILLS = Number(process.env.DRILL_KILLS ?? 2);
/** Of the moments at which they are killed. */
const SEED = Number(process.env.DRILL_SEED ?? Date.now() % 1e6);
/** Faults last 5 to 12 s. */
const WITHIN_MS = 9_000;
/** Whose traces last the longest, each of another kind. */
const VICTIMS = [
  'host-power',
  'host-cable',
  'etcd-leader-isolated',
  'packet-loss',
  'slow-network',
  'full-disk',
  'server-stop',
  'slow-disk',
  'cpu',
];

let cluster: RealCluster;

before(async () => {
  cluster = await RealCluster.prepare('drill');
  await cluster.tsukube(['up', '--ha', '--profile', 'fast'], { timeoutMs: 120_000 });
});

after(() => cluster?.stop());

test('a drill says what clients saw, keeps it, and writes its reports', async () => {
  const page = join(cluster.directory, 'page.html');
  const xml = join(cluster.directory, 'junit.xml');
  const args = ['drill', 'run', 'server-kill', '--objective', 'writes<30s,recover<60s', '--html', page, '--junit', xml];
  const said = await cluster.tsukube(args, { timeoutMs: 240_000 });
  assert.match(said, /server-kill +passed/);
  assert.match(await readFile(page, 'utf8'), /<svg/);
  assert.match(await readFile(xml, 'utf8'), /<testcase name="server-kill"/);
  const kept = JSON.parse(await cluster.tsukube(['drill', 'report', '--json'])) as { drill: string; outcome: string }[];
  assert.deepEqual(
    kept.map(({ drill, outcome }) => [drill, outcome]),
    [['server-kill', 'passed']],
  );
});

test('Ctrl-C heals what is broken, and ends', async () => {
  const drill = startDrill('host-power');
  await faultBegins(drill);
  drill.kill('SIGINT');
  const [code] = (await once(drill, 'exit')) as [number];
  assert.equal(code, 130);
  assert.equal(existsSync(journal()), false);
  await healed('Ctrl-C');
});

test('a Drill is run, refuses others meanwhile, and heals when it is aborted', async () => {
  const drill = (name: string, spec: object): object => ({
    apiVersion: 'drills.tsukube.dev/v1alpha1',
    kind: 'Drill',
    metadata: { name },
    spec,
  });
  const status = (name: string): Promise<string> =>
    cluster.field(`drill ${name}`, '{.status.phase}: {.status.message}');
  await cluster.apply(drill('first', { drills: ['host-cable'] }), drill('second', { drills: ['server-kill'] }));
  await eventually(
    'the cable is pulled',
    async () => existsSync(journal()) && /unplug|cable/.test(readText(journal())),
  );
  const refused = await run(process.execPath, [BUNDLE, 'drill', 'run', 'server-kill'], { env: cluster.env });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /a drill runs on this cluster \(process \d+\)/);
  await eventually('it waits', async () => (await status('second')) === 'Pending: Drill "first" runs', 60_000);
  await cluster.kubectl(['patch', 'drill', 'second', '--type=merge', '-p', '{"spec":{"abort":true}}']);
  await cluster.kubectl(['patch', 'drill', 'first', '--type=merge', '-p', '{"spec":{"abort":true}}']);
  await eventually('it is aborted', async () => (await status('first')) === 'Aborted: aborted', 60_000);
  assert.equal(await status('second'), 'Aborted: aborted before it began');
  await healed('an aborted Drill');
});

test(`${KILLS} drills are killed, and the cluster is healed each time`, async (t) => {
  t.diagnostic(`seed ${SEED}`);
  const random = seededRandom(SEED);
  for (let round = 0; round < KILLS; round++) {
    const victim = VICTIMS[round % VICTIMS.length]!;
    const drill = startDrill(victim);
    await faultBegins(drill);
    // From the very beginning of the fault until after its healing.
    const atMs = Math.round(random.next() * WITHIN_MS);
    await pause(atMs);
    drill.kill('SIGKILL');
    const began = performance.now();
    const { undoneMs } = await healed(`${round + 1}: ${victim}`);
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
    const wholeMs = performance.now() - began;
    t.diagnostic(
      `kill ${round + 1}: ${victim}, ${seconds(atMs)} after its fault began: ` +
        `undone after ${seconds(undoneMs)}, whole after ${seconds(wholeMs)}`,
    );
  }
});

function startDrill(name: string): ChildProcess {
  return spawn(process.execPath, [BUNDLE, 'drill', 'run', name, '--keep'], {
    env: { ...process.env, ...cluster.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

function journal(): string {
  return join(cluster.root, 'drills', 'undo.json');
}

/** Resolves when the drill says what it breaks: the fault is written down, and begins. */
function faultBegins(drill: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    drill.stderr!.on('data', (part: Buffer) => {
      text += part.toString();
      if (/^ {2}.*: (?:cp|worker)-\d/m.test(text)) resolve();
    });
    drill.once('exit', (code) => reject(new Error(`the drill ended with ${code}: ${text}`)));
  });
}

async function healed(what: string): Promise<{ readonly undoneMs: number }> {
  const began = performance.now();
  await eventually(`${what}: everything is undone`, async () => !existsSync(journal()), 60_000);
  const undoneMs = performance.now() - began;
  await eventually(
    `${what}: the cluster is well`,
    async () => (await run(process.execPath, [BUNDLE, 'status'], { env: cluster.env })).code === 0,
    90_000,
  );
  assert.deepEqual(traces(), [], what);
  return { undoneMs };
}

/** What a fault leaves while it lasts: rules, stopped processes, mounts, loops, relays. */
function traces(): readonly string[] {
  const found: string[] = [];
  for (const script of ['init.sh', 'switch.sh']) {
    for (const pid of processesOf(script)) {
      const rules = execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'nft', 'list', 'tables'], {
        encoding: 'utf8',
      });
      found.push(...rules.split('\n').filter((line) => /drill|partition/.test(line)));
      if (readFileSync(`/proc/${pid}/mounts`, 'utf8').includes('drill ')) found.push(`process ${pid} has a mount`);
    }
  }
  found.push(...globSync(`${cluster.root}/hosts/*/drill/*.pid`));
  const units = ['etcd', 'server', 'agent', 'haproxy', 'keepalived'];
  for (const pid of allPids()) {
    const command = readText(`/proc/${pid}/cmdline`);
    if (!command.includes(cluster.directory) || !units.some((unit) => command.includes(unit))) continue;
    if (/^State:\s+T/m.test(readText(`/proc/${pid}/status`))) found.push(`stopped: ${command.replaceAll('\0', ' ')}`);
  }
  return found;
}

function processesOf(script: string): readonly string[] {
  return allPids().filter((pid) => {
    const words = readText(`/proc/${pid}/cmdline`).split('\0');
    return words[1]?.startsWith(cluster.root) === true && words[1].endsWith(script);
  });
}

function allPids(): readonly string[] {
  return globSync('/proc/[0-9]*').map((path) => path.slice('/proc/'.length));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
