// What a cluster's hosts use of the machine: counted before and after a soak.
import { readdir, readFile } from 'node:fs/promises';
import { initOf } from '../../cluster/ha/power.ts';
import { allProcesses, processesOf } from '../../cluster/ha/processes.ts';
import { present } from '../../cluster/ha/topology.ts';
import { readSettings } from '../../cluster/settings.ts';
import { hostCommands, inNetworkNamespace, type RunCommand } from '../../network/command.ts';
import type { Stage } from './stage.ts';

/** Of all hosts together, pods' own processes left aside. */
export interface Census {
  readonly processes: number;
  readonly openFiles: number;
  readonly memoryMiB: number;
  /** Lines of every nftables ruleset, the machine's among them. */
  readonly rules: number;
  readonly mounts: number;
  readonly interfaces: number;
}

export async function census(stage: Stage): Promise<Census> {
  const settings = await readSettings(stage.layout.settings);
  const all = await allProcesses();
  const sums = { processes: 0, openFiles: 0, memoryMiB: 0, rules: 0, mounts: 0, interfaces: 0 };
  sums.rules += await lines(hostCommands, ['nft', 'list', 'ruleset']);
  sums.interfaces += await lines(hostCommands, ['ip', '-o', 'link']);
  for (const { name } of present(settings!.topology!)) {
    const init = await initOf(stage.layout, name);
    if (init === undefined) throw new Error(`host ${name} is off`);
    const run = inNetworkNamespace(`/proc/${init}/ns/net`);
    sums.rules += await lines(run, ['nft', 'list', 'ruleset']);
    sums.interfaces += await lines(run, ['ip', '-o', 'link']);
    sums.mounts += (await readFile(`/proc/${init}/mountinfo`, 'utf8')).split('\n').length;
    for (const { pid } of await processesOf(init, all)) {
      sums.processes++;
      sums.openFiles += (await readdir(`/proc/${pid}/fd`).catch(() => [])).length;
      sums.memoryMiB += await privateMiB(pid);
    }
  }
  return { ...sums, memoryMiB: Math.round(sums.memoryMiB) };
}

/** Memory that no file backs: programs and libraries are shared. */
async function privateMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}

async function lines(run: RunCommand, command: readonly string[]): Promise<number> {
  return (await run([...command])).stdout.split('\n').length;
}

/** How much more of each may be there than before: a process that was counted may be on its way out. */
const ALLOWED: { readonly [of in Exclude<keyof Census, 'memoryMiB'>]: (before: number) => number } = {
  processes: (before) => before + 6,
  openFiles: (before) => before * 1.15,
  rules: (before) => before,
  mounts: (before) => before,
  interfaces: (before) => before,
};

/** What has grown beyond what is allowed, in words; none: nothing has. */
export function grown(before: Census, after: Census): readonly string[] {
  return (Object.keys(ALLOWED) as (keyof typeof ALLOWED)[])
    .filter((of) => after[of] > ALLOWED[of](before[of]))
    .map((of) => `${of}: ${before[of]}, then ${after[of]}`);
}

/** Fewer figures than this say nothing about a trend. */
const TREND_AT_LEAST = 9;
const MEMORY_GROWTH = 1.15;

/**
 * Whether memory still grows, in words. Single figures go up and down by a third: heaps hold garbage, histories and caches fill
 * up to their bounds, and whoever was killed begins anew. So the first third is left aside as the time in which they fill, and
 * the middles of the other two are compared.
 */
export function memoryGrown(memoryMiB: readonly number[]): readonly string[] {
  if (TREND_AT_LEAST > memoryMiB.length) return [];
  const third = Math.floor(memoryMiB.length / 3);
  const earlier = middle(memoryMiB.slice(third, 2 * third));
  const later = middle(memoryMiB.slice(2 * third));
  if (earlier * MEMORY_GROWTH >= later) return [];
  return [`memory: ${earlier} MiB in the second third of the time, ${later} MiB in the last`];
}

function middle(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)]!;
}
