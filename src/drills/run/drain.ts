// As `kubectl drain` does it, of the pods that the drill has made.
import { sleep } from '../../lib/clock.ts';
import type { Connection } from '../probes/connection.ts';
import type { Stage } from './stage.ts';
import { NAMESPACE } from './workload.ts';

const ASK_TIMEOUT_MS = 2_000;
const AGAIN_MS = 200;
const WITHIN_MS = 30_000;
const EVICT_EVERY_MS = 3_000;

/** Tries until it is answered. */
export async function cordon(
  stage: Stage,
  connection: Connection,
  { node, on }: { readonly node: string; readonly on: boolean },
  signal: AbortSignal,
): Promise<void> {
  const body = { spec: { unschedulable: on ? true : null } };
  await stage.ask(
    connection,
    { method: 'PATCH', path: `/api/v1/nodes/${node}`, body, timeoutMs: ASK_TIMEOUT_MS },
    signal,
  );
}

/** Resolves when no pod of the drill is there any more; throws when the budget lets too few go within the time. */
export async function drain(stage: Stage, connection: Connection, node: string, signal: AbortSignal): Promise<void> {
  const { clock } = stage.env;
  const overMs = clock.monotonic() + WITHIN_MS;
  await cordon(stage, connection, { node, on: true }, signal);
  for (;;) {
    const left = (await stage.pods(connection, signal)).filter((pod) => pod.node === node);
    if (left.length === 0) return;
    if (clock.monotonic() > overMs)
      throw new Error(`${node} is not drained: ${left.map(({ name }) => name).join(', ')}`);
    for (const { name, isLeaving } of left) if (!isLeaving) await evict(connection, name, signal);
    await sleep(clock, AGAIN_MS, signal);
  }
}

/** Has pods with names of their own go, one after the other, as their budget allows. Until the signal aborts; never rejects. */
export async function evictOnAndOn(stage: Stage, connection: Connection, signal: AbortSignal): Promise<void> {
  for (let turn = 0; !signal.aborted; turn++) {
    const pods = await stage.pods(connection, signal).catch(() => []);
    const ordered = pods.filter(({ app, isReady, isLeaving }) => app === 'ordered' && isReady && !isLeaving);
    const next = ordered[turn % Math.max(1, ordered.length)];
    if (next) await evict(connection, next.name, signal);
    await sleep(stage.env.clock, EVICT_EVERY_MS, signal).catch(() => undefined);
  }
}

/** 429: the budget says not now. */
async function evict(connection: Connection, name: string, signal: AbortSignal): Promise<void> {
  const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { namespace: NAMESPACE, name } };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`;
  await connection.ask({ method: 'POST', path, body, timeoutMs: ASK_TIMEOUT_MS }, signal).catch(() => undefined);
}
