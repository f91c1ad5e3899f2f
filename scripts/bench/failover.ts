// npm run bench:failover: breaks a highly available cluster on this machine in every way that its failure budget names, measures
// what clients see of it, and checks what they were told.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { profileName } from '../../src/cluster/profiles.ts';
import { type Outcome, runRepetition } from '../../src/drills/failover/repetition.ts';
import { ROWS } from '../../src/drills/failover/rows.ts';
import { type RowSummary, summarizeRow, table } from '../../src/drills/failover/summary.ts';
import { drillCluster, surroundings } from './drill-cluster.ts';

const USAGE = `npm run bench:failover -- [options]
  --only ID         only these rows (may be repeated): ${ROWS.map(({ id }) => id).join(', ')}
  --repetitions N   how often each (default: 10)
  --minutes N       begin no further repetition after this (default: 60)
  --profile P       fast or default: the cluster's timings (default: fast)
  --pause N         seconds for which the leader is paused (default: 60)
  --long-pauses N   how many of the pauses last so long; the others last 10 s (default: all)
  --out FILE        also write the table, in Markdown, and FILE with .json for the figures
  --keep            leave the cluster running
TSUKUBE_NAME and TSUKUBE_DATA_DIR name a cluster that runs already; it is left running.`;

const SHORT_PAUSE_MS = 10_000;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    repetitions: { type: 'string', default: '10' },
    minutes: { type: 'string', default: '60' },
    profile: { type: 'string', default: 'fast' },
    pause: { type: 'string', default: '60' },
    'long-pauses': { type: 'string' },
    out: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean' },
  },
});
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit();
}
const profile = profileName(options.profile);
const unknown = (options.only ?? []).filter((id) => !ROWS.some((row) => row.id === id));
if (!profile || unknown.length > 0) {
  process.stderr.write(`${profile ? `there is no row ${unknown.join(', ')}` : 'no such profile'}\n${USAGE}\n`);
  process.exit(2);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
const began = new Date();
const repetitions = Number(options.repetitions);
const longPauses = Number(options['long-pauses'] ?? repetitions);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** As it is when it begins: sources may change meanwhile. */
const machine = await surroundings();
const rows = ROWS.filter(({ id }) => options.only === undefined || options.only.includes(id));
const overMs = performance.now() + Number(options.minutes) * 60_000;
const cluster = await drillCluster(profile, options.keep, stop.signal);
const outcomes: Outcome[] = [];
try {
  // Every row once, and again: what else the machine does then is spread over all of them.
  for (let repetition = 0; repetition < repetitions && performance.now() < overMs; repetition++) {
    for (const row of rows) {
      const pauseMs = repetition < longPauses ? Number(options.pause) * 1000 : SHORT_PAUSE_MS;
      const outcome = await runRepetition({ stage: cluster.stage, row, repetition, pauseMs }, stop.signal);
      outcomes.push(outcome);
      say(line(outcome));
    }
    // What was measured is there whatever happens to the next.
    await write();
  }
} finally {
  await cluster.stage.mend(new AbortController().signal).catch((error: unknown) => say(`could not mend: ${error}`));
  await cluster.close();
}
process.stdout.write(`\n${table(summaries())}`);
process.exitCode = summaries().some(({ problems }) => problems.length > 0) ? 1 : 0;

function summaries(): readonly RowSummary[] {
  return rows.map((row) =>
    summarizeRow(
      row,
      outcomes.filter((one) => one.row === row.id),
      profile === 'fast',
    ),
  );
}

function line({ row, repetition, during, after, wholeAfterMs, extra, problems }: Outcome): string {
  const figures = Object.entries(extra).map(([name, value]) => `${name} ${Math.round(value)}`);
  const ms = Math.round;
  return [
    `${row} ${repetition}: writes gone ${ms(during.writesGoneMs)} (then ${ms(after.writesGoneMs)}), reads ${ms(during.readsGoneMs)}`,
    `cached ${ms(during.cachedReadsGoneMs)}, service ${ms(during.serviceGoneMs)} (${during.serviceRetried}+${during.serviceFailed} of ${during.serviceAsked})`,
    `${during.retried + after.retried} retried, ${during.failed + after.failed} failed of ${during.asked + after.asked}`,
    `whole after ${(wholeAfterMs / 1000).toFixed(1)} s`,
    ...figures,
    ...Object.entries({ ...during.errors, ...after.errors }).map(([text, count]) => `${count} × ${text}`),
    ...problems.slice(0, 5).map((text) => `PROBLEM ${text}`),
  ].join('; ');
}

async function write(): Promise<void> {
  if (!options.out) return;
  const text = table(summaries());
  const minutes = Math.round((Date.now() - began.getTime()) / 60_000);
  const about = [
    `${began.toISOString().slice(0, 10)}, profile ${profile}, ${Math.floor(outcomes.length / rows.length)} repetitions of each row, ${minutes} minutes in all.`,
    ...machine,
  ];
  await mkdir(dirname(options.out), { recursive: true });
  await writeFile(options.out, `${heading(about)}\n${text}`);
  await writeFile(options.out.replace(/(\.md)?$/, '.json'), `${JSON.stringify({ about, outcomes }, null, 1)}\n`);
}

function heading(about: readonly string[]): string {
  return `# Failover, measured

Written by \`npm run bench:failover -- --out docs/results/failover.md\`.

${about.map((text) => `- ${text}`).join('\n')}

Milliseconds, median / worst. Clients write and read 25 ConfigMaps 50 times a second each through the virtual address, over one
HTTPS connection, asking at fixed times whatever becomes of the answers; a question is given up after a second and asked once
more. "Gone" is the longest time without a good answer (at rest 20 ms). The service has three replicas and is asked 20 times a
second by node port. The history holds when every key is linearizable, every acknowledged write is there, and a watch that
resumed by resourceVersion showed every write once and in order.
`;
}
