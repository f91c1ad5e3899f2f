// npm run soak: a highly available cluster on this machine with a failure every minute, chosen by a seed. Fails when something
// acknowledged is lost, a history does not hold, the cluster does not become whole again, or what it uses grows.
import { parseArgs } from 'node:util';
import { profileName } from '../../src/cluster/profiles.ts';
import { soak } from '../../src/drills/failover/soak.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { drillCluster } from './drill-cluster.ts';

const USAGE = `npm run soak -- [options]
  --minutes N    how long (default: 60)
  --every N      seconds from one failure to the next (default: 60)
  --seed N       which failures (default: 1)
  --profile P    fast or default: the cluster's timings (default: fast)
  --keep         leave the cluster running
TSUKUBE_NAME and TSUKUBE_DATA_DIR name a cluster that runs already; it is left running.`;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    every: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    profile: { type: 'string', default: 'fast' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean' },
  },
});
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}
const profile = profileName(options.profile);
if (!profile) {
  process.stderr.write(`no such profile\n${USAGE}\n`);
  process.exit(2);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const cluster = await drillCluster(profile, options.keep, stop.signal);
try {
  const report = await soak(
    {
      stage: cluster.stage,
      durationMs: Number(options.minutes) * 60_000,
      everyMs: Number(options.every) * 1000,
      random: seededRandom(Number(options.seed)),
      onOutcome: ({ row, repetition, during, after, wholeAfterMs, problems }) => {
        const gone = Math.round(Math.max(during.writesGoneMs, after.writesGoneMs));
        const verdict = problems.length === 0 ? 'the history holds' : `${problems.length} PROBLEMS`;
        say(
          `${repetition} ${row}: writes gone ${gone} ms, whole after ${(wholeAfterMs / 1000).toFixed(1)} s, ${verdict}`,
        );
      },
      onCensus: (found) => say(`the hosts use ${JSON.stringify(found)}`),
    },
    stop.signal,
  );
  say(`${report.faults} failures with seed ${options.seed}`);
  say(`memory after each, in MiB: ${report.memoryMiB.join(' ')}`);
  for (const problem of report.problems) say(`PROBLEM ${problem}`);
  say(report.problems.length === 0 ? 'Everything held, and nothing grew.' : `${report.problems.length} problems`);
  process.exitCode = report.problems.length === 0 ? 0 : 1;
} finally {
  await cluster.stage.mend(new AbortController().signal).catch((error: unknown) => say(`could not mend: ${error}`));
  await cluster.close();
}
