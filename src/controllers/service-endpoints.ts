// What pods offer for a Service: shared by the EndpointSlice and the Endpoints controllers. Pure.
import type { Pod, Service, ServicePort } from '../api/generated/types.ts';
import { keyOf } from '../api/object.ts';
import type { Informers } from '../client/contract.ts';
import { isPlanted } from '../lib/planted.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isPodReady, isTerminal } from '../machinery/pods.ts';
import type { Selector } from '../machinery/selector.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';

export interface OfferedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly appProtocol?: string;
}

/** One pod that belongs to a service: its addresses, the ports that it has, and whether it can take traffic. */
export interface Offer {
  readonly pod: Pod;
  readonly ports: readonly OfferedPort[];
  /** Takes traffic: ready and staying, or the service wants addresses that are not ready. */
  readonly ready: boolean;
  /** The pod is ready, going or not. */
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly hostname: string | undefined;
}

/** Headless: no virtual address; clients see the pods themselves. */
export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === 'None';
}

/** The pods that a service's selector picks and that have an address, in the order of their keys. */
export function offersOf(service: Service, pods: readonly Pod[]): readonly Offer[] {
  const selector = labelSelectorFromObject({ matchLabels: service.spec.selector ?? {} });
  return pods
    .filter((pod) => selector.matches(pod.metadata.labels) && !isTerminal(pod) && (pod.status?.podIP ?? '') !== '')
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    .map((pod) => offerOf(service, pod));
}

function offerOf(service: Service, pod: Pod): Offer {
  const serving = isPodReady(pod) || isPlanted('dead-endpoints');
  const terminating = isTerminating(pod) && !isPlanted('dead-endpoints');
  const { hostname, subdomain } = pod.spec;
  return {
    pod,
    ports: portsOf(service, pod),
    ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating),
    serving,
    terminating,
    hostname: hostname && subdomain === service.metadata.name ? hostname : undefined,
  };
}

function portsOf(service: Service, pod: Pod): readonly OfferedPort[] {
  const offered: OfferedPort[] = [];
  for (const port of service.spec.ports ?? []) {
    const number = targetPort(port, pod);
    if (number === undefined) continue;
    const { name = '', protocol = 'TCP', appProtocol } = port;
    offered.push({ name, port: number, protocol: protocol as 'TCP', ...(appProtocol && { appProtocol }) });
  }
  return offered;
}

/** The pod's number for a service port: a number as it is, a name looked up among its containers' ports. */
function targetPort({ targetPort: target, port, protocol = 'TCP' }: ServicePort, pod: Pod): number | undefined {
  if (target === undefined || target === 0 || target === '') return port;
  if (typeof target === 'number') return target;
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const container of [...pod.spec.containers, ...sidecars]) {
    const found = container.ports?.find((p) => p.name === target && (p.protocol ?? 'TCP') === protocol);
    if (found) return found.containerPort;
  }
  return undefined;
}

/** A text that is the same for the same ports in any order. */
export function portsKey(ports: readonly Partial<OfferedPort>[]): string {
  const texts = ports.map((p) => `${p.name ?? ''}/${p.port ?? ''}/${p.protocol ?? ''}/${p.appProtocol ?? ''}`);
  return texts.sort().join(',');
}

/** The keys of the services whose selector picks the pod now, or picked it before the change. */
export function servicesOf(informers: Informers, pod: Pod, previous: Pod | undefined): readonly string[] {
  const keys: string[] = [];
  for (const service of informers.for('services').list(pod.metadata.namespace)) {
    const labels = service.spec.selector;
    if (!labels || Object.keys(labels).length === 0) continue;
    const selector = selectorOf(labels);
    if (selector.matches(pod.metadata.labels) || (previous && selector.matches(previous.metadata.labels))) {
      keys.push(keyOf(service));
    }
  }
  return keys;
}

const selectors = new WeakMap<object, Selector>();

/** Every pod's change is held against every service of its namespace: a selector of a cached service is compiled once. */
function selectorOf(labels: NonNullable<Service['spec']['selector']>): Selector {
  const known = selectors.get(labels);
  if (known) return known;
  const made = labelSelectorFromObject({ matchLabels: labels });
  selectors.set(labels, made);
  return made;
}

/** True when endpoints are worked out from a selector; others are their authors' business. */
export function isSelecting(service: Service): boolean {
  return service.spec.type !== 'ExternalName' && service.spec.selector !== undefined;
}
