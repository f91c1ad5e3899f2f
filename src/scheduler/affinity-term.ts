// Pod affinity terms and label selectors of pods, compiled (core/v1 PodAffinityTerm; KEP-3633 for matchLabelKeys).
import type { LabelSelector, Pod, PodAffinityTerm } from '../api/generated/types.ts';
import { ownMember } from '../api/json.ts';
import type { Selector } from '../machinery/selector.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';

export type Labels = { readonly [key: string]: string } | undefined;
export type NamespaceLabels = (namespace: string) => Labels;

/** One term. Equal keys mean equal terms. */
export interface AffinityTerm {
  readonly key: string;
  readonly topologyKey: string;
  /** Whether a pod with these labels in this namespace is meant. */
  matches(namespace: string, labels: Labels, namespaceLabels: NamespaceLabels): boolean;
  /** Whether the answer depends on namespaces' labels. */
  readonly byNamespaceLabels: boolean;
}

export interface WeightedTerm {
  readonly term: AffinityTerm;
  readonly weight: number;
}

/** A pod's terms; every list may be empty. */
export interface PodTerms {
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly WeightedTerm[];
  readonly preferredAntiAffinity: readonly WeightedTerm[];
}

const SELECTOR_LIMIT = 2048;
const selectors = new Map<string, Selector>();

/** A compiled label selector; undefined selects nothing. Remembered by its text. */
export function selectorOf(selector: LabelSelector): Selector {
  const key = JSON.stringify(selector);
  let compiled = selectors.get(key);
  if (!compiled) {
    compiled = labelSelectorFromObject(selector);
    if (selectors.size >= SELECTOR_LIMIT) selectors.clear();
    selectors.set(key, compiled);
  }
  return compiled;
}

/** The terms of a pod; undefined when it has none, as nearly all. */
export function podTerms(pod: Pod): PodTerms | undefined {
  const affinity = pod.spec.affinity?.podAffinity;
  const anti = pod.spec.affinity?.podAntiAffinity;
  if (!affinity && !anti) return undefined;
  const compile = (term: PodAffinityTerm): AffinityTerm => compileTerm(pod, term);
  return {
    requiredAffinity: (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(compile),
    requiredAntiAffinity: (anti?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(compile),
    preferredAffinity: (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((w) => ({
      term: compile(w.podAffinityTerm),
      weight: w.weight,
    })),
    preferredAntiAffinity: (anti?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((w) => ({
      term: compile(w.podAffinityTerm),
      weight: w.weight,
    })),
  };
}

function compileTerm(pod: Pod, term: PodAffinityTerm): AffinityTerm {
  const own = pod.metadata.namespace ?? '';
  const listed = term.namespaces ?? [];
  const namespaces = listed.length === 0 && !term.namespaceSelector ? [own] : [...listed].sort();
  const selector = withPodLabels(term.labelSelector, pod.metadata.labels, term.matchLabelKeys, term.mismatchLabelKeys);
  const compiled = selector && selectorOf(selector);
  const byNamespace = term.namespaceSelector && selectorOf(term.namespaceSelector);
  return {
    key: JSON.stringify([namespaces, term.namespaceSelector ?? null, selector ?? null, term.topologyKey]),
    topologyKey: term.topologyKey,
    byNamespaceLabels: byNamespace !== undefined && !byNamespace.empty,
    matches: (namespace, labels, namespaceLabels) => {
      if (!compiled?.matches(labels)) return false;
      return namespaces.includes(namespace) || (byNamespace?.matches(namespaceLabels(namespace)) ?? false);
    },
  };
}

/** A selector narrowed to pods that share (or do not share) the pod's own values of some labels. */
export function withPodLabels(
  selector: LabelSelector | undefined,
  labels: Labels,
  same: readonly string[] | undefined,
  different?: readonly string[],
): LabelSelector | undefined {
  if (!selector) return undefined;
  const extra = [
    ...(same ?? []).map((key) => ({ key, operator: 'In', value: ownMember(labels, key) })),
    ...(different ?? []).map((key) => ({ key, operator: 'NotIn', value: ownMember(labels, key) })),
  ].flatMap(({ key, operator, value }) => (value === undefined ? [] : [{ key, operator, values: [value] }]));
  if (extra.length === 0) return selector;
  return { ...selector, matchExpressions: [...(selector.matchExpressions ?? []), ...extra] };
}
