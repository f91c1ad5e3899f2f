// Networking, policy, storage, discovery and the other kinds that are not workloads.
import { isIP } from 'node:net';
import type {
  CSIDriverSpec,
  EndpointSlice,
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IPBlock,
  Lease,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicySpec,
  PodDisruptionBudgetSpec,
  StorageClass,
  VolumeAttachmentSpec,
} from '../../../api/generated/types.ts';
import { sameMeaning } from '../equality.ts';
import { checkOrdinaryAddress, isLoopback } from './core-kinds.ts';
import { CIDR, FORMATS, isCidr, quantitySign } from './formats.ts';
import type { FieldRule, RuleTable } from './rules.ts';
import type { Run } from './run.ts';
import { checkLabels } from './selectors.ts';
import { checkIntOrPercent } from './workload-kinds.ts';

const NAME: FieldRule = { format: 'pathSegment' };
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];

function checkPolicyPort(port: NetworkPolicyPort, run: Run): void {
  const { port: number, endPort } = port;
  if (endPort !== undefined && typeof number !== 'number') {
    const what = number === undefined ? 'not specified' : 'non-numeric';
    run.invalid('endPort', endPort, `may not be specified when \`port\` is ${what}`);
  }
  if (number !== undefined) run.invalidEach('port', number, FORMATS.port(number));
  if (endPort === undefined || typeof number !== 'number') return;
  if (endPort < number) run.invalid('endPort', endPort, 'must be greater than or equal to `port`');
  run.invalidEach('endPort', endPort, FORMATS.portNumber(endPort));
}

function checkPeer(peer: NetworkPolicyPeer, run: Run): void {
  if (!peer.podSelector && !peer.namespaceSelector && !peer.ipBlock) run.required('', 'must specify a peer');
  else if (peer.ipBlock && (peer.podSelector || peer.namespaceSelector)) {
    run.forbidden('', 'may not specify both ipBlock and another peer');
  }
}

function checkBlock(block: IPBlock, run: Run): void {
  if (!block.cidr) return;
  if (!isCidr(block.cidr)) {
    run.invalid('cidr', block.cidr, CIDR);
    return;
  }
  const [address = '', bits = ''] = block.cidr.split('/');
  for (const [i, except] of (block.except ?? []).entries()) {
    if (!isCidr(except)) {
      run.invalid(`except[${i}]`, except, CIDR);
      continue;
    }
    const [inner = '', innerBits = ''] = except.split('/');
    const within = isIP(inner) === isIP(address) && prefix(inner, Number(bits)) === prefix(address, Number(bits));
    if (within && Number(innerBits) > Number(bits)) continue;
    run.invalid(`except[${i}]`, except, 'must be a strict subset of `cidr`');
  }
}

/** The first bits of a valid address, as text of ones and zeros. */
function prefix(address: string, bits: number): string {
  if (isIP(address) === 4) {
    const bytes = address.split('.').map((byte) => Number(byte).toString(2).padStart(8, '0'));
    return bytes.join('').slice(0, bits);
  }
  const dotted = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    return `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`;
  });
  const [head = '', tail] = dotted.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - groups.length - rest.length }, () => '0');
  const all = [...groups, ...(tail === undefined ? [] : zeros), ...rest];
  return all
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
    .join('')
    .slice(0, bits);
}

function checkBackend(backend: IngressBackend, run: Run): void {
  const { service, resource } = backend;
  if (service && resource) {
    run.invalid('', '', 'cannot set both resource and service backends');
    return;
  }
  if (!service) {
    if (!resource) run.invalid('', '', 'resource or service backend is required');
    return;
  }
  const { name = '', number = 0 } = service.port ?? {};
  if (name && number) run.invalid('', '', 'cannot set both port name & port number');
  else if (name) run.invalidEach('service.port.name', name, FORMATS.portName(name));
  else if (number) run.invalidEach('service.port.number', number, FORMATS.portNumber(number));
  else run.required('', 'port name or number is required');
}

const SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const SUFFIXES = ['/..', '/.'];

function checkIngressPath({ pathType, path = '' }: HTTPIngressPath, run: Run): void {
  const specific = pathType === 'ImplementationSpecific';
  const literal = pathType === 'Exact' || pathType === 'Prefix';
  if ((literal || (specific && path)) && !path.startsWith('/')) run.invalid('path', path, 'must be an absolute path');
  if (!literal) return;
  for (const part of SEQUENCES) if (path.includes(part)) run.invalid('path', path, `must not contain '${part}'`);
  for (const end of SUFFIXES) if (path.endsWith(end)) run.invalid('path', path, `cannot end with '${end}'`);
}

