// Faults that evict pods come before evictions beside the faults: two that spend one budget would only keep each other waiting.
import type { Ground } from '../faults/ground.ts';
import { type Operation, spendsBudgets } from '../faults/operations.ts';

export class SharedBudgets implements Ground {
  readonly #ground: Ground;
  #spending = 0;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** A fault spends budgets now. */
  get isSpending(): boolean {
    return this.#spending > 0;
  }

  async perform(operation: Operation, signal: AbortSignal): Promise<void> {
    if (!spendsBudgets(operation)) return this.#ground.perform(operation, signal);
    this.#spending++;
    try {
      await this.#ground.perform(operation, signal);
    } finally {
      this.#spending--;
    }
  }
}
