import type {
  EndpointSlice,
  Endpoints,
  Ingress,
  IngressClass,
  IPAddress,
  NetworkPolicy,
  Service,
  ServiceCIDR,
} from '../../api/generated/types.ts';
import { labelSelectorFromObject } from '../../machinery/selector-parse.ts';
import { ageColumn, columns, formatLabels, nameColumn } from './column.ts';

function balancerAddresses(
  ingress: readonly { readonly ip?: string; readonly hostname?: string }[] | undefined,
): string[] {
  const found = (ingress ?? []).map((i) => i.ip || i.hostname || '').filter((text) => text !== '');
  return [...new Set(found)].sort();
}

function externalIP(service: Service): string {
  const { type, externalIPs = [], externalName } = service.spec;
  if (type === 'ExternalName') return externalName ?? '';
  if (type !== 'LoadBalancer') return externalIPs.length > 0 ? externalIPs.join(',') : '<none>';
  const all = [...balancerAddresses(service.status?.loadBalancer?.ingress), ...externalIPs];
  return all.length > 0 ? all.join(',') : '<pending>';
}

function servicePorts(service: Service): string {
  const ports = (service.spec.ports ?? []).map((p) => {
    const middle = p.nodePort ? `:${p.nodePort}` : '';
    return `${p.port}${middle}/${p.protocol ?? 'TCP'}`;
  });
  return ports.length === 0 ? '<none>' : ports.join(',');
}

export const serviceColumns = columns<Service>([
  nameColumn,
  { name: 'Type', cell: (s) => s.spec.type ?? '' },
  { name: 'Cluster-IP', cell: (s) => s.spec.clusterIP || s.spec.clusterIPs?.[0] || '<none>' },
  { name: 'External-IP', cell: externalIP },
  { name: 'Port(s)', cell: servicePorts },
  ageColumn,
  { name: 'Selector', wide: true, cell: (s) => formatLabels(s.spec.selector) },
]);

/** Things shown in one cell; more are counted. */
const MAX_SHOWN = 3;

function shortened(items: readonly string[], none: string): string {
  if (items.length === 0) return none;
  const shown = items.slice(0, MAX_SHOWN).join(',');
  return items.length > MAX_SHOWN ? `${shown} + ${items.length - MAX_SHOWN} more...` : shown;
}

const hostPort = (ip: string, port: number): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);

function endpointAddresses(endpoints: Endpoints): string {
  const all = (endpoints.subsets ?? []).flatMap(({ ports, addresses = [] }) => {
    if (!ports || ports.length === 0) return addresses.map((a) => a.ip);
    return ports.flatMap((port) => addresses.map((a) => hostPort(a.ip, port.port)));
  });
  return shortened(all, '<none>');
}

export const endpointsColumns = columns<Endpoints>([
  nameColumn,
  { name: 'Endpoints', cell: endpointAddresses },
  ageColumn,
]);

export const endpointSliceColumns = columns<EndpointSlice>([
  nameColumn,
  { name: 'AddressType', cell: (s) => s.addressType },
  {
    name: 'Ports',
    cell: (s) =>
      shortened(
        (s.ports ?? []).map((p) => String(p.port ?? p.name ?? '*')),
        '<unset>',
      ),
  },
  {
    name: 'Endpoints',
    cell: (s) =>
      shortened(
        (s.endpoints ?? []).flatMap((e) => e.addresses),
        '<unset>',
      ),
  },
  ageColumn,
]);

export const ingressColumns = columns<Ingress>([
  nameColumn,
  { name: 'Class', cell: (i) => i.spec?.ingressClassName ?? '<none>' },
  {
    name: 'Hosts',
    cell: (i) =>
      shortened(
        (i.spec?.rules ?? []).map((r) => r.host ?? '').filter((host) => host !== ''),
        '*',
      ),
  },
  { name: 'Address', cell: (i) => balancerAddresses(i.status?.loadBalancer?.ingress).join(',') },
  { name: 'Ports', cell: (i) => ((i.spec?.tls ?? []).length > 0 ? '80, 443' : '80') },
  ageColumn,
]);

export const ingressClassColumns = columns<IngressClass>([
  nameColumn,
  { name: 'Controller', cell: (c) => c.spec?.controller ?? '' },
  {
    name: 'Parameters',
    cell: (c) => {
      const parameters = c.spec?.parameters;
      if (!parameters) return '<none>';
      const group = parameters.apiGroup ? `.${parameters.apiGroup}` : '';
      return `${parameters.kind}${group}/${parameters.name}`;
    },
  },
  ageColumn,
]);

export const networkPolicyColumns = columns<NetworkPolicy>([
  nameColumn,
  {
    name: 'Pod-Selector',
    cell: (p) => labelSelectorFromObject(p.spec?.podSelector ?? {}).toString() || '<none>',
  },
  ageColumn,
]);

export const ipAddressColumns = columns<IPAddress>([
  nameColumn,
  {
    name: 'ParentRef',
    cell: ({ spec }) => {
      const { group, resource, namespace, name } = spec?.parentRef ?? { resource: '', name: '' };
      const qualified = group ? `${resource}.${group}` : resource;
      return [qualified, namespace, name].filter((text) => text).join('/');
    },
  },
  ageColumn,
]);

export const serviceCidrColumns = columns<ServiceCIDR>([
  nameColumn,
  { name: 'CIDRs', cell: (c) => (c.spec?.cidrs ?? []).join(',') },
  ageColumn,
]);
