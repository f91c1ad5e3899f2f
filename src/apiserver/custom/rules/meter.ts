// What the expression that runs has cost so far. It runs to its end in one stretch: whoever does work for it whose size
// depends on what it is given says so before beginning.

/** Counts costs. */
export interface Meter {
  /** False once there were too many. */
  count(cost: number): boolean;
}

let current: Meter | undefined;

/** Expressions run to their end at once: what is counted belongs to the one that runs. Answers what was counted for before. */
export function meterWith(meter: Meter | undefined): Meter | undefined {
  const before = current;
  current = meter;
  return before;
}

/** False once there were too many; nothing is counted outside of a budget. */
export function count(cost: number): boolean {
  return current === undefined || current.count(cost);
}

export const COST_EXCEEDED = 'operation cancelled: actual cost limit exceeded';

/** As count; throws instead. */
export function charge(cost: number): void {
  if (current !== undefined && !current.count(cost)) throw new Error(COST_EXCEEDED);
}
