// Where objects lie in the store: /registry/<prefix>/[<namespace>/]<name>, the prefix of one or two segments.

export const REGISTRY_ROOT = '/registry/';

export interface KeyParts {
  /** What the keys of one resource share, without root and slashes at the ends: "pods", "services/specs". */
  readonly prefix: string;
  readonly namespace: string | undefined;
}

/**
 * Takes a key apart; undefined when it is no object's. `known` tells the prefixes that resources have; what is under none of them is a
 * custom resource, whose prefix has two segments: group and plural.
 */
export function partsOf(key: string, known: { has(prefix: string): boolean }): KeyParts | undefined {
  if (!key.startsWith(REGISTRY_ROOT)) return undefined;
  const first = key.indexOf('/', REGISTRY_ROOT.length);
  if (first === -1) return undefined;
  let end = first;
  if (!known.has(key.slice(REGISTRY_ROOT.length, first))) {
    end = key.indexOf('/', first + 1);
    if (end === -1) return undefined;
  }
  const slash = key.indexOf('/', end + 1);
  if (end + 1 === key.length || slash + 1 === key.length) return undefined;
  return {
    prefix: key.slice(REGISTRY_ROOT.length, end),
    namespace: slash === -1 ? undefined : key.slice(end + 1, slash),
  };
}
