// The official conformance tests against tsukube:
//   conformance.ts CLASS [--kubeconfig FILE] [--processes N] [--only PATTERN [--record]]
// Without a kubeconfig a cluster is started for the run, and taken down after it: one with simulated nodes, or, for what
// needs containers (as root), one with a real node and the suite's images on it. The suite and the images are built
// when it is missing, in TSUKUBE_CONFORMANCE_CACHE (default: tsukube-conformance in the user's cache directory).
// A whole class writes its section of docs/results/conformance.md; --only runs the tests whose names match PATTERN, and writes
// nothing unless --record, which writes their rows. TSUKUBE_NAME names the cluster that is started, so that two runs can share
// the cache and the machine. Exit code 0: all passed.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureSuite, type Suite } from './conformance/build.ts';
import { ensureImages } from './conformance/images.ts';
import { type Outcome, outcomesOf } from './conformance/outcome.ts';
import { run } from './conformance/process.ts';
import { totals, withRows, withSection } from './conformance/report.ts';
import { CLASSES, focusOn, runsAlone, type TestClass, testsOf } from './conformance/selection.ts';

const REPOSITORY = join(import.meta.dirname, '..');
const PAGE = join(REPOSITORY, 'docs', 'results', 'conformance.md');
const CACHE =
  process.env.TSUKUBE_CONFORMANCE_CACHE ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tsukube-conformance');
const SIMULATED_NODES = 3;
/** The kubelet's port comes after the server's by this much. */
const KUBELET_PORT_AFTER = 50;
const PORT = process.env.TSUKUBE_CONFORMANCE_PORT ?? '16443';

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

interface ClusterOptions {
  readonly name: string;
  /** Arguments of `up`. */
  readonly up: readonly string[];
  /** Archives that every node has. */
  readonly images: readonly string[];
}

/** A cluster for the length of `use`. */
async function withCluster<T>(options: ClusterOptions, use: (kubeconfig: string) => Promise<T>): Promise<T> {
  const { name, up, images } = options;
  const directory = join(CACHE, 'cluster');
  const env = {
    TSUKUBE_NAME: name,
    TSUKUBE_DATA_DIR: directory,
    KUBECONFIG: join(directory, `${name}.user-kubeconfig`),
  };
  // A copy of the bundle of its own: the run may be long, and dist/main.js may be built anew meanwhile.
  const bundle = join(REPOSITORY, 'dist', `conformance-${process.pid}.js`);
  const tsukube = (...args: string[]): Promise<string> => run(process.execPath, [bundle, ...args], { env });
  await run(process.execPath, ['scripts/build.ts'], { cwd: REPOSITORY });
  writeFileSync(bundle, readFileSync(join(REPOSITORY, 'dist', 'main.js')));
  mkdirSync(directory, { recursive: true });
  try {
    await tsukube('down');
    await tsukube('up', ...up, '--port', PORT);
    for (const image of images) await tsukube('image', 'load', image);
    return await use(join(directory, name, 'admin.kubeconfig'));
  } finally {
    await tsukube('down');
    rmSync(bundle);
  }
}

interface Round {
  readonly suite: Suite;
  readonly kubeconfig: string;
  readonly names: readonly string[];
  readonly processes: number;
  readonly reports: string;
}

/** Runs these tests and reads what came of them; the runner's log and reports stay in `reports`. */
async function runTests(round: Round): Promise<ReadonlyMap<string, Outcome>> {
  const { suite, kubeconfig, names, processes, reports } = round;
  if (names.length === 0) return new Map();
  say(`conformance: ${names.length} tests, ${processes} at a time ...`);
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  const tests = [
    '--provider=skeleton',
    `--kubeconfig=${kubeconfig}`,
    `--kubectl-path=${suite.kubectl}`,
    `--report-dir=${reports}`,
    '--num-nodes=1',
    // Waits for token Secrets of service accounts, which 1.24 and later do not make.
    '--e2e-verify-service-account=false',
  ];
  const args = ['-noColor', `-nodes=${processes}`, `-focus=${focusOn(names)}`, suite.tests, '--', ...tests];
  const failure = await run(suite.runner, args, { cwd: reports, logFile: join(reports, 'run.log') }).catch(
    (error: Error) => error,
  );
  const files = readdirSync(reports).filter((name) => /^junit_\d+\.xml$/.test(name));
  if (files.length === 0) throw new Error('the suite did not run', { cause: failure });
  return new Map(files.flatMap((name) => [...outcomesOf(readFileSync(join(reports, name), 'utf8'))]));
}

interface Request {
  readonly testClass: TestClass;
  readonly kubeconfig?: string | undefined;
  readonly processes: number;
  readonly only?: string | undefined;
  readonly record?: boolean | undefined;
}

async function conformance({ testClass, kubeconfig, processes, only, record }: Request): Promise<boolean> {
  mkdirSync(CACHE, { recursive: true });
  const suite = await ensureSuite(CACHE, say);
  const all = testsOf(testClass);
  const names = all.filter((name) => new RegExp(only ?? '').test(name));
  const cluster = process.env.TSUKUBE_NAME ?? `conformance-${testClass}`;
  const both = async (config: string): Promise<ReadonlyMap<string, Outcome>> => {
    const round = (title: string, alone: boolean): Round => ({
      suite,
      kubeconfig: config,
      names: names.filter((name) => runsAlone(name) === alone),
      processes: alone ? 1 : processes,
      reports: join(CACHE, 'reports', cluster, title),
    });
    return new Map([...(await runTests(round('parallel', false))), ...(await runTests(round('alone', true)))]);
  };
  const real = testClass === 'containers';
  const own = {
    name: cluster,
    up: real ? ['--kubelet-port', String(Number(PORT) + KUBELET_PORT_AFTER)] : ['--simulated', String(SIMULATED_NODES)],
    images: real && !kubeconfig ? await ensureImages(CACHE, say) : [],
  };
  const outcomes = kubeconfig ? await both(kubeconfig) : await withCluster(own, both);
  const started = real ? 'one real node' : `${SIMULATED_NODES} simulated nodes`;
  const where = kubeconfig ? 'a cluster that was there' : started;
  const result = { testClass, names, outcomes, cluster: where };
  if (only === undefined || record) {
    mkdirSync(join(PAGE, '..'), { recursive: true });
    const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
    const written = only === undefined ? withSection(page, result) : withRows(page, { ...result, names: all });
    writeFileSync(PAGE, written);
  }
  for (const [name, { passed, message }] of outcomes) if (!passed) console.log(`failed: ${name}: ${message}`);
  const { failed, text } = totals(result);
  console.log(text);
  return failed === 0;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kubeconfig: { type: 'string' },
    processes: { type: 'string' },
    only: { type: 'string' },
    record: { type: 'boolean' },
  },
});
const [testClass = ''] = positionals;
if (positionals.length !== 1 || !Object.hasOwn(CLASSES, testClass)) {
  console.error(`Which class? ${Object.entries(CLASSES).map(([name, needs]) => `\n  ${name}: ${needs}`)}`);
  process.exit(2);
}
const processes = Number(values.processes ?? 4);
const request = { ...values, testClass: testClass as TestClass, processes };
process.exitCode = (await conformance(request)) ? 0 : 1;
