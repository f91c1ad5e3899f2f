// What a drill needs to know or to have done, asked until it is answered: for what a drill measures there are the probes.
import type { Clock } from '../../lib/clock.ts';
import { type Answer, type Connection, insist, type Question } from '../probes/connection.ts';
import { NAMESPACE, type PodView, podView, SELECTOR } from './workload.ts';

export interface Asking {
  readonly connection: Pick<Connection, 'ask' | 'connects' | 'renew'>;
  readonly clock: Clock;
}

const ASK_TIMEOUT_MS = 10_000;
const WITHIN_MS = 120_000;
const APART_MS = 250;

/** Asks again until there is an answer: what is asked here may be done twice. Throws the last failure after two minutes. */
export function ask({ connection, clock }: Asking, asked: Question, signal: AbortSignal): Promise<Answer> {
  return insist(connection, asked, { clock, withinMs: WITHIN_MS, apartMs: APART_MS }, signal);
}

/** The pods of the drill's workload. */
export const PODS = `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=${encodeURIComponent(SELECTOR)}`;

export const question = (path: string): Question => ({ method: 'GET', path, timeoutMs: ASK_TIMEOUT_MS });

/** As soon as somebody answers. */
export async function listPods(asking: Asking, signal: AbortSignal): Promise<readonly PodView[]> {
  return podsIn(await ask(asking, question(PODS), signal));
}

/** Asks once. */
export async function lookAtPods(
  { connection }: Pick<Asking, 'connection'>,
  signal: AbortSignal,
): Promise<readonly PodView[]> {
  return podsIn(await connection.ask(question(PODS), signal));
}

function podsIn({ code, text }: Answer): readonly PodView[] {
  if (code !== 200) throw new Error(`pods cannot be listed: ${code} ${text}`);
  return (JSON.parse(text) as { items: readonly Parameters<typeof podView>[0][] }).items.map(podView);
}
