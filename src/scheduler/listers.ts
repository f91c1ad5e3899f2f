import type { PodDisruptionBudget } from '../api/generated/types.ts';
import type { Informers } from '../client/contract.ts';
import type { Listers } from './framework.ts';
import { SpreadSelectors } from './spread-selectors.ts';

/** The informers behind the plugins' questions. Made before the informers start, so that all of them are started. */
export function informerListers(informers: Informers): { listers: Listers; connect: (signal: AbortSignal) => void } {
  const namespaces = informers.for('namespaces');
  const claims = informers.for('persistentvolumeclaims');
  const volumes = informers.for('persistentvolumes');
  const classes = informers.for('storageclasses.storage.k8s.io');
  const budgets = informers.for('poddisruptionbudgets.policy');
  const spread = new SpreadSelectors(informers);
  const listers: Listers = {
    namespaceLabels: (name) => namespaces.get(name)?.metadata.labels,
    spreadSelector: (info) => spread.of(info),
    claim: (namespace, name) => claims.get(`${namespace}/${name}`),
    volume: (name) => volumes.get(name),
    volumes: () => volumes.list(),
    storageClass: (name) => classes.get(name),
    budgets: (namespace): readonly PodDisruptionBudget[] => budgets.list(namespace),
  };
  return { listers, connect: (signal) => spread.connect(signal) };
}
