// How much expressions may cost, in upstream's units: a name or a member is 1, ten characters that are gone through are 1
// (call-cost.ts). Budgets of an object are upstream's; one expression ends five times as early as upstream's, since nothing
// else is done while it runs.
import { COST_EXCEEDED, type Meter, meterWith } from './meter.ts';

/** Of all expressions of one policy for one request and parameter, and of all rules for one custom resource. */
export const RUNTIME_COST_BUDGET = 10_000_000;
/** Of all match conditions of one webhook, or of one policy, for one request. */
export const MATCH_CONDITIONS_COST_BUDGET = RUNTIME_COST_BUDGET / 4;
/** Of one expression, and of the variables that it is the first to ask for. Upstream's is a million. */
export const PER_CALL_LIMIT = 200_000;
/** After so much, others have their turn before the next expression runs. */
const COST_PER_TURN = 50_000;

export const OUT_OF_BUDGET =
  'validation failed due to running out of cost budget, no further validation rules will be run';

export class OutOfBudget extends Error {
  override name = 'OutOfBudget';
  constructor() {
    super(OUT_OF_BUDGET);
  }
}

/** One expression cost more than one may. */
export class CallLimitExceeded extends Error {
  override name = 'CallLimitExceeded';
  constructor() {
    super(COST_EXCEEDED);
  }
}

export class Budget implements Meter {
  #left: number;
  #turn: number;
  /** Of the expression that runs; undefined: none does. */
  #leftInCall: number | undefined;

  constructor(cost = RUNTIME_COST_BUDGET) {
    this.#left = cost;
    this.#turn = cost;
  }

  /** Whether so much was done that others should have a turn; they are taken to have had it then. */
  get isLongTurn(): boolean {
    if (this.#turn - this.#left < COST_PER_TURN) return false;
    this.#turn = this.#left;
    return true;
  }

  count(cost: number): boolean {
    this.#left -= cost;
    this.#leftInCall = (this.#leftInCall ?? 0) - cost;
    return this.#left >= 0 && this.#leftInCall >= 0;
  }

  /**
   * Runs one expression, or one that it needs, which is then a part of it. Throws OutOfBudget once all is spent,
   * CallLimitExceeded when the expression itself cost too much.
   */
  spend<T>(run: () => T): T {
    const outermost = this.#leftInCall === undefined;
    const around = meterWith(this);
    if (outermost) this.#leftInCall = PER_CALL_LIMIT;
    let outcome: { readonly value: T } | { readonly error: unknown };
    try {
      outcome = { value: run() };
    } catch (error) {
      outcome = { error };
    }
    meterWith(around);
    const exceeded = this.#leftInCall! < 0;
    if (outermost) this.#leftInCall = undefined;
    // An expression that could not be finished has said nothing, whatever it ended with.
    if (this.#left < 0) throw new OutOfBudget();
    if (exceeded) throw new CallLimitExceeded();
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }
}
