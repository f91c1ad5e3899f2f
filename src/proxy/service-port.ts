// What the proxy needs to know of a Service: one entry for each port that this node's rules must carry.
import type { Service } from '../api/generated/types.ts';
import { canonicalAddress, familyOf, familyOfRange, type IpFamily } from '../network/address.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

export interface ServicePort {
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly clusterIP: string;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  /** Empty: every source. */
  readonly loadBalancerSourceRanges: readonly string[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** 0: no affinity. */
  readonly affinitySeconds: number;
}

/** Names another implementation of this Service: the proxy leaves it alone (a well-known label of Kubernetes). */
export const SERVICE_PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
const DEFAULT_AFFINITY_SECONDS = 10800;

/** The Service's ports as the proxy of one IP family carries them; none for headless, external-name and foreign Services. */
export function servicePorts(service: Service, family: IpFamily): readonly ServicePort[] {
  const clusterIP = clusterIpOf(service, family);
  if (!clusterIP || isLeftAlone(service)) return [];
  const { spec, metadata } = service;
  const ofFamily = (addresses: readonly string[]): string[] =>
    addresses.filter((a) => familyOf(a) === family).map(canonicalAddress);
  const external = spec.externalTrafficPolicy === 'Local';
  return (spec.ports ?? []).map((port) => ({
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    portName: port.name ?? '',
    protocol: (port.protocol ?? 'TCP').toLowerCase() as Protocol,
    clusterIP,
    port: port.port,
    nodePort: spec.type === 'NodePort' || spec.type === 'LoadBalancer' ? (port.nodePort ?? 0) : 0,
    externalIPs: ofFamily(spec.externalIPs ?? []),
    loadBalancerIPs: ofFamily(loadBalancerIps(service)),
    loadBalancerSourceRanges: (spec.loadBalancerSourceRanges ?? [])
      .map((range) => range.trim())
      .filter((range) => familyOfRange(range) === family),
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: external,
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : 0,
  }));
}

/** The port on which this node must say how many local endpoints it has; 0 when there is none. */
export function healthCheckPort(service: Service): number {
  if (service.spec.type !== 'LoadBalancer' || service.spec.externalTrafficPolicy !== 'Local') return 0;
  return isLeftAlone(service) ? 0 : (service.spec.healthCheckNodePort ?? 0);
}

function isLeftAlone(service: Service): boolean {
  return service.spec.type === 'ExternalName' || service.metadata.labels?.[SERVICE_PROXY_NAME_LABEL] !== undefined;
}

function clusterIpOf(service: Service, family: IpFamily): string | undefined {
  const all = service.spec.clusterIPs?.length ? service.spec.clusterIPs : [service.spec.clusterIP ?? ''];
  const found = all.find((address) => familyOf(address) === family);
  return found && canonicalAddress(found);
}

// An address in mode "Proxy" belongs to a load balancer in front that must see every connection.
function loadBalancerIps(service: Service): string[] {
  if (service.spec.type !== 'LoadBalancer') return [];
  return (service.status?.loadBalancer?.ingress ?? []).flatMap((ingress) =>
    ingress.ip && (ingress.ipMode ?? 'VIP') === 'VIP' ? [ingress.ip] : [],
  );
}
