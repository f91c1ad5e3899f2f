// Which items of two lists are the same one: those of a list that is a map by its keys, those of a set by all that they are.

type Members = { readonly [name: string]: unknown };

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A text that is the same for equal JSON values only, whatever the order of their members. */
export function identityText(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === 'bigint') return { '': String(one) };
    return isObject(one) ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1))) : one;
  });
}

/** What tells an item of a list that is a map from the others; undefined for one that has no members. */
export function keyText(keys: readonly string[], item: unknown): string | undefined {
  if (!isObject(item)) return undefined;
  return identityText(keys.map((key) => (Object.hasOwn(item, key) ? item[key] : null)));
}

/** Finds the item of `old`, a list that is a map, which has the keys of another. The list is gone through once. */
export function itemWithKeysOf(keys: readonly string[], old: readonly unknown[]): (item: unknown) => unknown {
  let byKeys: Map<string, unknown> | undefined;
  return (item) => {
    const text = keyText(keys, item);
    if (text === undefined) return undefined;
    if (!byKeys) {
      byKeys = new Map();
      for (const one of old) {
        const own = keyText(keys, one);
        if (own !== undefined && !byKeys.has(own)) byKeys.set(own, one);
      }
    }
    return byKeys.get(text);
  };
}
