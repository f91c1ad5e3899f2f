// How many steps expressions may take: counted round by round, since nothing else makes an expression take long. Our count is
// coarser than upstream's.

/** Of all expressions of one policy for one request and parameter. */
export const RUNTIME_COST_BUDGET = 10_000_000;
/** Of one expression. */
export const PER_CALL_LIMIT = 1_000_000;

export const OUT_OF_BUDGET =
  'validation failed due to running out of cost budget, no further validation rules will be run';

export class OutOfBudget extends Error {
  override name = 'OutOfBudget';
  constructor() {
    super(OUT_OF_BUDGET);
  }
}

export class Budget {
  #left: number;
  #leftInCall = 0;

  constructor(steps = RUNTIME_COST_BUDGET) {
    this.#left = steps;
  }

  count(steps: number): boolean {
    this.#left -= steps;
    this.#leftInCall -= steps;
    return this.#left >= 0 && this.#leftInCall >= 0;
  }

  /** Runs one expression, or one that it needs, at a cost of `steps` besides its loops. Throws OutOfBudget once all is spent. */
  spend<T>(steps: number, run: () => T): T {
    const around = { budget: current, left: this.#leftInCall };
    current = this;
    this.#leftInCall = PER_CALL_LIMIT;
    this.count(steps);
    let exceeded: boolean;
    let outcome: { readonly value: T } | { readonly error: unknown };
    try {
      outcome = { value: run() };
    } catch (error) {
      outcome = { error };
    } finally {
      exceeded = this.#leftInCall < 0;
      current = around.budget;
      this.#leftInCall = around.left;
    }
    // An expression that could not be finished has said nothing, whatever it ended with.
    if (this.#left < 0) throw new OutOfBudget();
    if (exceeded) throw new Error('operation cancelled: actual cost limit exceeded');
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }
}

/** Expressions run to their end at once: whose steps are counted is the one that runs. */
let current: Budget | undefined;

/** The function that expressions call in every round. */
export function countSteps(steps: bigint): boolean {
  return current === undefined || current.count(Number(steps));
}
