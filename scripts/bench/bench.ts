// npm run bench: what the control plane costs, beside upstream's when its binaries are given. Prints; asserts nothing.
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Access, type Contestant, call, startOurs } from './contestant.ts';
import { type Operation, operations, prepareObjects } from './operations.ts';
import { startPeer } from './peer.ts';
import type { Answer, LoadResult, Task } from './protocol.ts';
import { type Figure, type Idle, type Measured, median, table } from './report.ts';
import { memoryMiB, totalCpuMs } from './usage.ts';

const USAGE = `npm run bench -- [options]
  --peer DIR       measure upstream's kube-apiserver, kube-controller-manager and kube-scheduler in DIR too
  --out FILE       also write the table, in Markdown
  --only TEXT      only operations whose name has TEXT in it
  --protocol P     1 or 2: only HTTP/1.1 or HTTP/2
  --rounds N       how often each operation is measured; the median counts (default: 3)
  --seconds N      how long each time (default: 3)
  --starts N       how often the start is measured (default: 5)
  --idle N         seconds of the idle measurement; 0 leaves it out (default: 15)
  --port N         first of ten ports (default: 19440)
  --bundle FILE    the program (default: dist/main.js)
  --against FILE   another build of the program, measured in turn with this one
  --node-option O  for the program's runtime (may be repeated)`;

/** Before each measurement; on both sides. Compilers are done with what a server does for hours. */
const WARM_UP_MS = 4000;
/** After start and before idle is measured: informers are filled and compilers done. */
const SETTLE_MS = 10_000;

const { values: options } = parseArgs({
  options: {
    peer: { type: 'string' },
    out: { type: 'string' },
    only: { type: 'string', default: '' },
    protocol: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    starts: { type: 'string', default: '5' },
    idle: { type: 'string', default: '15' },
    port: { type: 'string', default: '19440' },
    bundle: { type: 'string', default: 'dist/main.js' },
    against: { type: 'string' },
    'node-option': { type: 'string', multiple: true },
    help: { type: 'boolean' },
  },
});
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}

const directory = await mkdtemp(join(tmpdir(), 'tsukube-bench-'));
/** Bytes of a list's body, by port and path. */
const listSizes = new Map<string, number>();
const running: { contestant: Contestant; access: Access; measured: Measured }[] = [];
const worker = fork(join(import.meta.dirname, 'load-worker.ts'), { stdio: 'inherit' });
try {
  await measureStartsAndIdle();
  const wanted = operations(
    options.protocol === undefined ? ['HTTP/1.1', 'HTTP/2'] : [options.protocol === '2' ? 'HTTP/2' : 'HTTP/1.1'],
  ).filter(({ name }) => name.includes(options.only));
  for (const { measured } of running) for (const each of wanted) measured.figures.set(figureKey(each), []);
  // Lists come first: what they need is told of processes that have done nothing else since their objects were made.
  const ordered = [...wanted.filter(isList), ...wanted.filter((each) => !isList(each))];
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const operation of ordered) {
      for (const one of running) {
        await measureOnce(one, operation);
        if (round === 0 && isList(operation)) one.measured.listPeaks.set(operation.protocol, memoryOf(one, 'peak'));
      }
    }
  }
  for (const one of running) {
    one.measured.peakMiB = memoryOf(one, 'peak');
    one.measured.ownMiB = memoryOf(one, 'own');
  }
  const text = table(running.map(({ measured }) => measured));
  process.stdout.write(`\n${text}`);
  if (options.out) await writeFile(options.out, text);
} finally {
  worker.kill();
  await Promise.all(running.map(({ contestant }) => contestant.close()));
  await rm(directory, { recursive: true, force: true });
}

/** Starts each contestant several times on an empty store; the last one stays, rests, and is measured at rest. */
async function measureStartsAndIdle(): Promise<void> {
  const port = Number(options.port);
  const nodeOptions = options['node-option'] ?? [];
  const ours = (name: string, bundle: string, on: number) => () =>
    startOurs({ name, directory: join(directory, name), port: on, bundle, nodeOptions });
  const starters = [
    ours('tsukube', options.bundle, port),
    ...(options.against === undefined ? [] : [ours('the other build', options.against, port + 2)]),
    ...(options.peer === undefined ? [] : [peerStarter(options.peer, port + 5)]),
  ];
  for (const start of starters) {
    const starts: Contestant[] = [];
    for (let i = 1; i < Number(options.starts); i++) {
      const contestant = await start();
      starts.push(contestant);
      await contestant.close();
    }
    const contestant = await start();
    starts.push(contestant);
    const measured: Measured = {
      name: contestant.name,
      startMs: median(starts.map((s) => s.startMs)),
      startCpuMs: median(starts.map((s) => s.startCpuMs)),
      idle: [],
      listPeaks: new Map(),
      ownMiB: [],
      peakMiB: [],
      figures: new Map(),
    };
    say(`${measured.name}: start ${measured.startMs.toFixed(0)} ms, ${measured.startCpuMs} ms CPU`);
    if (Number(options.idle) > 0) measured.idle = await idle(contestant);
    running.push({ contestant, measured, access: await prepareObjects(contestant) });
  }
}

