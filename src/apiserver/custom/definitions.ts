// Serves what CustomResourceDefinitions define: follows them in the cache, keeps their status, enters their rows in the tables,
// and clears away the objects of one that is being deleted. Any number of servers do so side by side: every write is
// conditional and every decision the same.
import type { CustomResourceDefinition } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { rfc3339, sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { isReason } from '../../machinery/status.ts';
import type { CachedObject, CacheSet, RequestContext, ResourceApi, WatchDelivery } from '../contract.ts';
import { CLEANUP_FINALIZER, decideStatus, isEstablished, withCondition } from './conditions.ts';
import { type CustomRow, rowsOf, withTerminating } from './rows.ts';

export interface DefinitionsOptions {
  readonly tables: Tables;
  readonly caches: CacheSet;
  /** Without authorization: what is done here is the server's own doing. */
  readonly api: ResourceApi;
  readonly env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly context: (signal: AbortSignal) => RequestContext;
  /** Is told when other resources are served than before. */
  readonly changed?: () => void;
}

const RETRY: BackoffPolicy = { initialMs: 20, maximumMs: 5_000, factor: 2, jitter: 0.2 };
/** Between looks whether the objects of a definition that goes are gone. */
const CLEANUP_LOOK_MS = 200;

/** Begins to serve; resolves when every definition that there is is served. */
export async function serveDefinitions(options: DefinitionsOptions, signal: AbortSignal): Promise<void> {
  const row = options.tables.resource('apiextensions.k8s.io', 'v1', 'customresourcedefinitions');
  if (row) new Definitions(options, row, signal).follow();
}

interface Served {
  readonly rows: readonly CustomRow[];
  /** What the rows were made from. */
  readonly of: string;
  readonly isTerminating: boolean;
}

class Definitions {
  readonly #options: DefinitionsOptions;
  readonly #row: Resource;
  readonly #signal: AbortSignal;
  readonly #served = new Map<string, Served>();
  /** Definitions whose status or objects are being worked on, and those that changed meanwhile. */
  readonly #busy = new Set<string>();
  readonly #again = new Set<string>();

  constructor(options: DefinitionsOptions, row: Resource, signal: AbortSignal) {
    this.#options = options;
    this.#row = row;
    this.#signal = signal;
  }

  follow(): void {
    if (this.#signal.aborted) return;
    const cache = this.#options.caches.for(this.#row);
    // The list and the watch begin in the same turn: nothing can come between them.
    const after = cache.revision;
    const present = cache.list({}).items;
    const names = new Set(present.map((item) => item.name));
    for (const name of this.#served.keys()) if (!names.has(name)) this.#drop(name);
    for (const item of present) this.#take(item);
    cache.watch({
      filter: {},
      after,
      deliver: (batch) => this.#deliver(batch),
      end: () => this.follow(),
      signal: this.#signal,
    });
  }

  #deliver(batch: readonly WatchDelivery[]): void {
    for (const delivery of batch) {
      if (delivery.type === 'BOOKMARK') continue;
      if (delivery.type === 'DELETED') this.#drop(delivery.object.name);
      else this.#take(delivery.object);
    }
  }

  #take(cached: CachedObject): void {
    const definition = cached.object as CustomResourceDefinition;
    const { name } = definition.metadata;
    try {
      if (isEstablished(definition)) this.#serve(definition);
    } catch (error) {
      // One that cannot be served, however it came to be stored, does not keep the others from it.
      this.#options.env.log.error('a definition cannot be served', error, { definition: name });
    }
    if (this.#busy.has(name)) this.#again.add(name);
    else void this.#work(name);
  }

  /** Rows that have not changed stay: what was derived for them stays with them. */
  #serve(definition: CustomResourceDefinition): void {
    const { name, deletionTimestamp } = definition.metadata;
    const of = JSON.stringify([definition.spec, definition.status?.acceptedNames]);
    const isTerminating = (deletionTimestamp ?? '') !== '';
    const before = this.#served.get(name);
    if (before?.of === of && before.isTerminating === isTerminating) return;
    const { tables, caches } = this.#options;
    // With the same schemas watches go on: who deletes the definition may want to see its objects go.
    const rows =
      before?.of === of
        ? before.rows.map((row) => withTerminating(row, isTerminating))
        : rowsOf(definition).filter(({ resource }) => tables.isFree(resource));
    for (const row of before?.rows ?? []) this.#remove(row);
    for (const { type, listType, resource, isServed } of rows) {
      tables.addType(type);
      tables.addType(listType);
      if (isServed) tables.addResource(resource);
      caches.for(resource);
    }
    this.#served.set(name, { rows, of, isTerminating });
    this.#options.changed?.();
  }

  #drop(name: string): void {
    const rows = this.#served.get(name)?.rows ?? [];
    for (const row of rows) this.#remove(row);
    // It may have been made again meanwhile, and have objects again.
    if (!this.#find(name)) for (const { resource } of rows) this.#options.caches.forget(resource);
    if (this.#served.delete(name)) this.#options.changed?.();
    // Names that it had may be free for another.
    for (const item of this.#options.caches.for(this.#row).list({}).items) this.#take(item);
  }

  #remove({ type, listType, resource, isServed }: CustomRow): void {
    if (isServed) this.#options.tables.removeResource(resource);
    this.#options.tables.removeType(type.name);
    this.#options.tables.removeType(listType.name);
  }

  /** Keeps the status right and clears away; again while anything changes. */
  async #work(name: string): Promise<void> {
    const { env } = this.#options;
    this.#busy.add(name);
    let failures = 0;
    do {
      this.#again.delete(name);
      try {
        await this.#reconcile(name);
        failures = 0;
      } catch (error) {
        if (this.#signal.aborted) break;
        if (!isReason(error, 'Conflict') && !isReason(error, 'NotFound')) {
          env.log.warn('a definition could not be worked on', { definition: name, reason: String(error) });
        }
        this.#again.add(name);
        await sleep(env.clock, backoffMs(RETRY, failures++, env.random), this.#signal).catch(() => undefined);
      }
    } while (this.#again.has(name) && !this.#signal.aborted);
    this.#busy.delete(name);
  }

  #find(name: string): CustomResourceDefinition | undefined {
    return this.#options.caches.for(this.#row).get(undefined, name)?.object as CustomResourceDefinition | undefined;
  }

  async #reconcile(name: string): Promise<void> {
    const definition = this.#find(name);
    if (!definition) return;
    const all = this.#options.caches
      .for(this.#row)
      .list({})
      .items.map((item) => item.object as CustomResourceDefinition);
    const others = all.filter((one) => one.spec.group === definition.spec.group && one.metadata.name !== name);
    const now = rfc3339(this.#options.env.clock.now());
    const status = decideStatus(definition, others, now);
    if (status) await this.#writeStatus({ ...definition, status });
    else if (definition.metadata.deletionTimestamp && definition.metadata.finalizers?.includes(CLEANUP_FINALIZER)) {
      await this.#clean(definition, now);
    }
  }

  async #writeStatus(definition: CustomResourceDefinition): Promise<void> {
    const { api, context } = this.#options;
    const target = { resource: this.#row, name: definition.metadata.name, subresource: 'status' };
    await api.update(context(this.#signal), target, structuredClone(definition) as KubeObject, {});
  }

  /** Deletes all objects of a definition that is being deleted, waits until they are gone, and lets it go. */
  async #clean(definition: CustomResourceDefinition, now: string): Promise<void> {
    const conditions = definition.status?.conditions ?? [];
    const reason = { type: 'Terminating', reason: 'InstanceDeletionInProgress' };
    if (!conditions.some((one) => one.type === 'Terminating')) {
      const message = 'CustomResource deletion is in progress';
      const terminating = withCondition(conditions, { ...reason, status: 'True', message }, now);
      await this.#writeStatus({ ...definition, status: { ...definition.status, conditions: terminating } });
      return;
    }
    // In the stored version, so that what is stored now needs no conversion to go.
    const rows = this.#served.get(definition.metadata.name)?.rows.map(({ resource }) => resource) ?? [];
    const row = rows.find((one) => one.version === one.custom?.storageVersion);
    if (row && isEstablished(definition)) await this.#deleteObjects(row);
    const { api, context } = this.#options;
    const present = structuredClone(this.#find(definition.metadata.name) ?? definition);
    const finalizers = (present.metadata.finalizers ?? []).filter((one) => one !== CLEANUP_FINALIZER);
    const released = { ...present, metadata: { ...present.metadata, finalizers } };
    await api.update(context(this.#signal), { resource: this.#row, name: definition.metadata.name }, released, {});
  }

  async #deleteObjects(row: Resource): Promise<void> {
    const { api, caches, context, env } = this.#options;
    for (;;) {
      const ctx = context(this.#signal);
      await caches.consistent(this.#signal);
      const { items } = caches.for(row).list({});
      if (items.length === 0) return;
      for (const { namespace, name, object } of items) {
        if (object.metadata.deletionTimestamp) continue;
        const place = { resource: row, name, ...(row.namespaced && namespace !== undefined && { namespace }) };
        await api.delete(ctx, place, {}).catch((error) => {
          if (!isReason(error, 'NotFound')) throw error;
        });
      }
      await caches.consistent(this.#signal);
      if (caches.for(row).list({}).items.length > 0) await sleep(env.clock, CLEANUP_LOOK_MS, this.#signal);
    }
  }
}
