// What is to be undone, in a file: written before each fault, so that whoever finds it can heal the cluster, whatever became of
// the drill.
import { readFile, rm } from 'node:fs/promises';
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

interface JournalText {
  /** The drill that runs. */
  readonly owner: ProcessIdentity;
  readonly entries: readonly Entry[];
}

/** How often an undoing that fails is tried again; then the others are tried. */
const TRIES = 3;

export function journalFile(layout: Layout): string {
  return join(layout.root, 'drills', 'undo.json');
}

export class Journal {
  readonly #file: string;
  readonly #owner: ProcessIdentity;
  readonly #entries = new Map<number, Entry>();
  #next = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: string, owner: ProcessIdentity) {
    this.#file = file;
    this.#owner = owner;
  }

  /** Throws when another drill runs on the cluster. What a dead one left must have been undone. */
  static async open(layout: Layout, owner: ProcessIdentity): Promise<Journal> {
    const file = journalFile(layout);
    const before = await readJournal(file);
    if (before && (await isAlive(before.owner)) && before.owner.pid !== owner.pid) {
      throw new Error(`another drill runs on this cluster (process ${before.owner.pid})`);
    }
    const journal = new Journal(file, owner);
    await journal.#write();
    return journal;
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
    if (this.#entries.size > 0) return;
    await rm(this.#file, { force: true });
  }

  #write(): Promise<void> {
    const write = (): Promise<void> => {
      const text: JournalText = { owner: this.#owner, entries: [...this.#entries.values()] };
      return writeFileAtomically(this.#file, `${JSON.stringify(text, null, 2)}\n`);
    };
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }
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