function peerStarter(binaries: string, port: number): () => Promise<Contestant> {
  return () => startPeer({ directory: join(directory, 'peer'), port, binaries });
}

async function idle(contestant: Contestant): Promise<Idle[]> {
  await pause(SETTLE_MS);
  const processes = [...contestant.processes];
  const before = processes.map(([, pid]) => totalCpuMs([pid]));
  const start = performance.now();
  await pause(Number(options.idle) * 1000);
  const elapsed = performance.now() - start;
  return processes.map(([name, pid], i) => {
    const cpuPercent = (100 * (totalCpuMs([pid]) - before[i]!)) / elapsed;
    const memory = memoryMiB(pid).now;
    say(`${contestant.name}: ${name} idle ${memory.toFixed(0)} MiB, ${cpuPercent.toFixed(2)} % of a core`);
    return { name, cpuPercent, memoryMiB: memory };
  });
}

/** Upstream's components that are elected end when they cannot renew their leases in time: what is gone is told, and left out. */
function memoryOf({ contestant }: (typeof running)[number], what: 'peak' | 'own'): Measured['peakMiB'] {
  return [...contestant.processes].flatMap(([name, pid]): Measured['peakMiB'] => {
    if (existsSync(`/proc/${pid}`)) return [[name, memoryMiB(pid)[what]]];
    say(`${contestant.name}: ${name} has ended`);
    return [];
  });
}

async function measureOnce(of: (typeof running)[number], operation: Operation): Promise<void> {
  const { contestant, access, measured } = of;
  const { port, ca, certificate, key } = access;
  let before = 0;
  const result = await load(
    {
      protocol: operation.protocol,
      target: { port, ca, certificate, key },
      load: operation.load,
      warmUpMs: WARM_UP_MS,
      measureMs: Number(options.seconds) * 1000,
    },
    () => {
      before = totalCpuMs(contestant.serving);
    },
  );
  const usedMs = totalCpuMs(contestant.serving) - before;
  const count = isList(operation) ? result.bodyBytes / (await listBytes(access, operation)) : result.count;
  const figure: Figure = {
    cpuUs: (1000 * usedMs) / count,
    perSecond: (1000 * count) / result.elapsedMs,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
  };
  measured.figures.set(figureKey(operation), [...(measured.figures.get(figureKey(operation)) ?? []), figure]);
  say(
    `${contestant.name}: ${operation.name}, ${operation.protocol}: ${figure.cpuUs.toFixed(1)} µs CPU, ` +
      `${figure.perSecond.toFixed(0)}/s, p50 ${figure.p50Ms.toFixed(1)} ms, p99 ${figure.p99Ms.toFixed(1)} ms`,
  );
}

function isList({ countBytesPer }: Operation): boolean {
  return countBytesPer === 'list';
}

function figureKey({ name, protocol }: Operation): string {
  return `${name}\n${protocol}`;
}

async function listBytes(access: Access, operation: Operation): Promise<number> {
  const key = `${access.port} ${operation.load.path}`;
  const known = listSizes.get(key);
  if (known !== undefined) return known;
  const { body } = await call(access, 'GET', operation.load.path);
  listSizes.set(key, Buffer.byteLength(body));
  return Buffer.byteLength(body);
}

/** One task on the load process; `warm` is called when its measured time begins. */
function load(task: Task, warm: () => void): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      worker.off('message', onAnswer);
      worker.off('exit', onExit);
      finish();
    };
    const onAnswer = (message: unknown): void => {
      const answer = message as Answer;
      if (answer.kind === 'warm') warm();
      else if (answer.kind === 'done') settle(() => resolve(answer));
      else settle(() => reject(new Error(`the load failed: ${answer.message}`)));
    };
    const onExit = (): void => settle(() => reject(new Error('the load process ended')));
    worker.on('message', onAnswer);
    worker.on('exit', onExit);
    (worker as ChildProcess).send(task);
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
