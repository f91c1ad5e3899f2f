// What a patient client is told while etcd has no quorum: refused, clearly, each time.
import { sleep } from '../../lib/clock.ts';
import { NAMESPACE, type Stage } from './stage.ts';

const QUESTIONS = 4;
const APART_MS = 250;
/** More than the servers wait for a quorum before they refuse. */
const PATIENCE_MS = 8_000;

/** Asks for writes and reads that need a quorum. `unclear` counts what was not answered by 503 or 504 with a Status. */
export async function refusals(stage: Stage, signal: AbortSignal) {
  const { clock } = stage.env;
  let unclear = 0;
  let refused = 0;
  let longestMs = 0;
  const one = async (question: {
    readonly method: string;
    readonly path: string;
    readonly body?: object;
  }): Promise<void> => {
    const connection = await stage.connect();
    const beganMs = clock.monotonic();
    try {
      // The address may be moving: a refusal is looked for, not a connection.
      while (clock.monotonic() - beganMs < PATIENCE_MS) {
        const answer = await connection.ask({ ...question, timeoutMs: PATIENCE_MS }, signal).catch(() => undefined);
        if (answer && [503, 504].includes(answer.code) && kindOf(answer.text) === 'Status') {
          refused++;
          longestMs = Math.max(longestMs, clock.monotonic() - beganMs);
          return;
        }
        if (answer) break;
        await sleep(clock, 50, signal);
      }
      unclear++;
    } finally {
      connection.close();
    }
  };
  const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
  const asked: Promise<void>[] = [];
  for (let i = 0; i < QUESTIONS; i++) {
    const metadata = { name: 'refused', labels: { drill: 'refused' } };
    asked.push(one({ method: 'POST', path, body: { apiVersion: 'v1', kind: 'ConfigMap', metadata } }));
    asked.push(one({ method: 'GET', path: `${path}/kube-root-ca.crt` }));
    await sleep(clock, APART_MS, signal);
  }
  await Promise.all(asked);
  return { unclear, refused, refusedAfterMs: longestMs };
}

function kindOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { readonly kind?: unknown }).kind;
  } catch {
    return undefined;
  }
}
