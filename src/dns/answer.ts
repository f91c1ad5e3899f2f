// The cluster's zone, as the Kubernetes DNS specification (1.1) has it and CoreDNS answers it. Pure.
import { addressOfReverseName, familyOf } from '../network/address.ts';
import type { ClusterRecords, EndpointRecord, NamedPort, ServiceRecord } from './cluster-records.ts';

export interface Question {
  /** Lower case, without a final dot. */
  readonly name: string;
  /** "A", "SRV" ...: as dns-packet names them. */
  readonly type: string;
}

/** A record to send, in the form in which dns-packet takes it. */
export type DnsRecord = { readonly name: string; readonly ttl: number } & (
  | { readonly type: 'A' | 'AAAA' | 'CNAME' | 'PTR' | 'NS' | 'TXT'; readonly data: string }
  | {
      readonly type: 'SRV';
      readonly data: {
        readonly priority: number;
        readonly weight: number;
        readonly port: number;
        readonly target: string;
      };
    }
  | {
      readonly type: 'SOA';
      readonly data: {
        readonly mname: string;
        readonly rname: string;
        readonly serial: number;
        readonly refresh: number;
        readonly retry: number;
        readonly expire: number;
        readonly minimum: number;
      };
    }
);

export type Rcode = 'NOERROR' | 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'NOTIMP' | 'REFUSED';

export interface Answer {
  readonly rcode: Rcode;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  /** The answer ends with an alias of a name outside the zone, whose records belong behind it. */
  readonly alias?: string;
}

export interface Zone {
  /** "cluster.local". */
  readonly name: string;
  readonly ttlSeconds: number;
  /** Addresses of this server, for the zone's own name server record. */
  readonly serverAddresses: readonly string[];
}

const SPECIFICATION_VERSION = '1.1.0';
const VERSION_TTL_SECONDS = 28_800;
/** ExternalName Services that point at each other end here. */
const MAX_ALIASES = 8;

/** What the cluster's zone says; undefined for a question that is not the cluster's to answer. */
export function answer(question: Question, records: ClusterRecords, zone: Zone): Answer | undefined {
  const found = new Lookup(records, zone).answer(question);
  if (!found) return undefined;
  if (found === 'unknown' || found.answers.length === 0) {
    const rcode = found === 'unknown' ? 'NXDOMAIN' : 'NOERROR';
    return { rcode, answers: [], authorities: [startOfAuthority(records, zone)], additionals: [] };
  }
  return { rcode: 'NOERROR', authorities: [], ...found };
}

interface Found {
  readonly answers: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  readonly alias?: string;
}

/** The name is in the zone and has no record of this type. */
const NO_DATA: Found = { answers: [], additionals: [] };

interface Target {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly port: NamedPort | undefined;
}

class Lookup {
  readonly #records: ClusterRecords;
  readonly #zone: Zone;

  constructor(records: ClusterRecords, zone: Zone) {
    this.#records = records;
    this.#zone = zone;
  }

