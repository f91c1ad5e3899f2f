// Keeps what is in force the same as the objects: makes those that every cluster begins with, follows all of them, and says
// in each FlowSchema's status whether its priority level is there. Any number of servers may do so at once.
import type { FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration } from '../../api/generated/types.ts';
import { cloneJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { type Clock, rfc3339, sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { isReason } from '../../machinery/status.ts';
import type { CacheSet, RequestContext, ResourceApi, ResourceCache, Target } from '../contract.ts';
import { sameMeaning } from '../strategies/equality.ts';
import {
  AUTOUPDATE_SPEC,
  MANDATORY_LEVELS,
  MANDATORY_SCHEMAS,
  SUGGESTED_LEVELS,
  SUGGESTED_SCHEMAS,
} from './bootstrap-objects.ts';
import type { FlowControl } from './flow-control.ts';

const GROUP = 'flowcontrol.apiserver.k8s.io';
const LEVELS = 'prioritylevelconfigurations';
const SCHEMAS = 'flowschemas';
/** After a write that failed, until it is tried again. */
const RETRY_MS = 5_000;

export interface FlowControlSources {
  readonly api: ResourceApi;
  readonly tables: Tables;
  readonly caches: CacheSet;
  readonly env: Environment;
  readonly ctx: RequestContext;
}

/** Makes the objects that are missing; those that say so themselves are brought up to date. */
export async function ensureFlowControlObjects(sources: FlowControlSources): Promise<void> {
  await Promise.all([...SUGGESTED_LEVELS, ...MANDATORY_LEVELS].map((object) => ensure(sources, LEVELS, object)));
  await Promise.all([...SUGGESTED_SCHEMAS, ...MANDATORY_SCHEMAS].map((object) => ensure(sources, SCHEMAS, object)));
}

type Configured = KubeObject & { readonly spec: object };

async function ensure({ api, tables, ctx }: FlowControlSources, name: string, wanted: Configured): Promise<void> {
  const resource = rowOf(tables, name);
  const target: Target = { resource, name: wanted.metadata.name };
  try {
    const current = (await api.get(ctx, target, { resourceVersion: '0' })).object as Configured;
    const next = { ...cloneJson(current), spec: cloneJson(wanted.spec) } as Configured;
    if (current.metadata.annotations?.[AUTOUPDATE_SPEC] !== 'true' || sameMeaning(next, current)) return;
    await api.update(ctx, target, next, {});
  } catch (error) {
    if (isReason(error, 'Conflict')) return;
    if (!isReason(error, 'NotFound')) throw error;
    await api.create(ctx, { resource }, cloneJson(wanted), {}).catch((again: unknown) => {
      // Another server was quicker.
      if (!isReason(again, 'AlreadyExists')) throw again;
    });
  }
}

function rowOf(tables: Tables, name: string): Resource {
  const row = tables.preferred(GROUP, name);
  invariant(row, `no resource ${name} in ${GROUP}`);
  return row;
}

/** Follows the objects until the context's signal aborts. */
export class FlowControlConfiguration {
  readonly #sources: FlowControlSources;
  readonly #flowControl: FlowControl;
  readonly #schemas: ResourceCache;
  readonly #levels: ResourceCache;
  #changed = false;
  #running = false;
  #writes = false;

  constructor(sources: FlowControlSources, flowControl: FlowControl) {
    const { caches, tables } = sources;
    this.#sources = sources;
    this.#flowControl = flowControl;
    this.#schemas = caches.for(rowOf(tables, SCHEMAS));
    this.#levels = caches.for(rowOf(tables, LEVELS));
    for (const cache of [this.#schemas, this.#levels]) this.#follow(cache);
  }

  /** From now on statuses are written and mandatory objects that go come back. */
  startWriting(): void {
    this.#writes = true;
    this.#onChange();
  }

  #follow(cache: ResourceCache): void {
    const { signal } = this.#sources.ctx;
    if (signal.aborted) return;
    const after = cache.revision;
    this.#onChange();
    const end = (): void => this.#follow(cache);
    cache.watch({ filter: {}, after, signal, deliver: () => this.#onChange(), end });
  }

  #onChange(): void {
    const schemas = objectsOf<FlowSchema>(this.#schemas);
    this.#flowControl.configure(schemas, objectsOf<PriorityLevelConfiguration>(this.#levels));
    this.#changed = true;
    if (this.#writes && !this.#running) void this.#write();
  }

  /** Writes until nothing is left to write; one pass at a time. */
  async #write(): Promise<void> {
    const { env, ctx } = this.#sources;
    this.#running = true;
    while (this.#changed && !ctx.signal.aborted) {
      this.#changed = false;
      try {
        await this.#restoreMandatory();
        await this.#writeStatuses();
      } catch (error) {
        if (ctx.signal.aborted) break;
        env.log.debug('flow schemas could not be written', { error: String(error) });
        this.#changed = true;
        await sleep(env.clock, RETRY_MS, ctx.signal).catch(() => undefined);
      }
    }
    this.#running = false;
  }

  async #restoreMandatory(): Promise<void> {
    for (const [name, cache, objects] of [
      [LEVELS, this.#levels, MANDATORY_LEVELS],
      [SCHEMAS, this.#schemas, MANDATORY_SCHEMAS],
    ] as const) {
      for (const object of objects)
        if (!cache.get(undefined, object.metadata.name)) await ensure(this.#sources, name, object);
    }
  }

  async #writeStatuses(): Promise<void> {
    const { api, tables, ctx, env } = this.#sources;
    for (const schema of objectsOf<FlowSchema>(this.#schemas)) {
      const level = schema.spec.priorityLevelConfiguration.name;
      const condition = dangling(schema, this.#levels.get(undefined, level) !== undefined, env.clock);
      if (!condition) continue;
      const others = schema.status?.conditions?.filter((one) => one.type !== condition.type) ?? [];
      const { name, resourceVersion } = schema.metadata;
      const body = { metadata: { resourceVersion }, status: { conditions: [...others, condition] } };
      const target = { resource: rowOf(tables, SCHEMAS), name, subresource: 'status' };
      try {
        await api.patch(ctx, target, { type: 'application/merge-patch+json', body }, {});
      } catch (error) {
        // Somebody else changed or deleted it: that is a change, and looked at next.
        if (!isReason(error, 'Conflict', 'NotFound')) throw error;
      }
    }
  }
}

function objectsOf<T>(cache: ResourceCache): T[] {
  return cache.list({}).items.map((item) => item.object as T);
}

/** The condition that the schema is to have; undefined when it has it. Pure. */
export function dangling(schema: FlowSchema, isThere: boolean, clock: Clock): FlowSchemaCondition | undefined {
  const level = JSON.stringify(schema.spec.priorityLevelConfiguration.name);
  const about = `This FlowSchema references the PriorityLevelConfiguration object named ${level}`;
  const wanted = isThere
    ? { status: 'False', reason: 'Found', message: `${about} and it exists` }
    : { status: 'True', reason: 'NotFound', message: `${about} but there is no such object` };
  const current = schema.status?.conditions?.find((one) => one.type === 'Dangling');
  const same =
    current?.status === wanted.status && current.reason === wanted.reason && current.message === wanted.message;
  if (same) return undefined;
  const lastTransitionTime = current?.status === wanted.status ? current.lastTransitionTime : undefined;
  return { type: 'Dangling', lastTransitionTime: lastTransitionTime ?? rfc3339(clock.now()), ...wanted };
}
