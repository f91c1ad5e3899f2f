// Bugs on purpose, one by one: what shows that drills and simulator would notice them. A normal build has `none.ts` in place of this
// file (scripts/build.ts), so that nothing can switch them on there.

export const BUGS = [
  'acknowledge-before-durable',
  'stale-read',
  'skip-watch-event',
  'no-fencing',
  'forget-finalizer',
  'bind-twice',
  'dead-endpoints',
  'ignore-budget',
] as const;

export type Bug = (typeof BUGS)[number];

const planted = new Set<Bug>();

/** Switches these on, and all others off. Throws for a bug that there is not. */
export function plant(...bugs: readonly string[]): void {
  planted.clear();
  for (const bug of bugs) {
    if (!BUGS.includes(bug as Bug)) throw new Error(`there is no bug "${bug}" to plant; there are: ${BUGS.join(', ')}`);
    planted.add(bug as Bug);
  }
}

export function isPlanted(bug: Bug): boolean {
  return planted.has(bug);
}
