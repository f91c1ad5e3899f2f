// Services, slices and packets for the proxy's tests, written shortly.
import type { Endpoint, EndpointSlice, Service, ServicePort, ServiceSpec } from '../api/generated/types.ts';
import type { TableOptions } from './table.ts';

export const TABLE: TableOptions = {
  family: 'IPv4',
  table: 'tsukube-test',
  serviceRanges: ['10.96.0.0/12'],
  nodePortRanges: [],
  masqueradeMark: 0x4000,
};

export const NODE = { name: 'node-a', zone: 'zone-1' };
export const POD_RANGE = '10.244.0.0/16';

export function service(name: string, clusterIP: string, more: Partial<ServiceSpec> = {}, status?: object): Service {
  const ports: readonly ServicePort[] = [{ name: 'web', port: 80, protocol: 'TCP' }];
  return {
    metadata: { name, namespace: 'default', uid: name },
    spec: { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ports, ...more },
    ...(status && { status }),
  };
}

export function endpoint(address: string, more: Partial<Endpoint> = {}): Endpoint {
  return { addresses: [address], conditions: { ready: true, serving: true, terminating: false }, ...more };
}

export const TERMINATING = { conditions: { ready: false, serving: true, terminating: true } };
export const NOT_READY = { conditions: { ready: false, serving: false, terminating: false } };

export function slice(
  serviceName: string,
  endpoints: readonly Endpoint[],
  ports: EndpointSlice['ports'] = [{ name: 'web', port: 8080, protocol: 'TCP' }],
  suffix = 'abcde',
): EndpointSlice {
  return {
    metadata: {
      name: `${serviceName}-${suffix}`,
      namespace: 'default',
      uid: `${serviceName}-${suffix}`,
      labels: { 'kubernetes.io/service-name': serviceName },
    },
    addressType: 'IPv4' as EndpointSlice['addressType'],
    endpoints,
    ports: ports ?? [],
  };
}
