// The order of a merged list: what the patch names in the patch's order, the rest in the order it had, interleaved.

/**
 * `merged` in order. Items that `first` names come in its order; the others in the order of `live`. One of the others comes
 * before the next named item when it came before it in `live`. `key` identifies objects; without it items are scalars.
 */
export function mergedOrder(
  merged: readonly unknown[],
  first: readonly unknown[],
  live: readonly unknown[],
  key: string | undefined,
): unknown[] {
  const identity = (item: unknown): unknown =>
    key === undefined ? item : (item as { [k: string]: unknown } | null)?.[key];
  const named = positions(first, identity);
  const before = positions(live, identity);
  const byPosition = (items: unknown[], at: ReadonlyMap<unknown, number>): unknown[] =>
    items.sort((a, b) => (at.get(identity(a)) ?? 0) - (at.get(identity(b)) ?? 0));
  const chosen = byPosition(
    merged.filter((item) => named.has(identity(item))),
    named,
  );
  const others = byPosition(
    merged.filter((item) => !named.has(identity(item))),
    before,
  );
  const ordered: unknown[] = [];
  let next = 0;
  for (const item of chosen) {
    const place = before.get(identity(item));
    while (next < others.length && place !== undefined && isBefore(before.get(identity(others[next])), place)) {
      ordered.push(others[next++]);
    }
    ordered.push(item);
  }
  return [...ordered, ...others.slice(next)];
}

function isBefore(position: number | undefined, place: number): boolean {
  return position !== undefined && position < place;
}

function positions(list: readonly unknown[], identity: (item: unknown) => unknown): Map<unknown, number> {
  const found = new Map<unknown, number>();
  list.forEach((item, index) => {
    if (!found.has(identity(item))) found.set(identity(item), index);
  });
  return found;
}
