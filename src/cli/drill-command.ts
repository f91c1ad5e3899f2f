// `tsukube drill`: what may be typed, and what is printed.
import { writeFile } from 'node:fs/promises';
import type { Host } from '../cluster/host.ts';
import type { Layout } from '../cluster/layout.ts';
import { readSettings } from '../cluster/settings.ts';
import { supervised } from '../cluster/supervise.ts';
import type { Drill } from '../drills/faults/drill.ts';
import { impossible } from '../drills/faults/possible.ts';
import { randomMix } from '../drills/faults/random-mix.ts';
import { startRelay } from '../drills/faults/relay.ts';
import { RELAY_USER } from '../drills/faults/scripts.ts';
import { DRILLS } from '../drills/faults/table.ts';
import { htmlPage } from '../drills/report/html.ts';
import { junit } from '../drills/report/junit.ts';
import { lineOf, table } from '../drills/report/text.ts';
import { installDefinitions, runController } from '../drills/resources/controller.ts';
import { MEASURES, parseObjective } from '../drills/run/objective.ts';
import type { DrillResult } from '../drills/run/result.ts';
import { healLeftovers, lastResults, realGround, runSession } from '../drills/run/session.ts';
import { watch } from '../drills/watchdog/watchdog.ts';
import { durationFlag, type Invocation, numberFlag, stringFlag, UsageError } from './arguments.ts';
import { columns } from './host-command.ts';

type Verb = (host: Host, layout: Layout, invocation: Invocation, signal: AbortSignal) => Promise<number>;

const VERBS: Readonly<Record<string, Verb>> = {
  list: async (host, _, invocation) => {
    const rows = await Promise.all(DRILLS.map(async (drill) => ({ drill, reason: await reasonOf(drill) })));
    if (invocation.flags.get('json') === true) {
      host.out(
        `${JSON.stringify(
          rows.map(({ drill, reason }) => ({ ...drill, impossible: reason })),
          null,
          2,
        )}\n`,
      );
      return 0;
    }
    const lines = rows.map(({ drill, reason }) => [
      drill.name,
      drill.title,
      reason === undefined ? drill.objective : `not possible here, because ${reason}`,
    ]);
    host.out(`${columns([['DRILL', 'WHAT HAPPENS', 'OBJECTIVE'], ...lines])}\n`);
    host.out(
      `\nObjectives bound these:\n${Object.entries(MEASURES)
        .map(([name, what]) => `  ${name.padEnd(9)} ${what}`)
        .join('\n')}\n`,
    );
    return 0;
  },
  run: runDrills,
  report: async (host, layout, invocation) => {
    const results = await lastResults(layout);
    if (results.length === 0) throw new Error(`no drill was run on cluster "${layout.name}" yet`);
    await write(host, invocation, results);
    return results.every(isGood) ? 0 : 1;
  },
  heal: async (host, layout, _, signal) => {
    const { env, program } = host;
    const ground = realGround({ layout, env, program });
    const undone = await healLeftovers({ layout, ground, clock: env.clock }, signal);
    host.out(undone.length === 0 ? 'There is nothing to undo.\n' : `Undone: ${undone.join(', ')}\n`);
    return 0;
  },
  // What `up --ha` starts, as the next two are started by drills.
  controller: async (host, layout, _, signal) => {
    const { process: running } = await supervised(layout, 'drill-controller');
    if (running !== undefined && running !== process.pid) {
      throw new Error(`the controller of drills runs already (process ${running})`);
    }
    const { env, program } = host;
    const say = (text: string): void => host.err(`${text}\n`);
    await runController({ layout, env, program, processId: process.pid, say }, signal);
    return 0;
  },
  watchdog: async (host, layout, { words: [, pid, began = '', session = ''] }, signal) => {
    const { env, program } = host;
    const say = (text: string): void => host.err(`${text}\n`);
    const drill = { pid: Number(pid), began };
    const ground = realGround({ layout, env, program });
    await watch({ layout, ground, clock: env.clock, drill, session, say }, signal);
    return 0;
  },
  relay: async (host, _, invocation, signal) => {
    const routes = invocation.words.slice(1).map(readRoute);
    const delayMs = durationFlag(invocation, 'delay') ?? 0;
    const jitterMs = durationFlag(invocation, 'jitter') ?? 0;
    const { clock, random } = host.env;
    await startRelay({ clock, random, delayMs, jitterMs, routes }, signal);
    // The rules that lead into the relay leave this user's connections alone.
    process.setgid?.(RELAY_USER);
    process.setuid?.(RELAY_USER);
    host.out('listening\n');
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return 0;
  },
};

