// A kubelet may change its own node, the pods bound to it, and their tokens; nothing of other nodes.
import type { Eviction, Lease, Node, Pod, TokenRequest } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { forbidden } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';
import { sameMeaning } from '../strategies/equality.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld } from './plugin.ts';

const NODE_USER = 'system:node:';
const NODE_GROUP = 'system:nodes';
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';
const RESTRICTED_LABELS = 'node-restriction.kubernetes.io/';

/** The node that a user is, if it is a kubelet. */
export function nodeOf(user: UserInfo): string | undefined {
  if (!user.groups.includes(NODE_GROUP) || !user.username.startsWith(NODE_USER)) return undefined;
  return user.username.slice(NODE_USER.length);
}

type Rule = (
  node: string,
  world: AdmissionWorld,
  request: AdmissionRequest,
  object: KubeObject | undefined,
) => string | undefined;

const ownNode: Rule = (node, _world, request, object) => {
  const name = request.target.name ?? object?.metadata.name;
  if (name !== node) return `node ${JSON.stringify(node)} is not allowed to modify node ${JSON.stringify(name)}`;
  if (request.operation === 'DELETE') return `node ${JSON.stringify(node)} is not allowed to delete nodes`;
  const now = object as Node;
  const old = request.old as Node | undefined;
  const labels = { ...old?.metadata.labels, ...now.metadata.labels };
  for (const key of Object.keys(labels)) {
    const restricted = key.split('/')[0]?.endsWith(RESTRICTED_LABELS.slice(0, -1));
    if (restricted && now.metadata.labels?.[key] !== old?.metadata.labels?.[key]) {
      return `is not allowed to modify labels: ${key}`;
    }
  }
  if (old && !sameMeaning(now.spec?.taints, old.spec?.taints)) {
    return `node ${JSON.stringify(node)} is not allowed to modify taints`;
  }
  return undefined;
};

const ownPods: Rule = (node, world, request, object) => {
  const { operation, target } = request;
  if (operation === 'CREATE' && target.subresource === undefined) {
    const pod = object as Pod;
    if (pod.metadata.annotations?.[MIRROR_ANNOTATION] === undefined) {
      return `pod does not have ${JSON.stringify(MIRROR_ANNOTATION)} annotation, node ${JSON.stringify(node)} can only create mirror pods`;
    }
    return pod.spec.nodeName === node
      ? undefined
      : `node ${JSON.stringify(node)} can only create pods with spec.nodeName set to itself`;
  }
  const pod = (request.old ?? world.get('', 'pods', target.namespace, target.name ?? '')) as Pod | undefined;
  if (!pod || pod.spec.nodeName === node) return undefined;
  const verb = operation === 'DELETE' ? 'delete' : target.subresource === 'eviction' ? 'evict' : 'update status for';
  return `node ${JSON.stringify(node)} can only ${verb} pods with spec.nodeName set to itself`;
};

const ownTokens: Rule = (node, world, request, object) => {
  const ref = (object as TokenRequest | Eviction as TokenRequest).spec?.boundObjectRef;
  if (ref?.kind !== 'Pod' || !ref.uid) return `node requested token not bound to a pod`;
  const pod = world.get('', 'pods', request.target.namespace, ref.name ?? '') as Pod | undefined;
  if (pod?.metadata.uid !== ref.uid)
    return `the UID in the bound object reference (${ref.uid}) does not match the UID in record`;
  return pod.spec.nodeName === node ? undefined : 'node requested token bound to a pod scheduled on a different node';
};

const ownLease: Rule = (node, _world, request, object) => {
  const name = request.target.name ?? (object as Lease | undefined)?.metadata.name;
  if (request.target.namespace !== 'kube-node-lease') {
    return `can only access leases in the "kube-node-lease" system namespace`;
  }
  return name === node ? undefined : `can only access node lease with the same name as the requesting node`;
};

const ownName: Rule = (node, _world, request, object) => {
  const name = request.target.name ?? object?.metadata.name;
  return name === node ? undefined : `can only access ${request.row.kind} with the same name as the requesting node`;
};

function restriction(resources: readonly string[], rule: Rule): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    operations: ['CREATE', 'UPDATE', 'DELETE'],
    resources,
    validate(world, request, object) {
      const node = nodeOf(world.ctx.user);
      const why = node === undefined ? undefined : rule(node, world, request, object);
      if (why) throw forbidden(request.row, request.target.name ?? object?.metadata.name ?? '', why);
    },
  };
}

export const nodeRestriction: readonly AdmissionPlugin[] = [
  restriction(['nodes', 'nodes/status'], ownNode),
  restriction(
    ['pods', 'pods/status', 'pods/eviction', 'pods/binding', 'pods/ephemeralcontainers', 'pods/resize'],
    ownPods,
  ),
  restriction(['serviceaccounts/token'], ownTokens),
  restriction(['leases.coordination.k8s.io'], ownLease),
  restriction(['csinodes.storage.k8s.io'], ownName),
];
