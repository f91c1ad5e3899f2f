// What is to be undone, in a file: written before each fault, so that whoever finds it can heal the cluster, whatever became of
// the drill.
import { link, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../../cluster/layout.ts';
import { writeFileAtomically } from '../../cluster/settings.ts';
import type { Ground } from '../faults/ground.ts';
import type { Operation } from '../faults/operations.ts';

/** A process, told from another one that has its number later by when it began (ticks since boot). */
export interface ProcessIdentity {
  readonly pid: number;
  readonly began: string;
}

interface Entry {
  readonly fault: string;
  readonly undoes: readonly Operation[];
}

export interface JournalText {
  /** The process whose drills these are. */
  readonly owner: ProcessIdentity;
  /** Tells the sessions of one process apart. */
  readonly session: string;
  /** Undoes what is written here when the owner has died. */
  readonly watchdog?: ProcessIdentity;
  /** The owner is done, and could not undo this. */
  readonly ended?: true;
  readonly entries: readonly Entry[];
}

/** Somebody else breaks the cluster now. */
export class DrillRuns extends Error {}

/** How often an undoing that fails is tried again; then the others are tried. */
const TRIES = 3;

export function journalFile(layout: Layout): string {
  return join(layout.root, 'drills', 'undo.json');
}

export class Journal {
  readonly #file: string;
  readonly #head: Pick<JournalText, 'owner' | 'session'>;
  readonly #entries = new Map<number, Entry>();
  #more: Pick<JournalText, 'watchdog' | 'ended'> = {};
  #next = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: string, head: Pick<JournalText, 'owner' | 'session'>) {
    this.#file = file;
    this.#head = head;
  }

  /** The file is the lock: of several that open it at the same time one does, the others throw. What a dead drill left must be undone. */
  static async open(layout: Layout, owner: ProcessIdentity, session: string): Promise<Journal> {
    const file = journalFile(layout);
    const journal = new Journal(file, { owner, session });
    const own = `${file}.${owner.pid}.${session}`;
    await writeFileAtomically(own, journal.#text());
    try {
      // With its content, or not at all: whoever finds the file can read whose it is.
      await link(own, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const before = await readJournal(file);
      throw new DrillRuns(`another drill runs on this cluster${before ? ` (process ${before.owner.pid})` : ''}`);
    } finally {
      await rm(own, { force: true });
    }
    return journal;
  }

  /** Who undoes, should the owner die. Nobody else does while that process lives. */
  async watchedBy(watchdog: ProcessIdentity): Promise<void> {
    this.#more = { watchdog };
    await this.#write();
  }

  /** Resolves when it is written; only then the fault may begin. Returns how to strike it out. */
  async add(fault: string, undoes: readonly Operation[]): Promise<() => Promise<void>> {
    const id = this.#next++;
    this.#entries.set(id, { fault, undoes });
    await this.#write();
    return async () => {
      this.#entries.delete(id);
      await this.#write();
    };
  }

  /** The drills are over. What could not be undone stays written down, for the watchdog and for `drill heal`. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined);
    if (this.#entries.size === 0) return rm(this.#file, { force: true });
    this.#more = { ...this.#more, ended: true };
    await this.#write();
  }

  #write(): Promise<void> {
    const write = (): Promise<void> => writeFileAtomically(this.#file, this.#text());
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }

  #text(): string {
    const text: JournalText = { ...this.#head, ...this.#more, entries: [...this.#entries.values()] };
    return `${JSON.stringify(text, null, 2)}\n`;
  }
}

/** Its drill goes on: nobody else may undo, or begin. */
export async function isHeld({ owner, ended }: JournalText): Promise<boolean> {
  return !ended && (await isAlive(owner));
}

/** Throws while a drill runs on the cluster, whoever started it. */
export async function mustBeFree(layout: Layout): Promise<JournalText | undefined> {
  const text = await readJournal(journalFile(layout));
  if (text && (await isHeld(text))) throw new DrillRuns(`a drill runs on this cluster (process ${text.owner.pid})`);
  return text;
}

/** Undoes what is in the file, the newest first, and removes it. Throws after all was tried, if something could not be undone. */
export async function undoAll(layout: Layout, ground: Ground, signal: AbortSignal): Promise<readonly string[]> {
  const file = journalFile(layout);
  const text = await readJournal(file);
  if (!text) return [];
  const failures: unknown[] = [];
  for (const { undoes } of text.entries.toReversed()) failures.push(...(await undo(undoes, ground, signal)));
  if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('; '));
  await rm(file, { force: true });
  return text.entries.map(({ fault }) => fault);
}

/** Tries all of them; returns what could not be done. */
export async function undo(
  undoes: readonly Operation[],
  ground: Ground,
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  const failures: unknown[] = [];
  for (const operation of undoes) {
    for (let tries = 1; ; tries++) {
      try {
        await ground.perform(operation, signal);
        break;
      } catch (error) {
        signal.throwIfAborted();
        if (tries < TRIES) continue;
        failures.push(error);
        break;
      }
    }
  }
  return failures;
}

export async function readJournal(file: string): Promise<JournalText | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as JournalText;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined: no such process. One that waits to be reaped has ended. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The program's name, in parentheses, may have spaces.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (!fields || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, began: fields[19]! };
}

export async function isAlive(one: ProcessIdentity): Promise<boolean> {
  return (await identify(one.pid))?.began === one.began;
}
