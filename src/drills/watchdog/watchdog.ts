// A process of its own that outlives the drill: when the drill has died, by whatever, it undoes what the journal says.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../../cluster/layout.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Ground } from '../faults/ground.ts';
import { isAlive, journalFile, type ProcessIdentity, readJournal, undo } from './journal.ts';

const LOOK_MS = 200;
/** What a dying drill had begun may still take effect: everything is undone once more after this. */
const AGAIN_AFTER_MS = 500;

/** Starts it, apart from this process and its terminal. */
export async function startWatchdog(program: readonly string[], layout: Layout, drill: ProcessIdentity): Promise<void> {
  await mkdir(layout.logs, { recursive: true });
  const log = openSync(join(layout.logs, 'drill-watchdog.log'), 'a');
  const place = ['--name', layout.name, '--data-dir', join(layout.root, '..')];
  const [file, ...args] = [...program, 'drill', 'watchdog', String(drill.pid), drill.began, ...place];
  const child = spawn(file!, args, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
}

export interface Watched {
  readonly layout: Layout;
  readonly ground: Ground;
  readonly clock: Clock;
  readonly drill: ProcessIdentity;
  readonly say: (text: string) => void;
}

/** Waits until the drill has ended. Nothing to undo then: it ended well. */
export async function watch({ layout, ground, clock, drill, say }: Watched, signal: AbortSignal): Promise<void> {
  while (await isAlive(drill)) await sleep(clock, LOOK_MS, signal);
  const file = journalFile(layout);
  const text = await readJournal(file);
  if (!text || text.owner.pid !== drill.pid || text.owner.began !== drill.began) return;
  const undoes = text.entries.toReversed().flatMap((entry) => entry.undoes);
  say(
    `the drill (process ${drill.pid}) has died; undoing: ${text.entries.map(({ fault }) => fault).join(', ') || 'nothing'}`,
  );
  for (let round = 0; round < 2; round++) {
    const failures = await undo(undoes, ground, signal);
    for (const failure of failures) say(`cannot undo: ${String(failure)}`);
    if (round === 0) await sleep(clock, AGAIN_AFTER_MS, signal);
    else if (failures.length === 0) await removeIfSame(layout, drill);
  }
  say('undone');
}

/** The next drill may have begun already. */
async function removeIfSame(layout: Layout, drill: ProcessIdentity): Promise<void> {
  const now = await readJournal(journalFile(layout));
  if (now?.owner.pid === drill.pid && now.owner.began === drill.began) await rm(journalFile(layout), { force: true });
}
