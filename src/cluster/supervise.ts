// Keeping a process of the cluster running in the background: a small shell loop, so that what guards costs a megabyte.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Layout } from './layout.ts';
import { signalIfThere } from './signal-process.ts';

/**
 * Restarts its command whenever it ends: at once when it ran for two seconds or more, otherwise after a second.
 * TERM is passed on and ends the loop when the command has ended. Exit codes 64 (bad usage, refused settings) and 65
 * (damaged data) end it too.
 */
export const LOOP = `#!/bin/sh
pidfile=$1; shift
stopped=
child=
trap 'stopped=1; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' TERM INT
while [ -z "$stopped" ]; do
  began=$(date +%s)
  "$@" & child=$!
  echo "$child" >"$pidfile"
  wait "$child"; code=$?
  while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
  [ -n "$stopped" ] && break
  case $code in 64|65) echo "tsukube: $pidfile ended with $code" >&2; : >"\${pidfile%.pid}.ended"; break;; esac
  echo "tsukube: $pidfile ended with $code; starting it again" >&2
  [ $(( $(date +%s) - began )) -lt 2 ] && sleep 1
done
rm -f "$pidfile"
`;

/** The process ids of a supervised component: of the loop and of what it runs; undefined when not running. */
export interface Supervised {
  readonly component: string;
  readonly supervisor: number | undefined;
  readonly process: number | undefined;
}

/** Starts `command` under the loop, detached from this process and terminal; output is appended to the component's log. */
export async function superviseInBackground(
  layout: Layout,
  component: string,
  command: readonly string[],
): Promise<void> {
  await mkdir(layout.run, { recursive: true });
  await mkdir(layout.logs, { recursive: true });
  const script = join(layout.run, 'supervise.sh');
  await writeFile(script, LOOP, { mode: 0o755 });
  const log = openSync(join(layout.logs, `${component}.log`), 'a');
  const child = spawn('/bin/sh', [script, join(layout.run, `${component}.pid`), ...command], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
  await writeFile(join(layout.run, `${component}.supervisor.pid`), String(child.pid));
}

/** What runs now of a component. A pid file whose process is gone, or is another program by now, counts as not running. */
export async function supervised(layout: Layout, component: string): Promise<Supervised> {
  const supervisor = await livePid(join(layout.run, `${component}.supervisor.pid`), layout.run);
  const process = await livePid(join(layout.run, `${component}.pid`), layout.name);
  return { component, supervisor, process };
}

/** Ends a component and its loop: TERM, then KILL after `graceMs`. Resolves when both are gone. */
export async function stopSupervised(
  layout: Layout,
  component: string,
  clock: Clock,
  graceMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { supervisor, process: child } = await supervised(layout, component);
  if (supervisor !== undefined) signalIfThere(supervisor, 'SIGTERM');
  else if (child !== undefined) signalIfThere(child, 'SIGTERM');
  const endMs = clock.monotonic() + graceMs;
  for (;;) {
    const now = await supervised(layout, component);
    if (now.supervisor === undefined && now.process === undefined) break;
    if (clock.monotonic() > endMs) {
      if (now.supervisor !== undefined) signalIfThere(now.supervisor, 'SIGKILL');
      if (now.process !== undefined) signalIfThere(now.process, 'SIGKILL');
    }
    await sleep(clock, 20, signal);
  }
  await rm(join(layout.run, `${component}.supervisor.pid`), { force: true });
  await rm(join(layout.run, `${component}.pid`), { force: true });
}

/** The pid in the file, if a process of that id runs (no zombie) with `mark` among its arguments. */
async function livePid(file: string, mark: string): Promise<number | undefined> {
  try {
    const pid = Number((await readFile(file, 'utf8')).trim());
    if (!Number.isInteger(pid) || pid <= 1) return undefined;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    return commandLine.includes(mark) ? pid : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
