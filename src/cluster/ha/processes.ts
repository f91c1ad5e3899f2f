// The processes of hosts, seen from this machine: each host is a process namespace whose first process is known by its
// arguments. Nothing is remembered, so nothing can be out of date.
import { readdir, readFile, readlink } from 'node:fs/promises';

export interface ProcessInfo {
  /** As this machine knows it. */
  readonly pid: number;
  /** As its own namespace knows it. */
  readonly innerPid: number;
  readonly parent: number;
  readonly command: readonly string[];
}

/** Every process that runs (no zombies). One that ends while we look is left out. */
export async function allProcesses(): Promise<readonly ProcessInfo[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const found = await Promise.all(pids.map(readProcess));
  return found.filter((process) => process !== undefined);
}

/** The first processes of namespaces that run this script, by the script's path. */
export function initsAmong(processes: readonly ProcessInfo[], script: string): readonly ProcessInfo[] {
  return processes.filter((process) => process.innerPid === 1 && process.pid !== 1 && process.command[1] === script);
}

/** The processes in the process namespace of `init`, without those of further namespaces in it (pods' containers). */
export async function processesOf(init: number, processes: readonly ProcessInfo[]): Promise<readonly ProcessInfo[]> {
  const namespace = await namespaceOf(init);
  if (namespace === undefined) return [];
  const namespaces = await Promise.all(processes.map((process) => namespaceOf(process.pid)));
  return processes.filter((_, i) => namespaces[i] === namespace);
}

/** A process that has ended, or is only waiting for its parent to notice. */
export async function hasEnded(pid: number): Promise<boolean> {
  return (await readProcess(pid)) === undefined;
}

async function readProcess(pid: number): Promise<ProcessInfo | undefined> {
  try {
    const [status, commandLine] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    if (/^State:\s+[ZX]/m.test(status)) return undefined;
    const inner = /^NSpid:\s+(.*)$/m.exec(status)?.[1]?.trim().split(/\s+/).at(-1);
    const parent = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]);
    return { pid, innerPid: Number(inner), parent, command: commandLine.split('\0').slice(0, -1) };
  } catch (error) {
    if (isHidden(error)) return undefined;
    throw error;
  }
}

async function namespaceOf(pid: number): Promise<string | undefined> {
  try {
    return await readlink(`/proc/${pid}/ns/pid`);
  } catch (error) {
    if (isHidden(error)) return undefined;
    throw error;
  }
}

function isHidden(error: unknown): boolean {
  // Some machines' first process may not be looked at.
  return ['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '');
}