function checkHost(host: string, at: string, run: Run): void {
  const rule = host.includes('*') ? FORMATS.wildcardSubdomain : FORMATS.dnsSubdomain;
  run.invalidEach(at, host, rule(host));
}

function checkIngress(ingress: Ingress, run: Run): void {
  const { spec } = ingress;
  if ((spec?.rules ?? []).length === 0 && !spec?.defaultBackend) {
    run.invalid('spec', spec?.rules ?? [], 'either `defaultBackend` or `rules` must be specified');
  }
  for (const [i, { host }] of (spec?.rules ?? []).entries()) {
    if (!host) continue;
    if (isIP(host) !== 0) run.invalid(`spec.rules[${i}].host`, host, 'must be a DNS name, not an IP address');
    checkHost(host, `spec.rules[${i}].host`, run);
  }
  for (const [i, tls] of (spec?.tls ?? []).entries()) {
    for (const [j, host] of (tls.hosts ?? []).entries()) checkHost(host, `spec.tls[${i}].hosts[${j}]`, run);
  }
}

interface ClassParameters {
  readonly scope?: string;
  readonly namespace?: string;
}

function checkParameters({ scope, namespace }: ClassParameters, run: Run): void {
  if (scope === 'Cluster' && namespace !== undefined)
    run.forbidden('namespace', "`parameters.scope` is set to 'Cluster'");
  if (scope !== 'Namespace') return;
  if (namespace === undefined) run.required('namespace', "`parameters.scope` is set to 'Namespace'");
  else run.invalidEach('namespace', namespace, FORMATS.dnsLabel(namespace));
}

function checkBudget(spec: PodDisruptionBudgetSpec, run: Run): void {
  const { minAvailable, maxUnavailable } = spec;
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    run.invalid('', spec, 'minAvailable and maxUnavailable cannot be both set');
  }
  checkIntOrPercent(minAvailable, 'minAvailable', run, true);
  checkIntOrPercent(maxUnavailable, 'maxUnavailable', run, true);
}

function checkSlice(slice: EndpointSlice, run: Run): void {
  const names = new Set<string>();
  for (const [i, port] of (slice.ports ?? []).entries()) {
    const name = port.name ?? '';
    if (names.has(name)) run.duplicate(`ports[${i}].name`, name);
    names.add(name);
  }
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > 1000) return;
  for (let i = 0; i < endpoints.length; i++) {
    const addresses = endpoints[i]!.addresses ?? [];
    for (let j = 0; j < addresses.length; j++) {
      checkEndpointAddress(slice.addressType, addresses[j]!, `endpoints[${i}].addresses[${j}]`, run);
    }
  }
}

function checkEndpointAddress(type: string, address: string, at: string, run: Run): void {
  if (type === 'FQDN') {
    if (FORMATS.dnsSubdomain(address).length > 0) run.invalidEach(at, address, FORMATS.dnsSubdomain(address));
    else if (!address.includes('.')) {
      run.invalid(at, address, 'should be a domain with at least two segments separated by dots');
    }
    return;
  }
  const family = isIP(address);
  if (type === 'IPv4' && family !== 4) run.invalid(at, address, 'must be a valid IPv4 address');
  if (type === 'IPv6' && family !== 6) run.invalid(at, address, 'must be a valid IPv6 address');
  // Loopback is let through, unlike upstream: servers of a cluster on one machine are behind services too.
  if (!isLoopback(address)) checkOrdinaryAddress(address, at, run);
}

const MAX_PARAMETERS = 512;
const MAX_PARAMETER_BYTES = 256 * 1024;

function checkClass({ parameters = {} }: StorageClass, run: Run): void {
  const entries = Object.entries(parameters);
  if (entries.length > MAX_PARAMETERS) {
    run.tooLong('parameters', MAX_PARAMETERS);
    return;
  }
  let bytes = 0;
  for (const [key, value] of entries) {
    if (key === '') run.invalid('parameters', key, 'field can not be empty.');
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_PARAMETER_BYTES) run.tooLong('parameters', MAX_PARAMETER_BYTES);
}

