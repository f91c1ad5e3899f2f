// What a process has used, as the operating system counts it (Linux /proc).
import { readFileSync } from 'node:fs';

/** Linux counts CPU in hundredths of a second for every program (sysconf CLK_TCK). */
const TICK_MS = 10;

/** CPU of a process since its start, user and system, all threads, in milliseconds. */
export function cpuMs(pid: number): number {
  // The second field is the program's name in parentheses and may hold anything; the numbers follow the last one.
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export interface Memory {
  /** Resident, and the most that it has been. */
  readonly now: number;
  readonly peak: number;
  /** Of what is resident now: its own, and pages of files, which the system takes back when it wants to. */
  readonly own: number;
  readonly mapped: number;
}

/** Memory of a process in MiB. */
export function memoryMiB(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024;
  return { now: field('VmRSS'), peak: field('VmHWM'), own: field('RssAnon'), mapped: field('RssFile') };
}

export function totalCpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
}
