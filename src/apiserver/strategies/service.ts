// Services: normalization and validation. Addresses and node ports are given by registry/service-allocation.ts.
import { isIP } from 'node:net';
import type { Service, ServiceSpec } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import {
  duplicate,
  eachInvalid,
  FIELD_IMMUTABLE,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from './field-errors.ts';
import { dns1035Label, dnsLabel, dnsSubdomain, portName, portNumber } from './name-rules.ts';
import { validateLabels } from './object-meta.ts';
import { defineStrategy } from './strategy.ts';
import { checkOrdinaryAddress } from './validation/core-kinds.ts';
import { CIDR, isCidr } from './validation/formats.ts';
import type { Members } from './validation/rules.ts';
import { Run } from './validation/run.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];

export const needsClusterIP = (spec: ServiceSpec): boolean => spec.type !== 'ExternalName';
export const isHeadless = (spec: ServiceSpec): boolean => spec.clusterIP === 'None';
export function needsNodePorts(spec: ServiceSpec): boolean {
  if (spec.type === 'NodePort') return true;
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false;
}
export const needsHealthCheckPort = (spec: ServiceSpec): boolean =>
  spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';

/** Makes clusterIP and clusterIPs say the same, whichever of the two the client changed. */
function alignClusterIPs(spec: Draft<ServiceSpec>, old: ServiceSpec | undefined): void {
  const ip = spec.clusterIP ?? '';
  const ips = spec.clusterIPs ?? [];
  if (!old) {
    if (ip !== '' && ips.length === 0) spec.clusterIPs = [ip];
    if (ip === '' && ips.length > 0) spec.clusterIP = ips[0]!;
    return;
  }
  const ipChanged = ip !== (old.clusterIP ?? '');
  const ipsChanged = !sameMeaning(ips, old.clusterIPs);
  if (ipChanged && !ipsChanged) {
    if (ip === '') delete spec.clusterIPs;
    else spec.clusterIPs = [ip];
  }
  if (ipsChanged && !ipChanged && ips.length > 0) spec.clusterIP = ips[0]!;
}

/** Clears what a change of type leaves behind, where the client did not set it anew. */
function dropForType(spec: Draft<ServiceSpec>, old: ServiceSpec): void {
  if (needsClusterIP(old) && !needsClusterIP(spec as ServiceSpec)) {
    if (sameMeaning(spec.clusterIP, old.clusterIP)) spec.clusterIP = '';
    if (sameMeaning(spec.clusterIPs, old.clusterIPs)) delete spec.clusterIPs;
    if (sameMeaning(spec.ipFamilies, old.ipFamilies)) delete spec.ipFamilies;
    if (sameMeaning(spec.ipFamilyPolicy, old.ipFamilyPolicy)) delete spec.ipFamilyPolicy;
  }
  if (needsNodePorts(old) && !needsNodePorts(spec as ServiceSpec)) {
    const before = new Set((old.ports ?? []).map((p) => p.nodePort));
    for (const port of spec.ports ?? []) if (before.has(port.nodePort)) delete port.nodePort;
  }
  if (needsHealthCheckPort(old) && !needsHealthCheckPort(spec as ServiceSpec)) {
    if (spec.healthCheckNodePort === old.healthCheckNodePort) delete spec.healthCheckNodePort;
  }
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
  const external = (s: { type?: string | undefined }): boolean => s.type === 'NodePort' || s.type === 'LoadBalancer';
  if (external(old) && !external(spec) && (spec.externalIPs ?? []).length === 0) {
    if (spec.externalTrafficPolicy === old.externalTrafficPolicy) delete spec.externalTrafficPolicy;
  }
}

/** What an update leaves out of the allocated values is taken from the old object. */
function carryAllocations(spec: Draft<ServiceSpec>, old: ServiceSpec): void {
  if (
    needsClusterIP(old) &&
    needsClusterIP(spec as ServiceSpec) &&
    !spec.clusterIP &&
    (spec.clusterIPs ?? []).length === 0
  ) {
    if (old.clusterIP !== undefined) spec.clusterIP = old.clusterIP;
    if (old.clusterIPs) spec.clusterIPs = [...old.clusterIPs];
  }
  if (needsNodePorts(old) && needsNodePorts(spec as ServiceSpec)) {
    const key = (p: { protocol?: string | undefined; port: number }): string => `${p.protocol}/${p.port}`;
    const before = new Map((old.ports ?? []).map((p) => [key(p), p.nodePort]));
    const used = new Set((spec.ports ?? []).map((p) => p.nodePort));
    for (const port of spec.ports ?? []) {
      const kept = before.get(key(port));
      if (port.nodePort || !kept || used.has(kept)) continue;
      port.nodePort = kept;
      used.add(kept);
    }
  }
  if (needsHealthCheckPort(old) && needsHealthCheckPort(spec as ServiceSpec) && !spec.healthCheckNodePort) {
    if (old.healthCheckNodePort) spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

function validateService(service: Service): FieldError[] {
  const spec = service.spec;
  const errors: FieldError[] = [];
  const portless = isHeadless(spec) || spec.type === 'ExternalName';
  if ((spec.ports ?? []).length === 0 && !portless) errors.push(required('spec.ports'));
  errors.push(...validateEnum('spec.type', spec.type, TYPES));
  errors.push(...validateEnum('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']));
  if (spec.type === 'LoadBalancer' && isHeadless(spec)) {
    errors.push(invalidValue('spec.clusterIPs[0]', 'None', "may not be set to 'None' for LoadBalancer services"));
  }
  if (spec.type === 'NodePort' && isHeadless(spec)) {
    errors.push(invalidValue('spec.clusterIPs[0]', 'None', "may not be set to 'None' for NodePort services"));
  }
  if (spec.type === 'ExternalName') errors.push(...validateExternalName(spec));
  errors.push(...validateServicePorts(spec));
  errors.push(...validateLabels(spec.selector, 'spec.selector'));
  errors.push(...validateClusterIPs(spec));
  for (const [i, ip] of (spec.externalIPs ?? []).entries()) {
    if (isIP(ip) === 0) errors.push(invalidValue(`spec.externalIPs[${i}]`, ip, IP_TEXT));
    else errors.push(...validateOrdinary(`spec.externalIPs[${i}]`, ip, service));
  }
  errors.push(...validateTraffic(spec));
  errors.push(...validateBalancer(spec));
  return errors;
}

function validateOrdinary(at: string, ip: string, service: Service): FieldError[] {
  const run = new Run(service as unknown as Members);
  checkOrdinaryAddress(ip, at, run);
  return run.findings;
}

const BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'";

/** What concerns load balancers only, and families of addresses. */
function validateBalancer(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0) {
    const at = 'spec.LoadBalancerSourceRanges';
    if (spec.type !== 'LoadBalancer') errors.push(forbiddenField(at, BALANCER_ONLY));
    for (const [i, range] of ranges.entries()) {
      if (!isCidr(range.trim())) errors.push(invalidValue(`${at}[${i}]`, range, CIDR));
    }
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined && spec.type !== 'LoadBalancer') {
    errors.push(forbiddenField('spec.allocateLoadBalancerNodePorts', BALANCER_ONLY));
  }
  const distributions = ['PreferClose', 'PreferSameNode', 'PreferSameZone'];
  const distribution = spec.trafficDistribution;
  if (distribution !== undefined && !distributions.includes(distribution)) {
    errors.push(notSupported('spec.trafficDistribution', distribution, distributions));
  }
  if (spec.type === 'ExternalName') return errors;
  const families = spec.ipFamilies ?? [];
  for (const [i, family] of families.entries()) {
    const at = `spec.ipFamilies[${i}]`;
    if (!['IPv4', 'IPv6'].includes(family)) errors.push(notSupported(at, family, ['IPv4', 'IPv6']));
    if (families.indexOf(family) < i) errors.push(duplicate(at, family));
  }
  const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
  if (spec.ipFamilyPolicy !== undefined && !policies.includes(spec.ipFamilyPolicy)) {
    errors.push(notSupported('spec.ipFamilyPolicy', spec.ipFamilyPolicy, policies));
  }
  return errors;
}

/** Required and one of a closed set. */
function validateEnum(path: string, value: string | undefined, supported: readonly string[]): FieldError[] {
  if (!value) return [required(path)];
  return supported.includes(value) ? [] : [notSupported(path, value, supported)];
}

const IP_TEXT = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

function validateExternalName(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.clusterIPs ?? []).length > 0)
    errors.push(forbiddenField('spec.clusterIPs', 'may not be set for ExternalName services'));
  if (!spec.externalName) return [...errors, required('spec.externalName')];
  const name = spec.externalName.replace(/\.$/, '');
  return [...errors, ...eachInvalid('spec.externalName', spec.externalName, dnsSubdomain(name))];
}