  answer(question: Question, aliases = 0): Found | 'unknown' | undefined {
    const { name, type } = question;
    const address = addressOfReverseName(name);
    if (address !== undefined) return type === 'PTR' ? this.#reverse(name, address) : undefined;
    if (name === this.#zone.name) return this.#apex(type);
    if (!name.endsWith(`.${this.#zone.name}`)) return undefined;
    const labels = name.slice(0, -this.#zone.name.length - 1).split('.');
    const [kind, namespace, ...rest] = labels.reverse();
    if (kind === 'dns-version' && labels.length === 1) return this.#version(question);
    if (kind === 'dns') return this.#nameServer(question);
    if (kind !== 'svc' && kind !== 'pod') return 'unknown';
    if (namespace === undefined) return NO_DATA;
    if (!this.#records.hasNamespace(namespace)) return 'unknown';
    if (rest.length === 0) return NO_DATA;
    return kind === 'pod' ? this.#pod(question, rest) : this.#service(question, namespace, rest, aliases);
  }

  #apex(type: string): Found {
    const { name, ttlSeconds: ttl } = this.#zone;
    const server = `ns.dns.${name}`;
    if (type === 'SOA') return { answers: [startOfAuthority(this.#records, this.#zone)], additionals: [] };
    if (type !== 'NS') return NO_DATA;
    const additionals = this.#addresses(server, this.#zone.serverAddresses);
    return { answers: [{ type: 'NS', name, ttl, data: server }], additionals };
  }

  #nameServer({ name, type }: Question): Found | 'unknown' {
    if (name === `dns.${this.#zone.name}`) return NO_DATA;
    if (name !== `ns.dns.${this.#zone.name}`) return 'unknown';
    return { answers: this.#addresses(name, this.#zone.serverAddresses, type), additionals: [] };
  }

  #version({ name, type }: Question): Found {
    if (type !== 'TXT') return NO_DATA;
    return {
      answers: [{ type: 'TXT', name, ttl: VERSION_TTL_SECONDS, data: SPECIFICATION_VERSION }],
      additionals: [],
    };
  }

  /** "1-2-3-4.namespace.pod": the address is in the name, and is not checked, as CoreDNS does in its usual set-up. */
  #pod({ name, type }: Question, [label, ...more]: readonly string[]): Found | 'unknown' {
    const dashed = label!.split('-').length === 4 && !label!.includes('--');
    const address = label!.replaceAll('-', dashed ? '.' : ':');
    if (more.length > 0 || !familyOf(address)) return 'unknown';
    return { answers: this.#addresses(name, [address], type), additionals: [] };
  }

  #reverse(name: string, address: string): Found | undefined {
    const { name: zone, ttlSeconds: ttl } = this.#zone;
    const service = this.#records.serviceWithClusterIp(address);
    const names = service ? [`${service.name}.${service.namespace}`] : this.#records.endpointNames(address);
    if (names.length === 0) return undefined;
    return {
      answers: names.map((found) => ({ type: 'PTR', name, ttl, data: `${found}.svc.${zone}` })),
      additionals: [],
    };
  }

  /** `rest` is what stands before "namespace.svc", from right to left: the Service, and an endpoint or port and protocol. */
  #service(question: Question, namespace: string, rest: readonly string[], aliases: number): Found | 'unknown' {
    const [name, ...before] = rest;
    const service = this.#records.service(namespace, name!);
    if (!service || before.length > 2) return 'unknown';
    if (service.externalName !== undefined) {
      return before.length === 0 ? this.#alias(question, service.externalName, aliases) : 'unknown';
    }
    const [endpoint] = before.length === 1 ? before : [];
    const port = before.length === 2 ? { protocol: before[0]!, name: before[1]! } : undefined;
    if (port && !(port.protocol.startsWith('_') && port.name.startsWith('_'))) return 'unknown';
    const targets = this.#targets(service, endpoint, port && portMatcher(port));
    if (targets.length === 0) return 'unknown';
    if (question.type === 'SRV') return this.#srv(question.name, targets);
    const addresses = [...new Set(targets.flatMap((target) => target.addresses))];
    return { answers: this.#addresses(question.name, addresses, question.type), additionals: [] };
  }

  #targets(
    service: ServiceRecord,
    endpoint: string | undefined,
    wanted: ((port: NamedPort) => boolean) | undefined,
  ): readonly Target[] {
    const below = `${service.name}.${service.namespace}.svc.${this.#zone.name}`;
    const portsOf = (ports: readonly NamedPort[]): readonly (NamedPort | undefined)[] =>
      wanted ? ports.filter(wanted) : ports.length > 0 ? ports : [undefined];
    if (service.clusterIPs.length > 0 && endpoint === undefined) {
      return portsOf(service.ports).map((port) => ({ name: below, addresses: service.clusterIPs, port }));
    }
    const byLabel = new Map<string, EndpointRecord[]>();
    for (const one of this.#records.endpoints(service.namespace, service.name)) {
      if (endpoint !== undefined && one.label !== endpoint) continue;
      byLabel.set(one.label, [...(byLabel.get(one.label) ?? []), one]);
    }
    return [...byLabel].flatMap(([label, same]) => {
      const ports = new Map(same.flatMap((one) => portsOf(one.ports)).map((port) => [port?.port, port]));
      const addresses = [...new Set(same.map((one) => one.address))];
      return [...ports.values()].map((port) => ({ name: `${label}.${below}`, addresses, port }));
    });
  }

  #srv(name: string, targets: readonly Target[]): Found {
    const { ttlSeconds: ttl } = this.#zone;
    const withPort = targets.filter((target) => target.port !== undefined);
    const weight = Math.max(1, Math.floor(100 / Math.max(1, withPort.length)));
    const answers = withPort.map((target): DnsRecord => {
      const data = { priority: 0, weight, port: target.port!.port, target: target.name };
      return { type: 'SRV', name, ttl, data };
    });
    const hosts = new Map(withPort.map((target) => [target.name, target.addresses]));
    return { answers, additionals: [...hosts].flatMap(([host, addresses]) => this.#addresses(host, addresses)) };
  }

  #alias({ name, type }: Question, target: string, aliases: number): Found | 'unknown' {
    // An address is not a name: such a Service has no records, as upstream.
    if (target === '' || familyOf(target)) return 'unknown';
    const alias: DnsRecord = { type: 'CNAME', name, ttl: this.#zone.ttlSeconds, data: target };
    if (type === 'CNAME') return { answers: [alias], additionals: [] };
    if (type !== 'A' && type !== 'AAAA') return NO_DATA;
    if (aliases >= MAX_ALIASES) return { answers: [alias], additionals: [] };
    const behind = this.answer({ name: target, type }, aliases + 1);
    if (behind === undefined) return { answers: [alias], additionals: [], alias: target };
    if (behind === 'unknown') return { answers: [alias], additionals: [] };
    return { ...behind, answers: [alias, ...behind.answers] };
  }

  /** Address records for `name`; of both types when none is asked for. */
  #addresses(name: string, addresses: readonly string[], type?: string): readonly DnsRecord[] {
    return addresses.flatMap((data): readonly DnsRecord[] => {
      const own = familyOf(data) === 'IPv4' ? 'A' : 'AAAA';
      return type === undefined || type === own ? [{ type: own, name, ttl: this.#zone.ttlSeconds, data }] : [];
    });
  }
}

function portMatcher(wanted: { readonly name: string; readonly protocol: string }): (port: NamedPort) => boolean {
  return (port) => `_${port.name}` === wanted.name && `_${port.protocol}` === wanted.protocol;
}

/** The record whose last field says for how long "there is no such name" may be kept. */
function startOfAuthority(records: ClusterRecords, { name, ttlSeconds }: Zone): DnsRecord {
  const data = {
    mname: `ns.dns.${name}`,
    rname: `hostmaster.${name}`,
    serial: records.serial,
    refresh: 7200,
    retry: 1800,
    expire: 86_400,
    minimum: ttlSeconds,
  };
  return { type: 'SOA', name, ttl: ttlSeconds, data };
}
