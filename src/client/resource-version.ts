/**
 * Orders two resource versions (decimal integers of any length, KEP-5504): negative when `a` is older. "" is older than all.
 * Longer means larger, because neither has leading zeros.
 */
export function compareResourceVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
