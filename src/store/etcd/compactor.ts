// Forgets old history in etcd: one server at a time, decided by a compare on a key that all servers know, as Kubernetes' own
// API servers do. History is kept for one to two intervals.
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Revision } from '../contract.ts';
import { COMPACTED, COMPARE_VERSION, EtcdError, type EtcdRpc } from './rpc.ts';

/** Upstream's --etcd-compaction-interval. */
export const COMPACTION_INTERVAL_MS = 5 * 60_000;
export const COMPACTION_KEY = 'compact_rev_key';

export interface CompactorOptions {
  readonly rpc: EtcdRpc;
  readonly clock: Clock;
  readonly log: Log;
  readonly intervalMs?: number;
}

/** What a server remembers between two rounds: how often anybody has compacted, and the revision that it saw then. */
interface Seen {
  readonly version: number;
  readonly revision: Revision;
}

/** Runs until the signal aborts. Whoever's compare holds compacts to the revision that it saw a whole interval ago. */
export async function runCompactor(options: CompactorOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, intervalMs = COMPACTION_INTERVAL_MS } = options;
  let seen: Seen = { version: 0, revision: 0 };
  while (!signal.aborted) {
    await sleep(clock, intervalMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    try {
      seen = await compactOnce(options, seen, signal);
    } catch (error) {
      if (!signal.aborted) log.warn('etcd was not compacted', { reason: String(error) });
    }
  }
}

/** One round; returns what is to be remembered. */
export async function compactOnce({ rpc, log }: CompactorOptions, seen: Seen, signal: AbortSignal): Promise<Seen> {
  const key = COMPACTION_KEY;
  const { succeeded, header, responses } = await rpc.txn(
    {
      compare: [{ key, target: COMPARE_VERSION, version: seen.version }],
      success: [{ put: { key, value: Buffer.from(String(seen.revision)) } }],
      failure: [{ range: { key } }],
    },
    { signal },
  );
  const { revision } = header;
  // Another server was there meanwhile: it is its turn until it fails to come.
  if (!succeeded) return { version: responses[0]?.range?.kvs[0]?.version ?? 0, revision };
  if (seen.revision > 0) {
    try {
      await rpc.compact(seen.revision, { signal });
      log.info('etcd is compacted', { revision: seen.revision });
    } catch (error) {
      if (!(error instanceof EtcdError && error.message === COMPACTED)) throw error;
    }
  }
  return { version: seen.version + 1, revision };
}
