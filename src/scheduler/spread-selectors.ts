import type { LabelSelector, LabelSelectorRequirement, Pod } from '../api/generated/types.ts';
import type { Informers } from '../client/contract.ts';
import type { Selector } from '../machinery/selector.ts';
import { selectorOf } from './affinity-term.ts';
import type { PodInfo } from './pod-info.ts';

export interface SpreadSelector {
  readonly key: string;
  readonly selector: Selector;
}

const REMEMBERED_LIMIT = 4096;

/**
 * Whom a pod without constraints of its own is spread against: the pods of its services and of its controller (upstream's
 * DefaultSelector). Remembered by labels and owner until a service changes; the selectors of controllers do not change.
 */
export class SpreadSelectors {
  readonly #informers: Informers;
  readonly #remembered = new Map<string, SpreadSelector | undefined>();

  constructor(informers: Informers) {
    this.#informers = informers;
    for (const key of ['services', 'replicationcontrollers', 'replicasets.apps', 'statefulsets.apps'] as const) {
      informers.for(key);
    }
  }

  connect(signal: AbortSignal): void {
    const forget = (): void => this.#remembered.clear();
    this.#informers.for('services').subscribe({ add: forget, update: forget, delete: forget }, signal);
  }

  of(info: PodInfo): SpreadSelector | undefined {
    const owner = controllerOf(info.pod);
    const key = `${info.groupKey} ${owner?.uid ?? ''}`;
    if (this.#remembered.has(key)) return this.#remembered.get(key);
    const matchLabels = this.#serviceLabels(info);
    const owned = owner ? this.#ownerSelector(owner.kind, `${info.namespace}/${owner.name}`) : undefined;
    if (owned === 'unknown') return undefined;
    const found = merge(matchLabels, owned);
    if (this.#remembered.size >= REMEMBERED_LIMIT) this.#remembered.clear();
    this.#remembered.set(key, found);
    return found;
  }

  #serviceLabels(info: PodInfo): Record<string, string> {
    const labels = info.pod.metadata.labels ?? {};
    const merged: Record<string, string> = {};
    for (const service of this.#informers.for('services').list(info.namespace)) {
      const selector = Object.entries(service.spec?.selector ?? {});
      if (selector.length === 0 || !selector.every(([key, value]) => labels[key] === value)) continue;
      Object.assign(merged, Object.fromEntries(selector));
    }
    return merged;
  }

  /** 'unknown' while the owner has not come through the informer. */
  #ownerSelector(kind: string, key: string): LabelSelector | 'unknown' | undefined {
    switch (kind) {
      case 'ReplicationController': {
        const found = this.#informers.for('replicationcontrollers').get(key);
        return found ? { matchLabels: found.spec?.selector ?? {} } : 'unknown';
      }
      case 'ReplicaSet':
        return this.#informers.for('replicasets.apps').get(key)?.spec?.selector ?? 'unknown';
      case 'StatefulSet':
        return this.#informers.for('statefulsets.apps').get(key)?.spec?.selector ?? 'unknown';
      default:
        return undefined;
    }
  }
}

function controllerOf(pod: Pod): { kind: string; name: string; uid: string } | undefined {
  return pod.metadata.ownerReferences?.find((owner) => owner.controller);
}

function merge(matchLabels: Record<string, string>, owned: LabelSelector | undefined): SpreadSelector | undefined {
  const ownLabels: LabelSelectorRequirement[] = Object.entries(owned?.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: 'In',
    values: [value],
  }));
  const matchExpressions = [...ownLabels, ...(owned?.matchExpressions ?? [])];
  if (matchExpressions.length === 0 && Object.keys(matchLabels).length === 0) return undefined;
  const selector = { matchLabels, matchExpressions };
  return { key: JSON.stringify(selector), selector: selectorOf(selector) };
}
