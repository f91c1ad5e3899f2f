// What cluster DNS knows: Services, their ready endpoints and the namespaces' names, kept up to date object by object.
import type { EndpointSlice, Service } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import { canonicalAddress, familyOf } from '../network/address.ts';

export interface NamedPort {
  readonly name: string;
  /** "tcp", "udp" or "sctp". */
  readonly protocol: string;
  readonly port: number;
}

export interface ServiceRecord {
  readonly namespace: string;
  readonly name: string;
  /** Empty for headless and external-name Services. */
  readonly clusterIPs: readonly string[];
  readonly ports: readonly NamedPort[];
  /** Set for Services of type ExternalName only. */
  readonly externalName: string | undefined;
}

export interface EndpointRecord {
  readonly address: string;
  /** The endpoint's own label below the Service's name: its hostname, or its address with dashes. */
  readonly label: string;
  readonly hasHostname: boolean;
  readonly ports: readonly NamedPort[];
}

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

export class ClusterRecords {
  readonly #services = new Map<string, ServiceRecord>();
  readonly #byClusterIp = new Map<string, string>();
  /** By Service, then by slice. */
  readonly #slices = new Map<string, Map<string, readonly EndpointRecord[]>>();
  readonly #serviceOfSlice = new Map<string, string>();
  /** Names of endpoints that have a hostname, by address: "host.service.namespace" to how many slices say so. */
  readonly #named = new Map<string, Map<string, number>>();
  readonly #namespaces = new Set<string>();
  #serial = 1;
  #complete = false;

  /** Grows with every change: the serial number of the zone. */
  get serial(): number {
    return this.#serial;
  }

  /** False until all objects have been put in once: until then, that a name is not known means nothing. */
  get complete(): boolean {
    return this.#complete;
  }

  markComplete(): void {
    this.#complete = true;
  }

  putService(service: Service): void {
    this.removeService(service);
    const key = keyOf(service);
    const record = serviceRecord(service);
    if (!record) return;
    this.#services.set(key, record);
    for (const ip of record.clusterIPs) this.#byClusterIp.set(ip, key);
  }

  removeService(service: Service): void {
    this.#serial++;
    const key = keyOf(service);
    for (const ip of this.#services.get(key)?.clusterIPs ?? []) {
      if (this.#byClusterIp.get(ip) === key) this.#byClusterIp.delete(ip);
    }
    this.#services.delete(key);
  }

  putSlice(slice: EndpointSlice): void {
    this.removeSlice(slice);
    const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
    if (name === undefined) return;
    const service = `${slice.metadata.namespace}/${name}`;
    const endpoints = endpointRecords(slice);
    const slices = this.#slices.get(service) ?? new Map<string, readonly EndpointRecord[]>();
    this.#slices.set(service, slices.set(keyOf(slice), endpoints));
    this.#serviceOfSlice.set(keyOf(slice), service);
    this.#countNames(service, endpoints, 1);
  }

  removeSlice(slice: EndpointSlice): void {
    this.#serial++;
    const key = keyOf(slice);
    const service = this.#serviceOfSlice.get(key);
    if (service === undefined) return;
    const slices = this.#slices.get(service)!;
    this.#countNames(service, slices.get(key)!, -1);
    this.#serviceOfSlice.delete(key);
    slices.delete(key);
    if (slices.size === 0) this.#slices.delete(service);
  }

  putNamespace(name: string): void {
    this.#serial++;
    this.#namespaces.add(name);
  }

  removeNamespace(name: string): void {
    this.#serial++;
    this.#namespaces.delete(name);
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  service(namespace: string, name: string): ServiceRecord | undefined {
    return this.#services.get(`${namespace}/${name}`);
  }

  /** Ready endpoints of a Service, over all its slices. */
  endpoints(namespace: string, name: string): readonly EndpointRecord[] {
    const slices = this.#slices.get(`${namespace}/${name}`);
    return slices ? [...slices.values()].flat() : [];
  }

  serviceWithClusterIp(address: string): ServiceRecord | undefined {
    const key = this.#byClusterIp.get(address);
    return key === undefined ? undefined : this.#services.get(key);
  }

  /** "host.service.namespace" of every endpoint with a hostname that has this address. */
  endpointNames(address: string): readonly string[] {
    return [...(this.#named.get(address)?.keys() ?? [])];
  }

  #countNames(service: string, endpoints: readonly EndpointRecord[], by: 1 | -1): void {
    const [namespace, name] = service.split('/');
    for (const endpoint of endpoints) {
      if (!endpoint.hasHostname) continue;
      const counts = this.#named.get(endpoint.address) ?? new Map<string, number>();
      const full = `${endpoint.label}.${name}.${namespace}`;
      const count = (counts.get(full) ?? 0) + by;
      if (count > 0) counts.set(full, count);
      else counts.delete(full);
      if (counts.size > 0) this.#named.set(endpoint.address, counts);
      else this.#named.delete(endpoint.address);
    }
  }
}

function serviceRecord(service: Service): ServiceRecord | undefined {
  const { spec, metadata } = service;
  const external = spec.type === 'ExternalName';
  const ips = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ''];
  const clusterIPs = external ? [] : ips.filter((ip) => familyOf(ip)).map(canonicalAddress);
  // Not yet given an address, and not one that goes without.
  if (!external && clusterIPs.length === 0 && !ips.includes('None')) return undefined;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    clusterIPs,
    ports: (spec.ports ?? []).map((p) => ({
      name: p.name ?? '',
      protocol: (p.protocol ?? 'TCP').toLowerCase(),
      port: p.port,
    })),
    externalName: external ? (spec.externalName ?? '').replace(/\.$/, '').toLowerCase() : undefined,
  };
}

function endpointRecords(slice: EndpointSlice): readonly EndpointRecord[] {
  const ports = (slice.ports ?? []).flatMap((p) =>
    p.port ? [{ name: p.name ?? '', protocol: (p.protocol ?? 'TCP').toLowerCase(), port: p.port }] : [],
  );
  return (slice.endpoints ?? []).flatMap((endpoint) => {
    if (endpoint.conditions?.ready === false) return [];
    return endpoint.addresses.filter(familyOf).map((text) => {
      const address = canonicalAddress(text);
      const hasHostname = Boolean(endpoint.hostname);
      const label = endpoint.hostname || address.replace(/[.:]/g, '-');
      return { address, label: label.toLowerCase(), hasHostname, ports };
    });
  });
}
