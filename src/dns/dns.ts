/**
 * Cluster DNS. Every node answers its own pods: each agent listens on the cluster DNS address, which is an address of the
 * node itself (network/local-address.ts), so that names resolve for as long as the node lives, whatever else is down.
 *
 * The Service kube-dns says under which address, for people and for pods that look. It has no selector and no endpoints, and
 * the label "service.kubernetes.io/service-proxy-name" tells every service proxy to leave its address alone.
 */
import type { EndpointSlice, Namespace, Service } from '../api/generated/types.ts';
import type { Client, Informer, Informers } from '../client/contract.ts';
import { abortable, aborted, isAbort } from '../lib/abort.ts';
import type { Environment } from '../lib/environment.ts';
import { StatusError } from '../machinery/status.ts';
import { SERVICE_PROXY_NAME_LABEL } from '../proxy/service-port.ts';
import { ClusterRecords } from './cluster-records.ts';
import { Forwarder } from './forwarder.ts';
import { dnsMetrics } from './metrics.ts';
import { ResolvConf, type Upstream } from './resolv-conf.ts';
import { Responder } from './responder.ts';
import { serveDns } from './server.ts';

export interface DnsOptions {
  readonly informers: Informers;
  readonly env: Environment;
  /** Addresses to listen on; they must be the host's already. The first is what the zone names as its server. */
  readonly addresses: readonly string[];
  /** Default 53; 0 takes a free one on each address. */
  readonly port?: number | undefined;
  /** Default "cluster.local". */
  readonly zone?: string | undefined;
  /** Life of the cluster's records in seconds; default 30. */
  readonly ttlSeconds?: number | undefined;
  /** Where names outside the cluster are resolved: these, or what this file names at the time. Default /etc/resolv.conf. */
  readonly upstreams?: readonly Upstream[] | string | undefined;
  /** Called once, when every address is served, with their ports. */
  readonly listening?: ((ports: readonly number[]) => void) | undefined;
}

/** Serves until the signal aborts. Rejects when an address cannot be listened on. */
export async function runDns(options: DnsOptions, signal: AbortSignal): Promise<void> {
  const env = { ...options.env, log: options.env.log.child('dns') };
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  const port = options.port ?? 53;
  const metrics = dnsMetrics(env.metrics, `dns://${options.addresses[0]}:${port}`);
  const records = new ClusterRecords();
  const { upstreams = '/etc/resolv.conf' } = options;
  const file = typeof upstreams === 'string' ? new ResolvConf(upstreams, options.addresses, env.clock) : undefined;
  const forwarder = new Forwarder({
    env,
    metrics,
    upstreams: async () => (typeof upstreams === 'string' ? file!.upstreams() : upstreams),
  });
  const zone = {
    name: (options.zone ?? 'cluster.local').toLowerCase(),
    ttlSeconds: options.ttlSeconds ?? 30,
    serverAddresses: options.addresses,
  };
  const responder = new Responder({ env, metrics, records, zone, forwarder });
  const respond = (message: Buffer, from: Parameters<Responder['respond']>[1]): Promise<Buffer | undefined> =>
    responder.respond(message, from, ended).catch((error: unknown) => {
      if (isAbort(error, ended)) return undefined;
      throw error;
    });
  try {
    const listen = { port, clock: env.clock, log: env.log, respond };
    const ports = options.addresses.map((address) => serveDns({ ...listen, address }, ended));
    options.listening?.(await Promise.all(ports));
    // Names outside resolve from here on; the cluster's follow when all of its objects are known.
    await Promise.race([follow(options.informers, records, ended), aborted(ended)]);
    await aborted(ended);
  } catch (error) {
    if (!isAbort(error, ended)) throw error;
  } finally {
    stop.abort();
  }
}

async function follow(informers: Informers, records: ClusterRecords, signal: AbortSignal): Promise<void> {
  const services: Informer<Service> = informers.for('services');
  const slices: Informer<EndpointSlice> = informers.for('endpointslices.discovery.k8s.io');
  const namespaces: Informer<Namespace> = informers.for('namespaces');
  await abortable(informers.start(signal, [services, slices, namespaces]), signal);
  const service = (object: Service): void => records.putService(object);
  services.subscribe({ add: service, update: service, delete: (object) => records.removeService(object) }, signal);
  const slice = (object: EndpointSlice): void => records.putSlice(object);
  slices.subscribe({ add: slice, update: slice, delete: (object) => records.removeSlice(object) }, signal);
  namespaces.subscribe(
    {
      add: (object) => records.putNamespace(object.metadata.name),
      delete: (object) => records.removeNamespace(object.metadata.name),
    },
    signal,
  );
  records.markComplete();
}

/** The Service kube-dns in kube-system, as `ensureDnsService` makes it. */
export function dnsService(clusterIP: string): Service {
  const port = (name: string, protocol: 'TCP' | 'UDP', number: number) => ({
    name,
    protocol,
    port: number,
    targetPort: number,
  });
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'kube-dns',
      namespace: 'kube-system',
      labels: {
        'k8s-app': 'kube-dns',
        'kubernetes.io/cluster-service': 'true',
        'kubernetes.io/name': 'CoreDNS',
        [SERVICE_PROXY_NAME_LABEL]: 'tsukube-dns',
      },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [port('dns', 'UDP', 53), port('dns-tcp', 'TCP', 53)],
    },
  };
}

/** Makes the Service kube-dns unless there is one. One that is there is left as it is: it may be somebody's own. */
export async function ensureDnsService(client: Client, clusterIP: string, signal: AbortSignal): Promise<void> {
  try {
    await client.resource('services').create(dnsService(clusterIP), { signal });
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === 'AlreadyExists')) throw error;
  }
}
