// Node selectors and node affinity terms, compiled once for every text (core/v1 NodeSelector).
import type { Node, NodeSelectorRequirement, NodeSelectorTerm, Pod } from '../api/generated/types.ts';

/** A bare predicate on a node. `key` is equal for equal selectors. */
export interface NodeMatcher {
  readonly key: string;
  matches(node: Node): boolean;
}

/** nodeSelector and required node affinity of a pod together; undefined when it has neither. */
export function requiredNodeMatcher(pod: Pod): NodeMatcher | undefined {
  const selector = pod.spec.nodeSelector;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const labels = selector ? Object.entries(selector) : [];
  if (labels.length === 0 && !required) return undefined;
  const terms = required?.nodeSelectorTerms;
  return {
    key: JSON.stringify([selector ?? null, terms ?? null]),
    matches: (node) =>
      labels.every(([key, value]) => node.metadata.labels?.[key] === value) && (!terms || matchesAnyTerm(node, terms)),
  };
}

/** Terms are alternatives; an empty list matches nothing (a PersistentVolume's affinity uses this too). */
export function matchesAnyTerm(node: Node, terms: readonly NodeSelectorTerm[]): boolean {
  return terms.some((term) => matchesTerm(node, term));
}

/** A term without requirements matches nothing. */
export function matchesTerm(node: Node, term: NodeSelectorTerm): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return (
    expressions.every((r) => matchesRequirement(node.metadata.labels?.[r.key], r)) &&
    fields.every((r) => r.key === 'metadata.name' && matchesRequirement(node.metadata.name, r))
  );
}

function matchesRequirement(value: string | undefined, requirement: NodeSelectorRequirement): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return compareIntegers(value, values, (a, b) => a > b);
    case 'Lt':
      return compareIntegers(value, values, (a, b) => b > a);
    default:
      return false;
  }
}

function compareIntegers(
  value: string | undefined,
  values: readonly string[],
  holds: (a: bigint, b: bigint) => boolean,
): boolean {
  const [bound] = values;
  if (value === undefined || bound === undefined || values.length !== 1) return false;
  if (!/^[+-]?\d+$/.test(value) || !/^[+-]?\d+$/.test(bound)) return false;
  return holds(BigInt(value.replace('+', '')), BigInt(bound.replace('+', '')));
}

/**
 * The only nodes that can pass when every required term names nodes by metadata.name (what the DaemonSet controller
 * writes); undefined when any term leaves the name open.
 */
export function nodeNamesOf(pod: Pod): ReadonlySet<string> | undefined {
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (!terms || terms.length === 0) return undefined;
  const names = new Set<string>();
  for (const term of terms) {
    const requirements = (term.matchFields ?? []).filter((r) => r.key === 'metadata.name' && r.operator === 'In');
    if (requirements.length === 0) return undefined;
    const [first, ...rest] = requirements;
    for (const name of first!.values ?? []) if (rest.every((r) => r.values?.includes(name))) names.add(name);
  }
  return names;
}
