// A process of its own that outlives the drill: when the drill has died, by whatever, it undoes what the journal says.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../../cluster/layout.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Ground } from '../faults/ground.ts';
import { identify, isHeld, type JournalText, journalFile, type ProcessIdentity, readJournal, undo } from './journal.ts';

const LOOK_MS = 200;
/** What a dying drill had begun may still take effect: everything is undone once more after this. */
const AGAIN_AFTER_MS = 500;

/** Starts it, apart from this process and its terminal, for one session of drills of a process. */
export async function startWatchdog(
  program: readonly string[],
  layout: Layout,
  { drill, session }: Pick<Watched, 'drill' | 'session'>,
): Promise<ProcessIdentity> {
  await mkdir(layout.logs, { recursive: true });
  const log = openSync(join(layout.logs, 'drill-watchdog.log'), 'a');
  const place = ['--name', layout.name, '--data-dir', join(layout.root, '..')];
  const [file, ...args] = [...program, 'drill', 'watchdog', String(drill.pid), drill.began, session, ...place];
  const child = spawn(file!, args, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
  const watchdog = await identify(child.pid!);
  if (!watchdog) throw new Error(`the watchdog does not run; see ${join(layout.logs, 'drill-watchdog.log')}`);
  return watchdog;
}

export interface Watched {
  readonly layout: Layout;
  readonly ground: Ground;
  readonly clock: Clock;
  readonly drill: ProcessIdentity;
  readonly session: string;
  readonly say: (text: string) => void;
}

/** Waits until the session has ended. Its journal is gone then, or it died. */
export async function watch(watched: Watched, signal: AbortSignal): Promise<void> {
  const { ground, clock, drill, say } = watched;
  let text = await ownJournal(watched);
  while (text && (await isHeld(text))) {
    await sleep(clock, LOOK_MS, signal);
    text = await ownJournal(watched);
  }
  if (!text) return;
  const undoes = text.entries.toReversed().flatMap((entry) => entry.undoes);
  const left = text.entries.map(({ fault }) => fault).join(', ') || 'nothing';
  say(`the drill (process ${drill.pid}) has ${text.ended ? 'ended' : 'died'}; undoing: ${left}`);
  for (let round = 0; round < 2; round++) {
    const failures = await undo(undoes, ground, signal);
    for (const failure of failures) say(`cannot undo: ${String(failure)}`);
    if (round === 0) await sleep(clock, AGAIN_AFTER_MS, signal);
    else if (failures.length === 0 && (await ownJournal(watched))) await rm(journalFile(watched.layout));
  }
  say('undone');
}

/** Undefined: there is none, or it is of another session. */
async function ownJournal({ layout, drill, session }: Watched): Promise<JournalText | undefined> {
  const text = await readJournal(journalFile(layout));
  return text?.session === session && text.owner.pid === drill.pid && text.owner.began === drill.began
    ? text
    : undefined;
}
