// Which addresses and node ports a service gets. Pure: the choice among what is free.
import { isIPv4 } from 'node:net';
import type { Service, ServiceSpec } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import type { Random } from '../../lib/random.ts';
import type { FieldError } from '../../machinery/status.ts';
import { invalidValue } from '../strategies/field-errors.ts';
import { isHeadless, needsClusterIP, needsHealthCheckPort, needsNodePorts } from '../strategies/service.ts';
import type { ServiceNetwork } from './context.ts';

/** What other services hold. */
export interface Held {
  readonly addresses: ReadonlySet<string>;
  readonly ports: ReadonlySet<number>;
}

/** What one service holds. */
export interface Holding {
  readonly addresses: readonly string[];
  readonly ports: readonly number[];
}

export function holdingOf(service: Service): Holding {
  const { clusterIPs, clusterIP, ports, healthCheckNodePort } = service.spec;
  const addresses = (clusterIPs ?? (clusterIP ? [clusterIP] : [])).filter((ip) => ip !== 'None' && ip !== '');
  const nodePorts = (ports ?? []).map((p) => p.nodePort ?? 0).filter((p) => p > 0);
  if (healthCheckNodePort) nodePorts.push(healthCheckNodePort);
  return { addresses, ports: nodePorts };
}

/** True when the service lacks, or asks for, something that its old self does not hold. */
export function wantsAllocation(spec: ServiceSpec, old: Holding): boolean {
  if (needsClusterIP(spec) && !isHeadless(spec)) {
    if (!spec.clusterIP) return true;
    if ((spec.clusterIPs ?? []).some((ip) => !old.addresses.includes(ip))) return true;
  }
  if ((spec.ports ?? []).some((p) => (p.nodePort ? !old.ports.includes(p.nodePort) : needsNodePorts(spec))))
    return true;
  if (!needsHealthCheckPort(spec)) return false;
  return !spec.healthCheckNodePort || !old.ports.includes(spec.healthCheckNodePort);
}

interface Range {
  readonly first: number;
  readonly size: number;
}

