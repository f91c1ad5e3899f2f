// How long pods and endpoints take during a drill: asked for again and again, as a person with kubectl would.
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Connection } from './connection.ts';

export interface PodsProbe {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly namespace: string;
}

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

interface Slice {
  readonly endpoints?:
    | readonly { readonly nodeName?: string; readonly conditions?: { readonly ready?: boolean } }[]
    | null;
}

const ASK_AGAIN_MS = 25;
const ASK_TIMEOUT_MS = 1_000;

/** Asks until it is answered and the answer is as wanted; resolves with how long that took. */
async function until<T>(
  of: PodsProbe,
  path: string,
  withinMs: number,
  isWanted: (answer: T) => boolean,
  signal: AbortSignal,
): Promise<number> {
  const beganMs = of.clock.monotonic();
  for (;;) {
    const answer = await of.connection
      .ask({ method: 'GET', path, timeoutMs: ASK_TIMEOUT_MS }, signal)
      .catch(() => undefined);
    const tookMs = of.clock.monotonic() - beganMs;
    if (answer?.code === 200 && isWanted(JSON.parse(answer.text) as T)) return tookMs;
    if (tookMs > withinMs) throw new Error(`${path} is not as wanted after ${Math.round(tookMs)} ms`);
    await sleep(of.clock, ASK_AGAIN_MS, signal);
  }
}

/** Creates a pod, however often that must be asked for, and waits until it has a node. */
export async function scheduled(of: PodsProbe, name: string, image: string, signal: AbortSignal): Promise<number> {
  const beganMs = of.clock.monotonic();
  const path = `/api/v1/namespaces/${of.namespace}/pods`;
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'web', image }] },
  };
  for (let code = 0; code !== 201 && code !== 409; ) {
    const answer = await of.connection
      .ask({ method: 'POST', path, body, timeoutMs: ASK_TIMEOUT_MS }, signal)
      .catch(() => undefined);
    code = answer?.code ?? 0;
    if (code === 403 || code === 422 || code === 400) throw new Error(`pod ${name} is refused: ${answer!.text}`);
    if (code !== 201 && code !== 409) await sleep(of.clock, ASK_AGAIN_MS, signal);
  }
  await until<Pod>(of, `${path}/${name}`, 60_000, (pod) => Boolean(pod.spec.nodeName), signal);
  return of.clock.monotonic() - beganMs;
}

export async function removePod(of: PodsProbe, name: string, signal: AbortSignal): Promise<void> {
  const path = `/api/v1/namespaces/${of.namespace}/pods/${name}?gracePeriodSeconds=0`;
  await of.connection.insist({ method: 'DELETE', path, timeoutMs: ASK_TIMEOUT_MS }, signal);
}

/** Until so many pods with a label are ready on other nodes than the lost one. */
export function replaced(
  of: PodsProbe,
  { selector, count, lost }: { readonly selector: string; readonly count: number; readonly lost: string },
  withinMs: number,
  signal: AbortSignal,
): Promise<number> {
  const path = `/api/v1/namespaces/${of.namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const isReady = ({ metadata, spec, status }: Pod): boolean =>
    !metadata.deletionTimestamp &&
    spec.nodeName !== lost &&
    status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  return until<{ items: readonly Pod[] }>(
    of,
    path,
    withinMs,
    ({ items }) => items.filter(isReady).length >= count,
    signal,
  );
}

/** Until no ready endpoint of a service is on the lost node. */
export function endpointsGone(
  of: PodsProbe,
  { service, lost }: { readonly service: string; readonly lost: string },
  withinMs: number,
  signal: AbortSignal,
): Promise<number> {
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  const path = `/apis/discovery.k8s.io/v1/namespaces/${of.namespace}/endpointslices?labelSelector=${selector}`;
  const isGone = ({ items }: { readonly items: readonly Slice[] }): boolean =>
    items.every(({ endpoints }) =>
      (endpoints ?? []).every((e) => e.nodeName !== lost || e.conditions?.ready === false),
    );
  return until<{ items: readonly Slice[] }>(of, path, withinMs, isGone, signal);
}

/** The nodes of the ready pods with a label. */
export async function nodesOf(
  of: PodsProbe,
  selector: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const path = `/api/v1/namespaces/${of.namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const { code, text } = await of.connection.insist({ method: 'GET', path, timeoutMs: ASK_TIMEOUT_MS }, signal);
  if (code !== 200) throw new Error(`pods cannot be listed: ${code} ${text}`);
  const { items } = JSON.parse(text) as { readonly items: readonly Pod[] };
  return new Map(
    items
      .filter(
        ({ metadata, status }) =>
          !metadata.deletionTimestamp && status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
      )
      .map(({ metadata, spec }) => [metadata.name, spec.nodeName ?? '']),
  );
}