function checkAttachment({ source }: VolumeAttachmentSpec, run: Run): void {
  const named = source.persistentVolumeName !== undefined;
  const inline = source.inlineVolumeSpec !== undefined;
  if (!named && !inline)
    run.required('source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName');
  if (named && inline) {
    run.forbidden('source', 'must specify exactly one of inlineVolumeSpec and persistentVolumeName');
  }
  if (named && !source.persistentVolumeName) {
    run.required('source.persistentVolumeName', 'must specify non empty persistentVolumeName');
  }
}

function checkDriver(spec: CSIDriverSpec, run: Run): void {
  const audiences = new Set<string>();
  for (const [i, { audience = '', expirationSeconds: seconds }] of (spec.tokenRequests ?? []).entries()) {
    if (audiences.has(audience)) run.duplicate(`tokenRequests[${i}].audience`, audience);
    audiences.add(audience);
    const at = `tokenRequests[${i}].expirationSeconds`;
    if (seconds === undefined) continue;
    if (seconds < 600) run.invalid(at, seconds, 'may not specify a duration less than 10 minutes');
    if (seconds > 2 ** 32) run.invalid(at, seconds, 'may not specify a duration larger than 2^32 seconds');
  }
}

function checkLease({ spec }: Lease, run: Run): void {
  const { strategy, preferredHolder, leaseDurationSeconds: seconds } = spec ?? {};
  if (seconds !== undefined && seconds <= 0)
    run.invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0');
  if (preferredHolder && !strategy) {
    run.forbidden('spec.preferredHolder', 'may only be specified when `strategy` is defined');
  }
}

/** An address is named by itself, as it is written canonically. */
function checkParent(spec: { parentRef?: unknown }, run: Run): void {
  if (!spec.parentRef) run.required('parentRef');
}

const IMMUTABLE: FieldRule = { immutable: true };
const RECLAIM = ['Delete', 'Retain'];

