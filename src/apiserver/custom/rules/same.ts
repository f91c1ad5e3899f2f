import { isDeepStrictEqual } from 'node:util';

/** Whether two values of expressions are the same; the members of maps may be in any order. */
export function sameCelValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  return typeof a === 'object' && typeof b === 'object' && isDeepStrictEqual(a, b);
}
