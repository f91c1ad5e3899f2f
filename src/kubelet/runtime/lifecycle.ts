import type { Container, LifecycleHandler, Pod } from '../../api/generated/types.ts';
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/clock.ts';
import type { CriClient } from '../cri/client.ts';
import { runHandler } from '../probes/handlers.ts';

export interface HookTarget {
  readonly pod: Pod | undefined;
  readonly container: Container;
  readonly containerId: string;
  readonly podIP: string;
}

export interface HookContext {
  readonly cri: CriClient;
  readonly clock: Clock;
  /** The longest the hook may take. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Runs a postStart or preStop hook; throws with what it said when it failed. */
export async function runHook(handler: LifecycleHandler, target: HookTarget, context: HookContext): Promise<void> {
  if (handler.sleep) {
    await sleep(context.clock, Math.min(handler.sleep.seconds * 1000, context.timeoutMs), context.signal);
    return;
  }
  const { exec, httpGet, tcpSocket } = handler;
  const probe = { ...(exec && { exec }), ...(httpGet && { httpGet }), ...(tcpSocket && { tcpSocket }) };
  const result = await runHandler(probe, target, context);
  if (result.outcome !== 'success') throw new Error(result.message);
}