export const API_RULES: RuleTable = {
  'networking.v1.NetworkPolicyPort': { fields: { protocol: { oneOf: PROTOCOLS } }, check: checkPolicyPort },
  'networking.v1.NetworkPolicyPeer': { check: checkPeer },
  'networking.v1.IPBlock': { check: checkBlock },
  'networking.v1.NetworkPolicySpec': {
    fields: { policyTypes: { each: { oneOf: ['Ingress', 'Egress'] } } },
    check({ policyTypes = [] }: NetworkPolicySpec, run: Run) {
      if (policyTypes.length > 2) run.invalid('policyTypes', policyTypes, 'may not specify more than two policyTypes');
    },
  },
  'networking.v1.Ingress': { check: checkIngress },
  'networking.v1.IngressSpec': { fields: { ingressClassName: { format: 'dnsSubdomain' } } },
  'networking.v1.IngressTLS': { fields: { secretName: { format: 'dnsSubdomain' } } },
  'networking.v1.IngressBackend': { check: checkBackend },
  'networking.v1.IngressServiceBackend': { fields: { name: { format: 'dnsLabel' } } },
  'networking.v1.HTTPIngressRuleValue': { fields: { paths: { required: true } } },
  'networking.v1.HTTPIngressPath': {
    fields: { pathType: { required: 'pathType must be specified' } },
    check: checkIngressPath,
  },
  'networking.v1.IngressClassSpec': {
    fields: { controller: { required: true, format: 'domainPrefixedPath', immutable: true } },
  },
  'networking.v1.IngressClassParametersReference': {
    fields: {
      apiGroup: { format: 'dnsSubdomain' },
      kind: NAME,
      name: NAME,
      scope: { required: true, oneOf: ['Cluster', 'Namespace'] },
    },
    check: checkParameters,
  },
  'networking.v1.IPAddressSpec': { fields: { parentRef: IMMUTABLE }, check: checkParent },
  'networking.v1.ParentReference': {
    fields: {
      group: { format: 'dnsSubdomain' },
      resource: NAME,
      name: NAME,
      namespace: NAME,
    },
  },
  'networking.v1.ServiceCIDRSpec': {
    fields: { cidrs: { required: 'at least one CIDR required', each: { format: 'cidr' }, immutable: true } },
  },
  'policy.v1.PodDisruptionBudgetSpec': { check: checkBudget },
  'storage.v1.StorageClass': {
    fields: {
      provisioner: { format: 'lowerQualifiedName' },
      reclaimPolicy: { oneOf: RECLAIM },
      volumeBindingMode: { required: true },
    },
    check: checkClass,
  },
  'storage.v1.CSIDriverSpec': {
    fields: {
      attachRequired: { required: true },
      podInfoOnMount: { required: true },
      storageCapacity: { required: true },
      volumeLifecycleModes: { each: { oneOf: ['Ephemeral', 'Persistent'] } },
      fsGroupPolicy: { oneOf: ['File', 'None', 'ReadWriteOnceWithFSType'] },
      nodeAllocatableUpdatePeriodSeconds: { min: 10, range: 'must be greater than or equal to 10 seconds' },
    },
    check: checkDriver,
    checkUpdate(spec: CSIDriverSpec, old: CSIDriverSpec, run: Run) {
      if (spec.attachRequired !== old.attachRequired)
        run.invalid('attachRequired', spec.attachRequired, 'field is immutable');
    },
  },
  'storage.v1.TokenRequest': { fields: { audience: { required: false } } },
  'storage.v1.CSINodeSpec': { fields: { drivers: { unique: 'name' } } },
  'storage.v1.CSINodeDriver': {
    fields: { name: { format: 'csiDriver' }, topologyKeys: { each: { format: 'qualifiedName' }, unique: true } },
  },
  'storage.v1.VolumeNodeResources': { fields: { count: { min: 0 } } },
  'storage.v1.CSIStorageCapacity': {
    fields: {
      storageClassName: { format: 'dnsSubdomain', immutable: true },
      nodeTopology: IMMUTABLE,
      capacity: { format: 'quantity' },
      maximumVolumeSize: { format: 'quantity' },
    },
  },
  'storage.v1.VolumeAttachmentSpec': {
    fields: { attacher: { format: 'csiDriver' }, source: { opaque: true } },
    check: checkAttachment,
    checkUpdate(spec: VolumeAttachmentSpec, old: VolumeAttachmentSpec, run: Run) {
      if (!sameMeaning(spec, old)) run.invalid('', spec, 'field is immutable');
    },
  },
  'storage.v1.VolumeAttributesClass': {
    fields: {
      driverName: { format: 'csiDriver', immutable: true },
      parameters: { required: 'must contain at least one key/value pair', immutable: true },
    },
  },
  'scheduling.v1.PriorityClass': { fields: { preemptionPolicy: { oneOf: ['PreemptLowerPriority', 'Never'] } } },
  'coordination.v1.Lease': { check: checkLease },
  'coordination.v1.LeaseSpec': { fields: { leaseTransitions: { min: 0 } } },
  'node.v1.RuntimeClass': {
    fields: { handler: { format: 'dnsLabel', immutable: true } },
    check(rc: { overhead?: { podFixed?: { readonly [name: string]: string } } }, run: Run) {
      for (const [name, amount] of Object.entries(rc.overhead?.podFixed ?? {})) {
        if (quantitySign(amount) === -1) {
          run.invalid(`overhead.podFixed[${name}]`, amount, 'must be greater than or equal to 0');
        }
      }
    },
  },
  'node.v1.Scheduling': {
    check(scheduling: { nodeSelector?: { readonly [key: string]: string } }, run: Run) {
      checkLabels(scheduling.nodeSelector, 'nodeSelector', run);
    },
  },
  'discovery.v1.EndpointSlice': {
    fields: {
      addressType: { required: true, immutable: true },
      endpoints: { maxItems: 1000 },
      ports: { maxItems: 20_000 },
    },
    check: checkSlice,
  },
  'discovery.v1.Endpoint': {
    fields: {
      addresses: { required: 'must contain at least 1 address', maxItems: 100 },
      hostname: { format: 'dnsLabel' },
      nodeName: { format: 'dnsSubdomain' },
      zone: { format: 'labelValue' },
    },
    check({ deprecatedTopology }: { deprecatedTopology?: { readonly [key: string]: string } }, run: Run) {
      if (!deprecatedTopology) return;
      const count = Object.keys(deprecatedTopology).length;
      if (count > 16) run.tooMany('deprecatedTopology', count, 16);
      checkLabels(deprecatedTopology, 'deprecatedTopology', run);
    },
  },
  'discovery.v1.EndpointPort': {
    fields: {
      name: { format: 'dnsLabel' },
      protocol: { required: true },
      port: { format: 'portNumber' },
      appProtocol: { format: 'qualifiedName' },
    },
  },
  'discovery.v1.EndpointHints': {
    fields: { forZones: { maxItems: 8, unique: 'name' }, forNodes: { maxItems: 8, unique: 'name' } },
  },
  'discovery.v1.ForZone': { fields: { name: { format: 'labelValue' } } },
  'discovery.v1.ForNode': { fields: { name: { format: 'dnsSubdomain' } } },
};
