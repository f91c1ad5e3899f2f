// In a normal build this is what `planted.ts` is (scripts/build.ts): no bug, and no way to one.
export const BUGS = [];

export function plant(...bugs: readonly string[]): void {
  if (bugs.length > 0)
    throw new Error('this build has no bugs to plant; "node scripts/build.ts --plant" makes one that has');
}

export function isPlanted(_: string): boolean {
  return false;
}
