// What calls of functions cost: an expression runs to its end in one stretch, so functions whose work grows with what they
// are given say so before they begin.

/** Counts steps; false once there were too many. */
export interface Meter {
  count(steps: number): boolean;
}

let current: Meter | undefined;

/** Expressions run to their end at once: what is counted belongs to the one that runs. Answers what was counted for before. */
export function meterWith(meter: Meter | undefined): Meter | undefined {
  const before = current;
  current = meter;
  return before;
}

/** False once there were too many; nothing is counted outside of a budget. */
export function countSteps(steps: number): boolean {
  return current === undefined || current.count(steps);
}

/** As countSteps; throws instead. */
export function chargeSteps(steps: number): void {
  if (!countSteps(steps)) throw new Error('operation cancelled: actual cost limit exceeded');
}

/** Characters that are gone through in one step. */
const CHARACTERS = 10;

/** Steps of going through values once. */
export function sizeOf(values: readonly unknown[]): number {
  let steps = 0;
  for (const value of values) {
    if (typeof value === 'string') steps += Math.ceil(value.length / CHARACTERS);
    else if (Array.isArray(value)) steps += value.length;
  }
  return steps;
}

/** A function that is charged for going through its arguments once. */
export function metered(handler: (...args: never[]) => unknown): (...args: unknown[]) => unknown {
  return (...args) => {
    chargeSteps(sizeOf(args));
    return handler(...(args as never[]));
  };
}
