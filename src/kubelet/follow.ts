import type { KubeObject } from '../api/object.ts';
import type { ListQuery, ResourceClient } from '../client/contract.ts';
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason, StatusError } from '../machinery/status.ts';

const RETRY: BackoffPolicy = { initialMs: 200, maximumMs: 30_000, factor: 2, jitter: 0.2 };
/** A watch that went well for this long starts again at the shortest back-off, as client-go's: a quiet node may hear nothing. */
const RESET_MS = 120_000;

export interface FollowWith {
  readonly env: Environment;
  /** Between failed tries; default: RETRY. */
  readonly backoff?: BackoffPolicy | undefined;
}

/** What a follower tells. Handlers must not throw. */
export interface Following<T> {
  /** All objects that there are: after every list. */
  replaced(objects: readonly T[]): void;
  changed(object: T): void;
  deleted(object: T): void;
}

/**
 * Follows the objects that a query selects (a list, then watches), until the signal aborts. Informers follow whole
 * resources; the kubelet may see only what concerns its node.
 */
export async function follow<T extends KubeObject>(
  client: ResourceClient<T>,
  query: ListQuery,
  handlers: Following<T>,
  { env, backoff = RETRY }: FollowWith,
  signal: AbortSignal,
): Promise<void> {
  let version: string | undefined;
  let failures = 0;
  while (!signal.aborted) {
    const triedMs = env.clock.monotonic();
    try {
      if (version === undefined) {
        const listed = await client.list(query, signal);
        if (signal.aborted) return;
        handlers.replaced(listed.items);
        version = listed.resourceVersion;
      }
      const begunMs = env.clock.monotonic();
      for await (const batch of client.watch(
        { ...query, resourceVersion: version, allowWatchBookmarks: true },
        signal,
      )) {
        if (signal.aborted) return;
        failures = 0;
        for (const event of batch) {
          if (event.type === 'BOOKMARK') version = event.resourceVersion;
          else {
            version = event.object.metadata.resourceVersion ?? version;
            if (event.type === 'DELETED') handlers.deleted(event.object);
            else handlers.changed(event.object);
          }
        }
      }
      // A server that ends watches as soon as they begin must not be asked in a tight loop.
      if (env.clock.monotonic() - begunMs < 1000)
        await sleep(env.clock, backoffMs(backoff, failures++, env.random), signal);
    } catch (error) {
      if (signal.aborted) return;
      // A refusal says nothing about when it will be granted: start over from a list.
      if (error instanceof StatusError && !isReason(error, 'ServiceUnavailable', 'TooManyRequests'))
        version = undefined;
      // What is neither the server's nor the connection's is a defect of ours, to be seen.
      if (error instanceof TypeError || error instanceof RangeError) env.log.error('following objects failed', error);
      else env.log.debug('list and watch failed; trying again', { error: String(error) });
      if (env.clock.monotonic() - triedMs > RESET_MS) failures = 0;
      await sleep(env.clock, backoffMs(backoff, failures++, env.random), signal).catch(() => undefined);
    }
  }
}
