// A disk in memory that outlives the process which writes to it, with delays and failures.
import type { Random } from '../lib/random.ts';
import type { Revision } from '../store/contract.ts';
import type { RecordBatch, RecordLog, WriteRecord } from '../store/records.ts';
import { randomOf, type SimulatedProcess, type World } from './process.ts';

/** How the disk behaves now. Rates are shares of all appends. */
export interface DiskBehaviour {
  readonly syncMs: number;
  /** Appends that take SLOW_SYNC_MS. */
  readonly slow: number;
  /** Appends that fail, and may have reached the disk all the same. */
  readonly failing: number;
}

export const SOUND_DISK: DiskBehaviour = { syncMs: 0.5, slow: 0, failing: 0 };
export const BAD_DISK: DiskBehaviour = { syncMs: 2, slow: 0.02, failing: 0.003 };
const SLOW_SYNC_MS = 1_500;

export class SimulatedDisk {
  behaviour: DiskBehaviour = SOUND_DISK;
  readonly #world: World;
  readonly #random: Random;
  readonly #records = new Map<Revision, WriteRecord>();
  #compacted: Revision = 0;
  #failures = 0;
  readonly #waiting: (() => void)[] = [];
  /** A record log has one append at a time. */
  #underWay: { readonly batch: RecordBatch; readonly reaches: boolean } | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#random = randomOf(world.seed, 'disk');
  }

  /** Resolves when the next write to the disk has begun, and is not done. */
  busy(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** How many appends failed. */
  get failures(): number {
    return this.#failures;
  }

  /** For one process. What the one before had under way when it was killed has reached the disk by now, or never will. */
  open(owner: SimulatedProcess): RecordLog {
    if (this.#underWay?.reaches) this.#apply(this.#underWay.batch);
    this.#underWay = undefined;
    const disk = this;
    return {
      get compacted() {
        return disk.#compacted;
      },
      scan: (after) => disk.#scan(after),
      read(revision) {
        const value = disk.#records.get(revision)?.value;
        if (!value) throw new Error(`there is no value of revision ${revision} on the simulated disk`);
        return value;
      },
      append: (batch) => disk.#append(batch, owner),
      probe: () => disk.#take(owner, () => undefined),
      close: () => Promise.resolve(),
    };
  }

  #scan(after: Revision): WriteRecord[] {
    return [...this.#records.values()]
      .filter(({ revision }) => revision > after)
      .sort((a, b) => a.revision - b.revision);
  }

  #append(batch: RecordBatch, owner: SimulatedProcess): Promise<void> {
    if (owner.dead) return new Promise(() => undefined);
    const fails = this.#random.next() < this.behaviour.failing;
    const append = { batch, reaches: this.#random.next() < 0.5 };
    this.#underWay = append;
    for (const resolve of this.#waiting.splice(0)) resolve();
    return this.#take(owner, () => {
      this.#underWay = undefined;
      if (!fails || append.reaches) this.#apply(batch);
      if (!fails) return;
      this.#failures++;
      throw new Error('input/output error (simulated)');
    });
  }

  #take(owner: SimulatedProcess, work: () => void): Promise<void> {
    const slow = this.#random.next() < this.behaviour.slow;
    const delayMs = slow ? SLOW_SYNC_MS : this.behaviour.syncMs * (0.5 + this.#random.next());
    return new Promise((resolve, reject) => {
      this.#world.clock.timer(delayMs, () => {
        if (owner.dead) return;
        try {
          work();
          owner.receive(resolve);
        } catch (error) {
          owner.receive(() => reject(error));
        }
      });
    });
  }

  #apply({ records, remove, compacted }: RecordBatch): void {
    for (const record of records) this.#records.set(record.revision, record);
    for (const revision of remove) this.#records.delete(revision);
    this.#compacted = Math.max(this.#compacted, compacted);
  }
}
