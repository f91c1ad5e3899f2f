// What every cluster has from its first moment. Run by every server at its start: what is there is left alone.
import type {
  ConfigMap,
  EndpointSlice,
  Namespace,
  PriorityClass,
  Service,
  ServiceCIDR,
} from '../../api/generated/types.ts';
import { cloneJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Tables } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { isReason } from '../../machinery/status.ts';
import type { RequestContext, ResourceApi, Target } from '../contract.ts';
import { sameMeaning } from '../strategies/equality.ts';

export const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'] as const;

export const SYSTEM_PRIORITY_CLASSES: readonly PriorityClass[] = [
  {
    metadata: { name: 'system-node-critical' },
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
    preemptionPolicy: 'PreemptLowerPriority',
  },
  {
    metadata: { name: 'system-cluster-critical' },
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
    preemptionPolicy: 'PreemptLowerPriority',
  },
];

export interface BootstrapInputs {
  /** The port that all API servers serve. */
  readonly port: number;
  /** The kubernetes Service's address: the first of the service range. */
  readonly serviceIP: string;
  readonly serviceCIDR: string;
  /** The CA that clients of the API servers present certificates of, PEM. */
  readonly clientCA: string;
  /** The CA of the proxy that forwards requests to extension API servers, PEM. Absent: no aggregation. */
  readonly requestHeaderCA?: string;
  /** The CA of the API servers' certificates, PEM: each namespace's kube-root-ca.crt has it. */
  readonly rootCA: string;
}

/** Tries against other servers that start at the same time. */
const MAX_TRIES = 5;

/** Creates what is missing. Idempotent; any number of servers may run it at once. */
export async function bootstrap(
  api: ResourceApi,
  tables: Tables,
  ctx: RequestContext,
  inputs: BootstrapInputs,
): Promise<void> {
  const ensure = new Ensure(api, tables, ctx);
  for (const name of SYSTEM_NAMESPACES) await ensure.exists('', 'namespaces', { metadata: { name } } as Namespace);
  for (const priority of SYSTEM_PRIORITY_CLASSES) await ensure.exists('scheduling.k8s.io', 'priorityclasses', priority);
  const cidr: ServiceCIDR = { metadata: { name: 'kubernetes' }, spec: { cidrs: [inputs.serviceCIDR] } };
  await ensure.exists('networking.k8s.io', 'servicecidrs', cidr);
  await ensure.same('', 'configmaps', authentication(inputs));
  for (const namespace of SYSTEM_NAMESPACES) await ensure.same('', 'configmaps', rootCA(namespace, inputs));
  await ensure.exists('', 'services', kubernetesService(inputs));
}

/**
 * Makes the kubernetes Endpoints and EndpointSlice name exactly these servers: at bootstrap, and whenever the set of
 * live servers changes.
 */
export async function publishServers(
  api: ResourceApi,
  tables: Tables,
  ctx: RequestContext,
  servers: { readonly addresses: readonly string[]; readonly port: number },
): Promise<void> {
  const ensure = new Ensure(api, tables, ctx);
  const addresses = servers.addresses.toSorted();
  const metadata = { namespace: 'default', name: 'kubernetes' };
  await ensure.same('', 'endpoints', {
    metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets:
      addresses.length === 0
        ? []
        : [
            {
              addresses: addresses.map((ip) => ({ ip })),
              ports: [{ name: 'https', port: servers.port, protocol: 'TCP' }],
            },
          ],
  } as KubeObject);
  const slice: EndpointSlice = {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: addresses.some((ip) => ip.includes(':')) ? 'IPv6' : 'IPv4',
    endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [{ name: 'https', port: servers.port, protocol: 'TCP' }],
  };
  await ensure.same('discovery.k8s.io', 'endpointslices', slice);
}

function kubernetesService({ serviceIP, port }: BootstrapInputs): Service {
  return {
    metadata: {
      namespace: 'default',
      name: 'kubernetes',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: serviceIP,
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }],
    },
  };
}

/** What extension API servers read to know who may call them. */
function authentication({ clientCA, requestHeaderCA }: BootstrapInputs): ConfigMap {
  const proxy = requestHeaderCA && {
    'requestheader-client-ca-file': requestHeaderCA,
    'requestheader-allowed-names': '["front-proxy-client"]',
    'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
    'requestheader-group-headers': '["X-Remote-Group"]',
    'requestheader-uid-headers': '["X-Remote-Uid"]',
    'requestheader-username-headers': '["X-Remote-User"]',
  };
  return {
    metadata: { namespace: 'kube-system', name: 'extension-apiserver-authentication' },
    data: { 'client-ca-file': clientCA, ...proxy },
  };
}

/** The controller does this for all namespaces; pods of the first minute need it at once. */
function rootCA(namespace: string, inputs: BootstrapInputs): ConfigMap {
  const about =
    'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';
  return {
    metadata: { namespace, name: 'kube-root-ca.crt', annotations: { 'kubernetes.io/description': about } },
    data: { 'ca.crt': inputs.rootCA },
  };
}

/** Creates, or brings up to date, one object. */
class Ensure {
  readonly #api: ResourceApi;
  readonly #tables: Tables;
  readonly #ctx: RequestContext;

  constructor(api: ResourceApi, tables: Tables, ctx: RequestContext) {
    this.#api = api;
    this.#tables = tables;
    this.#ctx = ctx;
  }

  async exists(group: string, resource: string, object: KubeObject): Promise<void> {
    const target = this.#target(group, resource, object);
    if (await this.#current(target)) return;
    await this.#create(target, object);
  }

  /** As exists; an object that says something else is made to say the same (metadata is left alone). */
  async same(group: string, resource: string, object: KubeObject): Promise<void> {
    const target = this.#target(group, resource, object);
    for (let tries = 1; ; tries++) {
      const current = await this.#current(target);
      if (!current && (await this.#create(target, object))) return;
      if (!current) continue;
      const { metadata: _, ...wanted } = object;
      const next = { ...cloneJson(current), ...cloneJson(wanted) } as KubeObject;
      if (sameMeaning(next, current)) return;
      try {
        await this.#api.update(this.#ctx, target, next, {});
        return;
      } catch (error) {
        if (!isReason(error, 'Conflict', 'NotFound') || tries === MAX_TRIES) throw error;
      }
    }
  }

  #target(group: string, resource: string, { metadata: { namespace, name } }: KubeObject): Target {
    const row = this.#tables.preferred(group, resource);
    invariant(row, `no resource ${resource} in group ${JSON.stringify(group)}`);
    return { resource: row, name, ...(namespace !== undefined && { namespace }) };
  }

  async #current(target: Target): Promise<KubeObject | undefined> {
    try {
      return (await this.#api.get(this.#ctx, target, {})).object;
    } catch (error) {
      if (isReason(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  /** False when another server was quicker. */
  async #create({ name: _, ...collection }: Target, object: KubeObject): Promise<boolean> {
    try {
      await this.#api.create(this.#ctx, collection, cloneJson(object), {});
      return true;
    } catch (error) {
      if (isReason(error, 'AlreadyExists')) return false;
      throw error;
    }
  }
}
