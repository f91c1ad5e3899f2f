// One pod is asked to go, as its budget allows; and pods that are asked on and on while faults last.
import { sleep } from '../../lib/clock.ts';
import { NoAnswer, NotSent } from '../probes/connection.ts';
import { type Asking, listPods } from './asking.ts';
import { NAMESPACE } from './workload.ts';

const ASK_TIMEOUT_MS = 2_000;
const EVERY_MS = 3_000;
/** Of the pods whose names are their own. */
const ORDERED = 'ordered';

export type Outcome =
  /** It was told to go, or is gone. */
  | { readonly is: 'going'; readonly why?: undefined }
  /** Its budget says: not now. */
  | { readonly is: 'refused'; readonly why: string }
  /** Nobody knows, or it was not tried: no connection, no answer, a server that fails or has too much to do. */
  | { readonly is: 'unanswered'; readonly why: string };

/** Asks once. Throws when asking again cannot help. */
export async function evict(
  { connection }: Pick<Asking, 'connection'>,
  name: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { namespace: NAMESPACE, name } };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`;
  const { connects } = connection;
  const answer = await connection
    .ask({ method: 'POST', path, body, timeoutMs: ASK_TIMEOUT_MS }, signal)
    .catch((error: unknown) => {
      signal.throwIfAborted();
      if (error instanceof NotSent || error instanceof NoAnswer) return error;
      throw error;
    });
  if (answer instanceof Error) return { is: 'unanswered', why: answer.message };
  const { code, text } = answer;
  if (code === 200 || code === 201 || code === 404) return { is: 'going' };
  const { message, byBudget } = read(text);
  if (code === 429 && byBudget !== undefined) return { is: 'refused', why: byBudget };
  // 409: the pod or its budget changed while it was looked at.
  if (code === 429 || code === 409 || code >= 500) {
    // Another server may do better.
    connection.renew(connects);
    return { is: 'unanswered', why: `${code} ${message}` };
  }
  throw new Error(`pod ${name} cannot be evicted: ${code} ${message}`);
}

/** Of a Status; a balancer's or a broken server's answer is none, and is its own message. */
function read(text: string): { readonly message: string; readonly byBudget: string | undefined } {
  try {
    const { message = text, details } = JSON.parse(text) as {
      readonly message?: string;
      readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
    };
    const cause = details?.causes?.find(({ reason }) => reason === 'DisruptionBudget');
    return { message, byBudget: cause && (cause.message ?? message) };
  } catch {
    return { message: text, byBudget: undefined };
  }
}

export interface Besetting extends Asking {
  /** Something else spends the budgets now, and is not to be kept from it. */
  readonly isHeld: () => boolean;
  /** What asking again would not help. */
  readonly onProblem: (text: string) => void;
}

/** How often evictions had each outcome. */
export type Tally = { [outcome in Outcome['is']]: number };

/** Has pods with names of their own go, one after the other, as their budget allows. Until the signal aborts; never rejects. */
export async function evictOnAndOn(besetting: Besetting, signal: AbortSignal): Promise<Tally> {
  const { clock, isHeld, onProblem } = besetting;
  const tally = { going: 0, refused: 0, unanswered: 0 };
  for (let turn = 0; !signal.aborted; turn++) {
    try {
      const next = isHeld() ? undefined : await ready(besetting, turn, signal);
      // To look takes a while.
      if (next !== undefined && !isHeld()) tally[(await evict(besetting, next, signal)).is]++;
    } catch (error) {
      if (!signal.aborted) onProblem((error as Error).message);
    }
    await sleep(clock, EVERY_MS, signal).catch(() => undefined);
  }
  return tally;
}

/** Each in its turn. */
async function ready(asking: Asking, turn: number, signal: AbortSignal): Promise<string | undefined> {
  const pods = await listPods(asking, signal);
  const ordered = pods.filter(({ app, isReady, isLeaving }) => app === ORDERED && isReady && !isLeaving);
  return ordered[turn % Math.max(1, ordered.length)]?.name;
}
