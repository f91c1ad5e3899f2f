// npm run bench:idle: what a cluster takes that has nothing to do: `tsukube up`, server and agent in one process, a real node.
// Needs what `up` needs (root, containerd). Fails when it is more than it may be.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { layoutOf } from '../../src/cluster/layout.ts';
import { cpuMs, memoryMiB } from './usage.ts';

const USAGE = `npm run bench:idle -- [options]
  --seconds N       how long it is measured (default: 60)
  --settle N        seconds from the node's Ready to then (default: 30)
  --memory N        MiB resident that it may have (default: 150)
  --cpu N           percent of a core that it may use (default: 1)
  --bundle FILE     the program (default: dist/main.js)
TSUKUBE_NAME and TSUKUBE_DATA_DIR name the cluster that is made; default: one in a temporary directory.`;

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    settle: { type: 'string', default: '30' },
    memory: { type: 'string', default: '150' },
    cpu: { type: 'string', default: '1' },
    bundle: { type: 'string', default: 'dist/main.js' },
    help: { type: 'boolean' },
  },
});
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}

const own = process.env.TSUKUBE_DATA_DIR === undefined;
const directory = process.env.TSUKUBE_DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'tsukube-idle-')));
const name = process.env.TSUKUBE_NAME ?? 'idle';
const env = { ...process.env, TSUKUBE_DATA_DIR: directory, TSUKUBE_NAME: name, KUBECONFIG: join(directory, 'user') };
const run = promisify(execFile);
const tsukube = (...args: readonly string[]) => run(process.execPath, [options.bundle, ...args], { env });

try {
  await tsukube('up');
  await pause(Number(options.settle) * 1000);
  const pids = await processes();
  const before = pids.map(([, pid]) => cpuMs(pid));
  const start = performance.now();
  await pause(Number(options.seconds) * 1000);
  const elapsed = performance.now() - start;
  const rows = pids.map(([component, pid], i) => {
    const { now, own: anonymous, peak } = memoryMiB(pid);
    return { component, now, anonymous, peak, cpu: (100 * (cpuMs(pid) - before[i]!)) / elapsed };
  });
  const [processor] = cpus();
  process.stdout.write(
    `An idle cluster with its node, after ${options.settle} s, for ${options.seconds} s, on ${new Date().toISOString().slice(0, 10)}: ` +
      `${cpus().length} × ${processor?.model ?? 'unknown processor'}, Node.js ${process.versions.node}.\n\n` +
      `| process | resident | of it its own | most so far | CPU, of a core |\n|---|---|---|---|---|\n`,
  );
  for (const { component, now, anonymous, peak, cpu } of rows) {
    const cells = [now, anonymous, peak].map((mib) => `${mib.toFixed(0)} MiB`);
    process.stdout.write(`| ${component} | ${cells.join(' | ')} | ${cpu.toFixed(2)} % |\n`);
  }
  const sum = (of: (row: (typeof rows)[number]) => number): number => rows.reduce((total, row) => total + of(row), 0);
  if (rows.length === 0) throw new Error('no process of the cluster runs');
  const holds = sum((row) => row.now) <= Number(options.memory) && sum((row) => row.cpu) <= Number(options.cpu);
  process.stdout.write(holds ? '\nAs little as asked.\n' : `\nMore than ${options.memory} MiB or ${options.cpu} %.\n`);
  process.exitCode = holds ? 0 : 1;
} finally {
  await tsukube('down').catch((error: unknown) => process.stderr.write(`${error}\n`));
  if (own) await rm(directory, { recursive: true, force: true });
}

/** The cluster's own processes by their pid files; not containerd, which is not ours. */
async function processes(): Promise<[component: string, pid: number][]> {
  const { run: place } = layoutOf(directory, name);
  const found: [string, number][] = [];
  for (const file of await readdir(place)) {
    if (!file.endsWith('.pid') || file.endsWith('.supervisor.pid')) continue;
    found.push([file.slice(0, -'.pid'.length), Number(await readFile(join(place, file), 'utf8'))]);
  }
  return found;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
