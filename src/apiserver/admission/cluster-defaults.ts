// Defaults that come from other objects of the cluster: node taints, storage classes, ingress classes.
import type { Ingress, IngressClass, Node, PersistentVolumeClaim, StorageClass } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { forbidden } from '../../machinery/status.ts';
import type { AdmissionPlugin } from './plugin.ts';

const NOT_READY = 'node.kubernetes.io/not-ready';

/** A new node takes no pods until it has said that it is ready. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: 'TaintNodesByCondition',
  operations: ['CREATE'],
  resources: ['nodes'],
  admit(_world, _request, object) {
    const node = object as unknown as Draft<Node>;
    node.spec ??= {};
    const taints = node.spec.taints ?? [];
    if (taints.some((t) => t.key === NOT_READY && t.effect === 'NoSchedule')) return;
    node.spec.taints = [...taints, { key: NOT_READY, effect: 'NoSchedule' }];
  },
};

/** The newest of those marked as default; of several as new, the first by name. */
function newestDefault<T extends KubeObject>(objects: readonly T[], annotations: readonly string[]): T | undefined {
  const marked = objects.filter((o) => annotations.some((a) => o.metadata.annotations?.[a] === 'true'));
  const age = (o: T): string => o.metadata.creationTimestamp ?? '';
  return marked.toSorted((a, b) => {
    if (age(a) !== age(b)) return age(b) > age(a) ? 1 : -1;
    return a.metadata.name > b.metadata.name ? 1 : -1;
  })[0];
}

const DEFAULT_STORAGE = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

export const defaultStorageClass: AdmissionPlugin = {
  name: 'DefaultStorageClass',
  operations: ['CREATE'],
  resources: ['persistentvolumeclaims'],
  admit(world, _request, object) {
    const claim = object as unknown as Draft<PersistentVolumeClaim>;
    const annotated = claim.metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined;
    if (claim.spec.storageClassName !== undefined || annotated) return;
    const found = newestDefault(
      world.list('storage.k8s.io', 'storageclasses') as readonly StorageClass[],
      DEFAULT_STORAGE,
    );
    if (found) claim.spec.storageClassName = found.metadata.name;
  },
};

const DEFAULT_INGRESS = 'ingressclass.kubernetes.io/is-default-class';

export const defaultIngressClass: AdmissionPlugin = {
  name: 'DefaultIngressClass',
  operations: ['CREATE'],
  resources: ['ingresses.networking.k8s.io'],
  admit(world, { row }, object) {
    const ingress = object as unknown as Draft<Ingress>;
    if (ingress.spec?.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.['kubernetes.io/ingress.class'] !== undefined) return;
    const classes = world.list('networking.k8s.io', 'ingressclasses') as readonly IngressClass[];
    const marked = classes.filter((c) => c.metadata.annotations?.[DEFAULT_INGRESS] === 'true');
    if (marked.length > 1) {
      const why = `${marked.length} default IngressClasses were found, only 1 allowed`;
      throw forbidden(row, ingress.metadata.name, why);
    }
    if (!marked[0]) return;
    ingress.spec ??= {};
    ingress.spec.ingressClassName = marked[0].metadata.name;
  },
};
