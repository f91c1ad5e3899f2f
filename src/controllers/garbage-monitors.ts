// Which resources the garbage collector sees: all that can be listed, watched and deleted, as discovery changes.
import type { KubeObject } from '../api/object.ts';
import { apiVersionOf } from '../api/tables.ts';
import type { DiscoveredResource, ResourceCoordinates } from '../client/contract.ts';
import { coordinatesKey } from '../client/coordinates.ts';
import { sleep } from '../lib/clock.ts';
import type { ControllerContext } from './runtime.ts';

export interface GarbageHandlers {
  observed(resource: ResourceCoordinates, object: KubeObject): void;
  deleted(object: KubeObject): void;
}

/** A resource whose first list is not in after this long is not waited for (its server may be down); its objects come later. */
const SYNC_TIMEOUT_MS = 30_000;

/** Events own nothing and are many: upstream leaves them out too. */
const isIgnored = ({ group, resource }: ResourceCoordinates): boolean =>
  resource === 'events' && (group === '' || group === 'events.k8s.io');

export class GarbageMonitors {
  readonly #ctx: ControllerContext;
  readonly #handlers: GarbageHandlers;
  readonly #running = new Map<string, AbortController>();
  #resourceOf: ReturnType<typeof kindIndex> = () => undefined;

  constructor(ctx: ControllerContext, handlers: GarbageHandlers) {
    this.#ctx = ctx;
    this.#handlers = handlers;
  }

  /** The resource that serves a kind. */
  resourceOf(apiVersion: string, kind: string): ResourceCoordinates | undefined {
    return this.#resourceOf(apiVersion, kind);
  }

  /** Begins to watch what is new, and stops what is no longer served. */
  async discover(signal: AbortSignal): Promise<void> {
    const discovered = await this.#ctx.client.discover(signal);
    this.#resourceOf = kindIndex(discovered);
    const wanted = new Map<string, ResourceCoordinates>();
    for (const one of discovered) {
      const watchable = ['list', 'watch', 'delete'].every((verb) => one.verbs.includes(verb));
      if (watchable && !isIgnored(one)) wanted.set(coordinatesKey(one), one);
    }
    for (const [key, running] of this.#running) {
      if (wanted.has(key)) continue;
      running.abort();
      this.#running.delete(key);
    }
    const begun = [...wanted].filter(([key]) => !this.#running.has(key));
    const synced = await Promise.all(begun.map(([key, resource]) => this.#sync(key, resource, signal)));
    // Only now, so that owners and dependents enter the graph together.
    for (const subscribe of synced) subscribe();
  }

  /** Starts the informer; returns what connects it with the graph. */
  async #sync(key: string, resource: ResourceCoordinates, signal: AbortSignal): Promise<() => void> {
    const { informers, env } = this.#ctx;
    const running = new AbortController();
    this.#running.set(key, running);
    const ending = AbortSignal.any([signal, running.signal]);
    // Who owns whom is all that matters here.
    const informer = informers.metadata(resource);
    const synced = informers.start(ending, [informer]);
    const timeout = new AbortController();
    const waited = sleep(env.clock, SYNC_TIMEOUT_MS, AbortSignal.any([ending, timeout.signal]));
    try {
      await Promise.race([synced, waited]);
    } catch {
      // The signal aborted: subscribing then does nothing.
    } finally {
      timeout.abort();
      synced.catch(() => undefined);
      waited.catch(() => undefined);
    }
    const { observed, deleted } = this.#handlers;
    return () =>
      informer.subscribe(
        {
          add: (object) => observed(resource, object),
          update: (object) => observed(resource, object),
          delete: (object) => deleted(object),
        },
        ending,
      );
  }
}

/** Finds the resource of an owner reference's kind, at the version named or any other of its group. */
export function kindIndex(
  resources: readonly DiscoveredResource[],
): (apiVersion: string, kind: string) => ResourceCoordinates | undefined {
  const exact = new Map<string, ResourceCoordinates>();
  const byGroup = new Map<string, ResourceCoordinates>();
  for (const one of resources) {
    exact.set(`${apiVersionOf(one)}/${one.kind}`, one);
    byGroup.set(`${one.group}/${one.kind}`, one);
  }
  return (apiVersion, kind) => {
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? '' : apiVersion.slice(0, slash);
    return exact.get(`${apiVersion}/${kind}`) ?? byGroup.get(`${group}/${kind}`);
  };
}
