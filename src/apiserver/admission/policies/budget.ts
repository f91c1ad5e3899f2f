// How many steps expressions may take: counted round by round, and by functions whose work grows with what they are given. Our
// count is coarser than upstream's, and an expression ends sooner: nothing else is done while it runs.
import { type Meter, meterWith, countSteps as stepsOf } from '../../custom/rules/steps.ts';

/** Of all expressions of one policy for one request and parameter. */
export const RUNTIME_COST_BUDGET = 10_000_000;
/** Of one expression: a million steps take a tenth of a second. */
export const PER_CALL_LIMIT = 200_000;
/** After so many, others have their turn before the next expression runs. */
const STEPS_PER_TURN = 50_000;

export const OUT_OF_BUDGET =
  'validation failed due to running out of cost budget, no further validation rules will be run';

export class OutOfBudget extends Error {
  override name = 'OutOfBudget';
  constructor() {
    super(OUT_OF_BUDGET);
  }
}

export class Budget implements Meter {
  #left: number;
  #turn: number;
  #leftInCall = 0;

  constructor(steps = RUNTIME_COST_BUDGET) {
    this.#left = steps;
    this.#turn = steps;
  }

  /** Whether so much was done that others should have a turn; they are taken to have had it then. */
  get isLongTurn(): boolean {
    if (this.#turn - this.#left < STEPS_PER_TURN) return false;
    this.#turn = this.#left;
    return true;
  }

  count(steps: number): boolean {
    this.#left -= steps;
    this.#leftInCall -= steps;
    return this.#left >= 0 && this.#leftInCall >= 0;
  }

  /** Runs one expression, or one that it needs, at a cost of `steps` besides its loops. Throws OutOfBudget once all is spent. */
  spend<T>(steps: number, run: () => T): T {
    const around = { meter: meterWith(this), left: this.#leftInCall };
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
      meterWith(around.meter);
      this.#leftInCall = around.left;
    }
    // An expression that could not be finished has said nothing, whatever it ended with.
    if (this.#left < 0) throw new OutOfBudget();
    if (exceeded) throw new Error('operation cancelled: actual cost limit exceeded');
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }
}

/** The function that expressions call in every round. */
export function countSteps(steps: bigint): boolean {
  return stepsOf(Number(steps));
}
