import { type KubeObject, keyOf } from '../api/object.ts';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason } from '../machinery/status.ts';
import type { Informer, ObjectReference, ResourceClient } from './contract.ts';

/** Resolves with the object once `ready` holds for it (undefined: it does not exist); rejects when the signal aborts. */
export function waitForCached<T extends KubeObject>(
  informer: Informer<T>,
  key: string,
  ready: (object: T | undefined) => boolean,
  signal: AbortSignal,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = new AbortController();
    const settle = (done: () => void): void => {
      stop.abort();
      signal.removeEventListener('abort', onAbort);
      done();
    };
    const onAbort = (): void => settle(() => reject(signal.reason));
    signal.addEventListener('abort', onAbort, { once: true });
    const look = (object: T | undefined): void => {
      if (!stop.signal.aborted && ready(object)) settle(() => resolve(object));
    };
    const ifOurs = (object: T): void => {
      if (keyOf(object) === key) look(informer.get(key));
    };
    if (informer.synced) look(informer.get(key));
    informer.subscribe({ add: ifOurs, update: ifOurs, delete: ifOurs }, stop.signal);
  });
}

/**
 * The same without an informer: a get, then a watch of this one object. Survives the end of a watch and passing failures of
 * the server, which it tries again after RETRY_MS; a refusal (Forbidden, Invalid) is thrown.
 */
export async function waitFor<T extends KubeObject>(
  resource: ResourceClient<T>,
  ref: ObjectReference,
  ready: (object: T | undefined) => boolean,
  { env, signal }: { readonly env: Pick<Environment, 'clock'>; readonly signal: AbortSignal },
): Promise<T | undefined> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await watchUntil(resource, ref, ready, signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (isReason(error, 'Forbidden', 'Unauthorized', 'Invalid', 'BadRequest', 'MethodNotAllowed')) throw error;
    }
    await sleep(env.clock, RETRY_MS, signal);
  }
}

const RETRY_MS = 200;

class WatchEnded extends Error {
  override name = 'WatchEnded';
}

async function watchUntil<T extends KubeObject>(
  resource: ResourceClient<T>,
  ref: ObjectReference,
  ready: (object: T | undefined) => boolean,
  signal: AbortSignal,
): Promise<T | undefined> {
  const namespace = ref.namespace === undefined ? {} : { namespace: ref.namespace };
  const query = { ...namespace, fieldSelector: `metadata.name=${ref.name}` };
  const listed = await resource.list(query, signal);
  const found = listed.items[0];
  if (ready(found)) return found;
  for await (const batch of resource.watch({ ...query, resourceVersion: listed.resourceVersion }, signal)) {
    for (const event of batch) {
      if (event.type === 'BOOKMARK') continue;
      const object = event.type === 'DELETED' ? undefined : event.object;
      if (ready(object)) return object;
    }
  }
  throw new WatchEnded(`the watch of ${ref.name} ended`);
}
