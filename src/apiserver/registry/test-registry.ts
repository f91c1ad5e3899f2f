// A registry over a memory store and a fake clock, for tests.

import { decode } from '../../api/codec.ts';
import { applyDefaults } from '../../api/defaults.ts';
import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import type { Environment } from '../../lib/environment.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import type { Store } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { startCaches } from '../cache/cache-set.ts';
import type { CacheSet, RequestContext, ResourceApi, Target, UserInfo, WriteResult } from '../contract.ts';
import { fieldsOf } from '../strategies/strategies.ts';
import type { RegistryOptions } from './context.ts';
import { createRegistry } from './registry.ts';

export const ADMIN: UserInfo = { username: 'admin', groups: ['system:masters', 'system:authenticated'] };

export class TestRegistry {
  readonly tables: Tables;
  readonly store: Store;
  readonly caches: CacheSet;
  readonly clock: FakeClock;
  readonly api: ResourceApi;
  readonly warnings: string[] = [];
  readonly #stop: AbortController;

  constructor(parts: {
    tables: Tables;
    store: Store;
    caches: CacheSet;
    clock: FakeClock;
    api: ResourceApi;
    stop: AbortController;
  }) {
    this.tables = parts.tables;
    this.store = parts.store;
    this.caches = parts.caches;
    this.clock = parts.clock;
    this.api = parts.api;
    this.#stop = parts.stop;
  }

  /** A target by path: "pods", "deployments.apps", "pods/status". */
  target(path: string, namespace?: string, name?: string): Target {
    const [named = '', subresource] = path.split('/');
    const dot = named.indexOf('.');
    const [resource, group] = dot < 0 ? [named, ''] : [named.slice(0, dot), named.slice(dot + 1)];
    const row = this.tables.preferred(group, resource);
    if (!row) throw new Error(`no resource ${path}`);
    return {
      resource: row,
      ...(namespace !== undefined && { namespace }),
      ...(name !== undefined && { name }),
      ...(subresource !== undefined && { subresource }),
    };
  }

  ctx(user: UserInfo = ADMIN, signal: AbortSignal = this.#stop.signal): RequestContext {
    return { user, signal, warn: (text) => this.warnings.push(text) };
  }

  /** As the edge hands bodies over: decoded, with defaults. */
  body(target: Target, value: object): KubeObject {
    const { object } = decode<KubeObject>(this.tables, target.resource.type, structuredClone(value));
    applyDefaults(this.tables, target.resource.type, object);
    return object as KubeObject;
  }

  async create(path: string, value: object, options: { user?: UserInfo; dryRun?: boolean } = {}): Promise<KubeObject> {
    const metadata = (value as KubeObject).metadata ?? {};
    const target = this.target(path, metadata.namespace);
    const body = this.body(target, value);
    const result = await this.api.create(this.ctx(options.user), target, body, { dryRun: options.dryRun ?? false });
    return result.object.object;
  }

  async update(path: string, value: object, user?: UserInfo): Promise<KubeObject> {
    const { namespace, name } = (value as KubeObject).metadata;
    const target = this.target(path, namespace, name);
    return (await this.api.update(this.ctx(user), target, this.body(target, value), {})).object.object;
  }

  async merge(path: string, at: { namespace?: string; name: string }, patch: object): Promise<WriteResult> {
    const target = this.target(path, at.namespace, at.name);
    return this.api.patch(this.ctx(), target, { type: 'application/merge-patch+json', body: patch }, {});
  }

  async get(path: string, name: string, namespace?: string): Promise<KubeObject> {
    return (await this.api.get(this.ctx(), this.target(path, namespace, name), {})).object;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.store.close();
  }
}

type TestOptions = Partial<RegistryOptions> & { readonly seed?: number };

async function registryOn(clock: FakeClock, store: Store, options: TestOptions): Promise<TestRegistry> {
  const tables = options.tables ?? new Tables();
  const random = seededRandom(options.seed ?? 7);
  const env: Environment = { clock, random, log: silentLog, metrics: undefined as never };
  const stop = new AbortController();
  const caches = await startCaches(store, tables, fieldsOf, env, stop.signal);
  const api = createRegistry({ env, ...options, tables, store, caches });
  return new TestRegistry({ tables, store, caches, clock, api, stop });
}

/** A registry with the namespace `default` and its service account. Ends with close(). */
export async function testRegistry(options: TestOptions = {}): Promise<TestRegistry> {
  const clock = new FakeClock();
  const registry = await registryOn(clock, options.store ?? openMemoryStore({ clock }), options);
  await registry.create('namespaces', { metadata: { name: 'default' } });
  await registry.create('serviceaccounts', { metadata: { namespace: 'default', name: 'default' } });
  return registry;
}

/** Another server over the same store and clock, with caches of its own. */
export function secondRegistry(first: TestRegistry, options: TestOptions = {}): Promise<TestRegistry> {
  return registryOn(first.clock, options.store ?? first.store, { seed: 8, ...options });
}