export async function drillCommand(
  host: Host,
  layout: Layout,
  invocation: Invocation,
  signal: AbortSignal,
): Promise<number> {
  const verb = VERBS[invocation.words[0] ?? 'list'];
  if (!verb) throw new UsageError('usage: tsukube drill list|run|report|heal');
  return verb(host, layout, invocation, signal);
}

/** So that whoever applies a Drill right after `up` need not wait for the controller. */
export async function defineDrills(host: Host, layout: Layout, signal: AbortSignal): Promise<void> {
  const settings = await readSettings(layout.settings);
  if (settings?.topology && settings.drills !== false) await installDefinitions({ layout, env: host.env }, signal);
}

async function runDrills(host: Host, layout: Layout, invocation: Invocation, signal: AbortSignal): Promise<number> {
  const drills = await chosen(layout, host, invocation);
  const objective = stringFlag(invocation, 'objective');
  try {
    if (objective !== undefined) parseObjective(objective);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const before = new Map<string, DrillResult>();
  const { env, program } = host;
  const results = await runSession(
    drills,
    {
      layout,
      env,
      program,
      processId: process.pid,
      objective,
      keep: invocation.flags.get('keep') === true,
      say: (text) => host.err(`  ${text}\n`),
      onResult: (result, last) => {
        if (last) before.set(result.drill, last);
        host.err(`${lineOf(result)}\n`);
      },
    },
    signal,
  );
  await write(host, invocation, results, before);
  return results.every(isGood) ? 0 : 1;
}

/** What a machine cannot do is said, and is no failure. */
function isGood({ outcome }: DrillResult): boolean {
  return outcome === 'passed' || outcome === 'impossible';
}

async function chosen(layout: Layout, host: Host, invocation: Invocation): Promise<readonly Drill[]> {
  const names = invocation.words.slice(1);
  const all = invocation.flags.get('all') === true;
  if (names.length === 1 && names[0] === 'random' && !all) return [await byChance(layout, host, invocation)];
  if (all === names.length > 0)
    throw new UsageError('name the drills to run, or say --all; "tsukube drill list" lists them');
  if (all) return DRILLS;
  return names.map((name) => {
    const found = DRILLS.find((drill) => drill.name === name);
    if (!found) throw new UsageError(`there is no drill "${name}"; "tsukube drill list" lists them`);
    return found;
  });
}

const DEFAULT_MIX_MS = 60_000;

/** The seed is in the drill's title: the same one is the same drill again. */
async function byChance(layout: Layout, host: Host, invocation: Invocation): Promise<Drill> {
  const settings = await readSettings(layout.settings);
  const of = (role: string): readonly string[] =>
    (settings?.topology?.hosts ?? []).filter((one) => one.role === role && !one.destroyed).map(({ name }) => name);
  return randomMix({
    seed: numberFlag(invocation, 'seed', 0, 2 ** 31) ?? Math.floor(host.env.random.next() * 1e6),
    durationMs: durationFlag(invocation, 'duration') ?? DEFAULT_MIX_MS,
    radius: {
      controlPlanes: numberFlag(invocation, 'max-control-planes', 0, 7) ?? 1,
      workers: numberFlag(invocation, 'max-workers', 0, 50) ?? 1,
    },
    controlPlanes: of('control-plane'),
    workers: of('worker'),
  });
}

/** The table, or JSON, to standard output; the files that were asked for besides. */
async function write(
  host: Host,
  invocation: Invocation,
  results: readonly DrillResult[],
  before: ReadonlyMap<string, DrillResult> = new Map(),
): Promise<void> {
  const html = stringFlag(invocation, 'html');
  const xml = stringFlag(invocation, 'junit');
  if (html !== undefined) await writeFile(html, htmlPage(results, before));
  if (xml !== undefined) await writeFile(xml, junit(results));
  if (invocation.flags.get('json') === true) host.out(`${JSON.stringify(results, null, 2)}\n`);
  else host.out(`${table(results, before)}\n`);
}

async function reasonOf(drill: Drill): Promise<string | undefined> {
  for (const { fault } of drill.steps) {
    const reason = await impossible(fault);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function readRoute(word: string): { readonly listen: number; readonly address: string; readonly port: number } {
  const [, listen, address, port] = /^(\d+)=([\d.]+):(\d+)$/.exec(word) ?? [];
  if (!listen || !address || !port) throw new UsageError(`a route is PORT=ADDRESS:PORT, not "${word}"`);
  return { listen: Number(listen), address, port: Number(port) };
}
