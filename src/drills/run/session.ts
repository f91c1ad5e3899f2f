// What a session of drills does besides the drills: lock and watchdog, the workload, results kept for the next comparison.
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../../cluster/layout.ts';
import { writeFileAtomically } from '../../cluster/settings.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Drill } from '../faults/drill.ts';
import { type Ground, RealGround } from '../faults/ground.ts';
import type { Connection } from '../probes/connection.ts';
import { identify, isAlive, Journal, mustBeFree, undoAll } from '../watchdog/journal.ts';
import { startWatchdog } from '../watchdog/watchdog.ts';
import { cordon, drain } from './drain.ts';
import { parseObjective } from './objective.ts';
import { type DrillResult, NOTHING_MEASURED } from './result.ts';
import { runDrill } from './run.ts';
import { Stage } from './stage.ts';
import { NAMESPACE } from './workload.ts';

export interface SessionOptions {
  readonly layout: Layout;
  readonly env: Environment;
  readonly program: readonly string[];
  readonly processId: number;
  /** In place of each drill's own. */
  readonly objective?: string | undefined;
  /** The workload stays for the next session. */
  readonly keep?: boolean;
  readonly say: (text: string) => void;
  readonly onResult: (result: DrillResult, before: DrillResult | undefined) => Promise<void> | void;
}

/** Runs drills one after the other; one that fails does not keep the others from running. */
export async function runSession(
  drills: readonly Drill[],
  options: SessionOptions,
  signal: AbortSignal,
): Promise<readonly DrillResult[]> {
  const { layout, env, say } = options;
  const stage = await Stage.open({ layout, env });
  const ground = realGround(options);
  const owner = (await identify(options.processId))!;
  const healed = await healLeftovers({ layout, ground, clock: env.clock }, signal);
  if (healed.length > 0) say(`undone, of a drill that has died: ${healed.join(', ')}`);
  const session = String(env.clock.now());
  const journal = await Journal.open(layout, owner, session);
  const results: DrillResult[] = [];
  try {
    await journal.watchedBy(await startWatchdog(options.program, layout, { drill: owner, session }));
    say('preparing the workload');
    await stage.prepare(signal);
    for (const drill of drills) {
      const bounds = parseObjective(options.objective ?? drill.objective);
      const before = await lastResult(layout, drill.name);
      const result = await runDrill(drill, { stage, ground, journal, bounds, say }, signal).catch((error: Error) => {
        if (signal.aborted) throw error;
        return failedToRun(drill, stage, error);
      });
      results.push(result);
      await keepResult(layout, result);
      await options.onResult(result, before);
    }
  } finally {
    if (!options.keep) await stage.clear(new AbortController().signal).catch(() => undefined);
    await journal.close();
  }
  return results;
}

/** How long a watchdog may take to undo: a host takes some seconds to start. */
const WATCHDOG_WITHIN_MS = 60_000;
const LOOK_MS = 100;

/** Undoes what a drill that died, and its watchdog with it, left behind. Throws while a drill runs. */
export async function healLeftovers(
  { layout, ground, clock }: { readonly layout: Layout; readonly ground: Ground; readonly clock: Clock },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const overMs = clock.monotonic() + WATCHDOG_WITHIN_MS;
  for (;;) {
    const text = await mustBeFree(layout);
    if (!text) return [];
    // Two that undo at the same time could undo what the next drill does.
    if (!text.watchdog || !(await isAlive(text.watchdog))) return undoAll(layout, ground, signal);
    if (clock.monotonic() > overMs) {
      throw new Error(`the watchdog (process ${text.watchdog.pid}) still undoes what a drill has left`);
    }
    await sleep(clock, LOOK_MS, signal);
  }
}

export function realGround(options: Pick<SessionOptions, 'layout' | 'env' | 'program'>): RealGround {
  const { layout, env, program } = options;
  const withApi = async <T>(work: (stage: Stage, connection: Connection) => Promise<T>): Promise<T> => {
    const stage = await Stage.open({ layout, env });
    const connection = await stage.connect();
    try {
      return await work(stage, connection);
    } finally {
      connection.close();
    }
  };
  const podWith = (namespace: string, selector: string, signal: AbortSignal): Promise<string | undefined> =>
    withApi(async (stage, connection) => {
      if (namespace !== NAMESPACE) return undefined;
      const pods = await stage.pods(connection, signal);
      return pods.find(({ app, isReady }) => selector === `app=${app}` && isReady)?.uid;
    });
  return new RealGround({
    layout,
    env,
    program,
    api: {
      podWith,
      drain: (node, signal) => withApi((_, connection) => drain({ connection, clock: env.clock }, node, signal)),
      uncordon: (node, signal) =>
        withApi((_, connection) => cordon({ connection, clock: env.clock }, { node, on: false }, signal)),
    },
  });
}

function failedToRun(drill: Drill, stage: Stage, error: Error): DrillResult {
  return {
    drill: drill.name,
    title: drill.title,
    cluster: stage.layout.name,
    profile: stage.settings.profile,
    startedAt: stage.env.clock.now(),
    lengthMs: 0,
    outcome: 'aborted',
    reason: error.message,
    faults: [],
    probes: [],
    timeline: [],
    measures: NOTHING_MEASURED,
    verdicts: [],
    checks: [],
  };
}

function resultsDirectory(layout: Layout): string {
  return join(layout.root, 'drills', 'results');
}

/** The last one of each drill is kept, and replaces the one before. */
async function keepResult(layout: Layout, result: DrillResult): Promise<void> {
  const directory = resultsDirectory(layout);
  await mkdir(directory, { recursive: true });
  await writeFileAtomically(join(directory, `${result.drill}.json`), JSON.stringify(result));
}

export async function lastResult(layout: Layout, drill: string): Promise<DrillResult | undefined> {
  try {
    return JSON.parse(await readFile(join(resultsDirectory(layout), `${drill}.json`), 'utf8')) as DrillResult;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The last result of every drill that was run on the cluster, in the order of their runs. */
export async function lastResults(layout: Layout): Promise<readonly DrillResult[]> {
  const files = await readdir(resultsDirectory(layout)).catch(() => []);
  const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
  const results = await Promise.all(names.map((name) => lastResult(layout, name)));
  return results.filter((result) => result !== undefined).sort((a, b) => a.startedAt - b.startedAt);
}
