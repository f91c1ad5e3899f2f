import type { ConfigMap, Namespace } from '../api/generated/types.ts';
import { draft } from '../api/object.ts';
import { isTerminating } from '../machinery/meta.ts';
import { type Controller, watch } from './runtime.ts';
import { ignoreExistingOrLeaving } from './service-account.ts';

const NAME = 'kube-root-ca.crt';
/** Of all the ConfigMaps in a cluster only these are kept in memory for it. */
const OURS = `metadata.name=${NAME}`;
const DESCRIPTION_KEY = 'kubernetes.io/description';
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

export interface RootCaOptions {
  /** The bundle that verifies the API servers, in PEM. */
  readonly rootCa: string;
}

/** Keeps a ConfigMap with the cluster's root certificate in every namespace, where pods mount it from. */
export function rootCaPublisher({ rootCa }: RootCaOptions): Controller {
  return {
    name: 'root-ca-cert-publisher',
    watches: () => [
      watch('namespaces', { keys: (namespace) => [namespace.metadata.name] }),
      watch('configmaps', {
        fieldSelector: OURS,
        keys: ({ metadata }, _previous, change) => (change === 'added' ? [] : [metadata.namespace ?? '']),
      }),
    ],
    async reconcile({ client, informers }, name, signal) {
      const namespace = informers.for('namespaces').get(name);
      const step = decideRootCa(namespace, informers.for('configmaps', OURS).get(`${name}/${NAME}`), rootCa);
      if (!step) return;
      await client.resource('configmaps')[step.kind](step.object, { signal }).catch(ignoreExistingOrLeaving);
    },
  };
}

/** What to write, if anything. */
export function decideRootCa(
  namespace: Namespace | undefined,
  current: ConfigMap | undefined,
  rootCa: string,
): { readonly kind: 'create' | 'update'; readonly object: ConfigMap } | undefined {
  if (!namespace || isTerminating(namespace)) return undefined;
  const data = { 'ca.crt': rootCa };
  if (!current) {
    const metadata = {
      namespace: namespace.metadata.name,
      name: NAME,
      annotations: { [DESCRIPTION_KEY]: DESCRIPTION },
    };
    return { kind: 'create', object: { metadata, data } };
  }
  const described = current.metadata.annotations?.[DESCRIPTION_KEY] === DESCRIPTION;
  const same = Object.keys(current.data ?? {}).length === 1 && current.data?.['ca.crt'] === rootCa;
  if (described && same) return undefined;
  const object = draft(current);
  object.data = data;
  object.metadata.annotations = { ...object.metadata.annotations, [DESCRIPTION_KEY]: DESCRIPTION };
  return { kind: 'update', object };
}
