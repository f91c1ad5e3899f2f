// Checks the layers of ARCHITECTURE.md: an import only points down, and only main.ts and tests see src/platform. And that what
// the simulator runs reaches disk, network, processes, clocks, randomness and the event loop only through what it is handed
// (edges.ts lists the files that are the edge, each with its reason).
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { directAccess, unusedEdges } from './edges.ts';

/** Folder of src → folders it may import from, besides itself. */
const ALLOWED: Record<string, readonly string[]> = {
  lib: [],
  platform: ['lib'],
  api: ['lib'],
  machinery: ['api', 'lib'],
  store: ['lib'],
  apiserver: ['store', 'machinery', 'api', 'lib'],
  // The in-process transport calls the API server's pipeline; it sees its contract only.
  client: ['apiserver/contract.ts', 'store/contract.ts', 'machinery', 'api', 'lib'],
  controllers: ['client', 'machinery', 'api', 'lib'],
  scheduler: ['client', 'machinery', 'api', 'lib'],
  simulated: ['client', 'machinery', 'api', 'lib'],
  network: ['client', 'machinery', 'api', 'lib'],
  proxy: ['network', 'client', 'machinery', 'api', 'lib'],
  dns: ['network/address.ts', 'proxy/service-port.ts', 'client', 'machinery', 'api', 'lib'],
  kubelet: ['client', 'machinery', 'api', 'lib'],
  cluster: [
    'apiserver',
    'controllers',
    'scheduler',
    'simulated',
    'kubelet',
    'network',
    'proxy',
    'dns',
    'client',
    'store',
    'machinery',
    'api',
    'lib',
  ],
  sim: ['cluster', 'apiserver', 'controllers', 'scheduler', 'simulated', 'client', 'store', 'machinery', 'api', 'lib'],
  // Breaks clusters, watches what clients see, and judges it.
  // Faults are made with the kernel's own commands; the pods that it asks come from an image of its own.
  drills: ['cluster', 'controllers/cron-schedule.ts', 'network/command.ts', 'client', 'machinery', 'api', 'lib'],
  cli: ['drills', 'sim', 'cluster', 'client', 'machinery', 'api', 'lib'],
};

/** What the codec and its defaults need of machinery: refusals, and the canonical form of quantities and times. */
const EXCEPTIONS: readonly (readonly [from: string, to: string])[] = [
  ['api/', 'machinery/status.ts'],
  ['api/', 'machinery/quantity.ts'],
  ['api/', 'machinery/time.ts'],
  ['api/', 'machinery/pods.ts'],
];

const problems: string[] = [];
const files = globSync('src/**/*.ts').filter(
  (file) => !/\.(test|prop\.test|suite|bench)\.ts$|\/test-[^/]*\.ts$|\/testdata\//.test(file),
);
for (const file of files) {
  const from = relative('src', file);
  const layer = from.split('/')[0]!;
  if (!from.includes('/')) continue;
  const text = readFileSync(file, 'utf8');
  for (const [, target] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
    const to = relative('src', join(dirname(file), target!));
    if (to.split('/')[0] === layer || to.startsWith('..')) continue;
    const allowed = ALLOWED[layer]?.some((a) => to === a || to.startsWith(`${a}/`));
    const excepted = EXCEPTIONS.some(([f, t]) => from.startsWith(f) && to === t);
    if (!allowed && !excepted) problems.push(`${file} imports ${to}: ${layer} may not`);
  }
  if (layer === 'platform') continue;
  for (const use of directAccess(from, text)) problems.push(`${file} ${use}`);
  for (const [word] of text.matchAll(
    /\bDate\.now\(|\bMath\.random\(|\brandomUUID\(|(?<!\.)\bsetTimeout\(|(?<!\.)\bsetInterval\(|AbortSignal\.timeout\(|\bperformance\.now\(|new Date\(\)/g,
  )) {
    problems.push(`${file} uses ${word}: clocks and randomness come in from main.ts`);
  }
}
problems.push(...unusedEdges());
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`imports: ${files.length} files, every arrow points down`);