export function parseCidr(cidr: string): Range {
  const [address = '', bits = ''] = cidr.split('/');
  const size = 2 ** (32 - Number(bits));
  const base = toNumber(address);
  // The network's own address and the broadcast address are nobody's.
  return { first: base - (base % size) + 1, size: size - 2 };
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** The low part of the range is left to those who ask for an address, as long as the rest lasts (KEP-3070). */
function staticBand(size: number): number {
  if (size <= 16) return 0;
  return Math.min(Math.max(16, Math.floor(size / 16)), 256);
}

function randomFree(
  from: number,
  count: number,
  taken: (value: number) => boolean,
  random: Random,
): number | undefined {
  if (count <= 0) return undefined;
  const start = Math.floor(random.next() * count);
  for (let i = 0; i < count; i++) {
    const value = from + ((start + i) % count);
    if (!taken(value)) return value;
  }
  return undefined;
}

/** Fills in what the service lacks and checks what it asks for. Findings mean that nothing may be stored. */
export function assign(
  service: Draft<Service>,
  own: Holding,
  held: Held,
  network: ServiceNetwork,
  random: Random,
): FieldError[] {
  const errors = assignAddress(service.spec, own, held, network, random);
  errors.push(...assignPorts(service.spec, own, held, network, random));
  return errors;
}

function assignAddress(
  spec: Draft<ServiceSpec>,
  own: Holding,
  held: Held,
  network: ServiceNetwork,
  random: Random,
): FieldError[] {
  if (!needsClusterIP(spec as ServiceSpec)) return [];
  spec.ipFamilies ??= ['IPv4'];
  spec.ipFamilyPolicy ??= 'SingleStack';
  if (spec.ipFamilies.includes('IPv6') || spec.ipFamilyPolicy === 'RequireDualStack') {
    const text = 'this cluster is not configured for dual-stack services';
    return [invalidValue('spec.ipFamilyPolicy', spec.ipFamilyPolicy, text)];
  }
  if (spec.clusterIP === 'None') {
    spec.clusterIPs = ['None'];
    return [];
  }
  const range = parseCidr(network.cidr);
  const inRange = (value: number): boolean => value >= range.first && value < range.first + range.size;
  if (spec.clusterIP) {
    const ip = spec.clusterIP;
    spec.clusterIPs = [ip];
    if (own.addresses.includes(ip)) return [];
    const fail = (why: string): FieldError[] => [
      invalidValue('spec.clusterIPs', [ip], `failed to allocate IP ${ip}: ${why}`),
    ];
    if (!isIPv4(ip) || !inRange(toNumber(ip))) {
      return fail(`the provided network does not match the current range`);
    }
    return held.addresses.has(ip) ? fail('provided IP is already allocated') : [];
  }
  const band = staticBand(range.size);
  const taken = (value: number): boolean => held.addresses.has(toAddress(value));
  const upper = randomFree(range.first + band, range.size - band, taken, random);
  const chosen = upper ?? randomFree(range.first, band, taken, random);
  if (chosen === undefined) {
    return [
      {
        reason: 'InternalError',
        field: 'spec.clusterIPs',
        message: 'Internal error: failed to allocate a serviceIP: range is full',
      },
    ];
  }
  spec.clusterIP = toAddress(chosen);
  spec.clusterIPs = [spec.clusterIP];
  return [];
}

function assignPorts(
  spec: Draft<ServiceSpec>,
  own: Holding,
  held: Held,
  network: ServiceNetwork,
  random: Random,
): FieldError[] {
  const { first, last } = network.nodePorts;
  const errors: FieldError[] = [];
  const mine = new Map<number, Set<string>>();
  const check = (port: number, at: string): void => {
    if (own.ports.includes(port)) return;
    if (port < first || port > last) {
      const text = `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
      errors.push(invalidValue(at, port, text));
    } else if (held.ports.has(port)) {
      errors.push(invalidValue(at, port, 'provided port is already allocated'));
    }
  };
  const ports = spec.ports ?? [];
  for (const [i, port] of ports.entries()) {
    if (!port.nodePort) continue;
    check(port.nodePort, `spec.ports[${i}].nodePort`);
    mine.set(port.nodePort, (mine.get(port.nodePort) ?? new Set()).add(port.protocol ?? 'TCP'));
  }
  const free = (): number | undefined =>
    randomFree(first, last - first + 1, (p) => held.ports.has(p) || mine.has(p), random);
  const give = (at: string, protocol: string): number | undefined => {
    const port = free();
    if (port === undefined) {
      errors.push({
        reason: 'InternalError',
        field: at,
        message: 'Internal error: failed to allocate a nodePort: range is full',
      });
      return undefined;
    }
    mine.set(port, new Set([protocol]));
    return port;
  };
  if (needsNodePorts(spec as ServiceSpec)) {
    for (const [i, port] of ports.entries()) {
      if (port.nodePort) continue;
      // The same port under another protocol shares its number, as it does for a DNS service.
      const twin = ports.find(
        (p) => p !== port && p.nodePort && p.port === port.port && !mine.get(p.nodePort)?.has(port.protocol ?? 'TCP'),
      );
      const chosen = twin?.nodePort ?? give(`spec.ports[${i}].nodePort`, port.protocol ?? 'TCP');
      if (chosen === undefined) continue;
      port.nodePort = chosen;
      mine.get(chosen)?.add(port.protocol ?? 'TCP');
    }
  }
  if (!needsHealthCheckPort(spec as ServiceSpec)) return errors;
  if (spec.healthCheckNodePort) check(spec.healthCheckNodePort, 'spec.healthCheckNodePort');
  else {
    const chosen = give('spec.healthCheckNodePort', 'TCP');
    if (chosen !== undefined) spec.healthCheckNodePort = chosen;
  }
  return errors;
}