function validateServicePorts(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const seen = new Set<string>();
  const nodePorts = new Set<string>();
  const ports = spec.ports ?? [];
  for (const [i, port] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    if (ports.length > 1 && !port.name) errors.push(required(`${at}.name`));
    if (port.name) {
      errors.push(...eachInvalid(`${at}.name`, port.name, dnsLabel(port.name)));
      if (names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    errors.push(...eachInvalid(`${at}.port`, port.port, portNumber(port.port)));
    errors.push(...validateEnum(`${at}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']));
    const target = port.targetPort;
    if (typeof target === 'number') errors.push(...eachInvalid(`${at}.targetPort`, target, portNumber(target)));
    else if (target !== undefined) errors.push(...eachInvalid(`${at}.targetPort`, target, portName(target)));
    if (!needsNodePorts(spec) && spec.type !== 'LoadBalancer' && port.nodePort) {
      errors.push(forbiddenField(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type}'`));
    }
    const key = `${port.protocol}/${port.port}`;
    if (seen.has(key)) errors.push(duplicate(at, { port: port.port, protocol: port.protocol }));
    seen.add(key);
    if (!port.nodePort) continue;
    const nodeKey = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(nodeKey)) errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(nodeKey);
  }
  return errors;
}

function validateClusterIPs(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const ips = spec.clusterIPs ?? [];
  for (const [i, ip] of ips.entries()) {
    if (ip !== 'None' && isIP(ip) === 0) errors.push(invalidValue(`spec.clusterIPs[${i}]`, ip, IP_TEXT));
  }
  if (spec.clusterIP && spec.clusterIP !== ips[0]) {
    errors.push(invalidValue('spec.clusterIPs', ips, 'first value must match `clusterIP`'));
  }
  if (ips.length > 2) errors.push(invalidValue('spec.clusterIPs', ips, 'may only hold up to 2 values'));
  return errors;
}

