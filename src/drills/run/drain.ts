// As `kubectl drain` does it, of the pods that the drill has made.
import { sleep } from '../../lib/clock.ts';
import { type Asking, ask, listPods } from './asking.ts';
import { evict } from './eviction.ts';

const ASK_TIMEOUT_MS = 2_000;
const AGAIN_MS = 200;
/** Of the time in which no budget says "not now": what budgets cost is not the drain's fault. */
const WITHIN_MS = 30_000;
/** Of all time. An eviction whose server ended half-way is held against its budget for two minutes, in any Kubernetes. */
const ALTOGETHER_MS = 180_000;

/** Tries until it is answered. A node that is not there is cordoned for nobody. */
export async function cordon(
  asking: Asking,
  { node, on }: { readonly node: string; readonly on: boolean },
  signal: AbortSignal,
): Promise<void> {
  const body = { spec: { unschedulable: on ? true : null } };
  const question = { method: 'PATCH', path: `/api/v1/nodes/${node}`, body, timeoutMs: ASK_TIMEOUT_MS };
  const { code, text } = await ask(asking, question, signal);
  if (code === 200 || (code === 404 && !on)) return;
  throw new Error(`${node} cannot be ${on ? 'cordoned' : 'uncordoned'}: ${code} ${text}`);
}

/** Resolves when no pod of the drill is there any more; throws with what was said last when that takes too long. */
export async function drain(asking: Asking, node: string, signal: AbortSignal): Promise<void> {
  const { clock } = asking;
  await cordon(asking, { node, on: true }, signal);
  const beganMs = clock.monotonic();
  let refusedMs = 0;
  for (;;) {
    const fromMs = clock.monotonic();
    const left = (await listPods(asking, signal)).filter((pod) => pod.node === node);
    if (left.length === 0) return;
    let isRefused = false;
    const said: string[] = [];
    for (const { name, isLeaving } of left) {
      const outcome = isLeaving ? undefined : await evict(asking, name, signal);
      isRefused ||= outcome?.is === 'refused';
      said.push(outcome?.why === undefined ? `${name} has not gone yet` : `${name}: ${outcome.why}`);
      // Much may have happened meanwhile: another pod may have the name.
      if (outcome?.is === 'unanswered') break;
    }
    await sleep(clock, AGAIN_MS, signal);
    const nowMs = clock.monotonic();
    if (isRefused) refusedMs += nowMs - fromMs;
    if (nowMs - beganMs - refusedMs > WITHIN_MS || nowMs - beganMs > ALTOGETHER_MS) {
      throw new Error(`${node} is not drained: ${said.join(', ')}`);
    }
  }
}