function validateTraffic(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const policies = ['Cluster', 'Local'];
  for (const field of ['externalTrafficPolicy', 'internalTrafficPolicy'] as const) {
    const value = spec[field];
    if (value && !policies.includes(value)) errors.push(notSupported(`spec.${field}`, value, policies));
  }
  const facing = spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
  if (spec.externalTrafficPolicy && !facing) {
    const text = 'may only be set for externally-accessible services';
    errors.push(invalidValue('spec.externalTrafficPolicy', spec.externalTrafficPolicy, text));
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds !== undefined && (seconds < 1 || seconds > 86400)) {
    const at = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
    errors.push(invalidValue(at, seconds, 'must be greater than 0 and less than 86400'));
  }
  if (spec.loadBalancerClass && spec.type !== 'LoadBalancer') {
    errors.push(forbiddenField('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'"));
  }
  return errors;
}

function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  const errors = validateService(service);
  const keepsIP = needsClusterIP(service.spec) && needsClusterIP(old.spec) && old.spec.clusterIP;
  if (keepsIP && service.spec.clusterIP !== old.spec.clusterIP) {
    errors.push(invalidValue('spec.clusterIPs[0]', service.spec.clusterIPs, 'may not change once set'));
  }
  if (old.spec.type === 'LoadBalancer' && service.spec.type === 'LoadBalancer' && old.spec.loadBalancerClass) {
    if (service.spec.loadBalancerClass !== old.spec.loadBalancerClass) {
      errors.push(invalidValue('spec.loadBalancerClass', service.spec.loadBalancerClass, FIELD_IMMUTABLE));
    }
  }
  return errors;
}

export const serviceStrategy = defineStrategy<Service>({
  nameRule: dns1035Label,
  allowCreateOnUpdate: true,
  returnsDeleted: true,
  selectable: {
    'spec.clusterIP': (s) => s.spec.clusterIP ?? '',
    'spec.type': (s) => s.spec.type ?? '',
  },
  prepareForCreate(service) {
    service.status = { loadBalancer: {} };
    alignClusterIPs(service.spec, undefined);
  },
  prepareForUpdate(service, old) {
    service.status = structuredClone(old.status) as Draft<Service>['status'];
    alignClusterIPs(service.spec, old.spec);
    dropForType(service.spec, old.spec);
    carryAllocations(service.spec, old.spec);
    // A service that no longer is a load balancer has no load balancer's status.
    if (service.spec.type !== 'LoadBalancer' && service.status) service.status.loadBalancer = {};
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
});
