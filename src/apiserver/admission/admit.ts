// Runs the plugins that a request concerns, in order: first those that change, later those that judge.
import type { Draft, KubeObject } from '../../api/object.ts';
import { groupResource, type Resource } from '../../api/tables.ts';
import type { RequestContext } from '../contract.ts';
import { change } from '../registry/change.ts';
import { builtIn, type Core, cacheOf } from '../registry/context.ts';
import { validateRules } from '../registry/prepare.ts';
import { rewritten } from '../registry/rewritten.ts';
import { storageRow } from '../registry/versions.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld, Admitted } from './plugin.ts';

export async function admit(
  core: Core,
  ctx: RequestContext,
  request: AdmissionRequest,
  object: Draft<KubeObject>,
): Promise<void> {
  const { changing } = pluginsFor(core.admission, request);
  if (changing.length === 0) return;
  const world = worldOf(core, ctx, request);
  const answers = new Map<AdmissionPlugin, Admitted>();
  let changed = false;
  for (const plugin of changing) {
    const done = admitBy(plugin, world, request, object);
    const answer = done && (await done);
    if (!answer) continue;
    answers.set(plugin, answer);
    changed ||= answer.changed;
  }
  if (!changed) return;
  for (const plugin of changing) await (answers.get(plugin)?.again() ?? admitBy(plugin, world, request, object));
}

/** Waits only for plugins that do. */
function admitBy(
  plugin: AdmissionPlugin,
  world: AdmissionWorld,
  request: AdmissionRequest,
  object: Draft<KubeObject>,
): Promise<Admitted | undefined> | undefined {
  return (plugin.admit!(world, request, object) as Promise<Admitted | undefined> | undefined) ?? undefined;
}

/** The kind's own rules come first, as the end of its validation. */
export async function reviewAdmission(
  core: Core,
  ctx: RequestContext,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<void> {
  const { operation, old, row, target } = request;
  if (object && (operation === 'CREATE' || operation === 'UPDATE')) {
    const judged = validateRules(object, old, row, target.subresource);
    if (judged) await judged;
  }
  const { judging } = pluginsFor(core.admission, request);
  if (judging.length === 0) return;
  const world = worldOf(core, ctx, request);
  for (const plugin of judging) {
    const done = plugin.validate!(world, request, object);
    if (done) await done;
  }
}

type Plugins = readonly AdmissionPlugin[];

interface Concerned {
  readonly changing: Plugins;
  readonly judging: Plugins;
}

/** By the list of plugins, the stored row, and "operation subresource"; rows of custom resources come and go. */
const concerned = new WeakMap<Plugins, WeakMap<Resource, Map<string, Concerned>>>();

/** The plugins that a request concerns, looked for once for all like it. */
function pluginsFor(all: Plugins, request: AdmissionRequest): Concerned {
  const rows = concerned.get(all) ?? new WeakMap<Resource, Map<string, Concerned>>();
  concerned.set(all, rows);
  const found = rows.get(request.row) ?? new Map<string, Concerned>();
  rows.set(request.row, found);
  const { subresource } = request.target;
  const key = subresource === undefined ? request.operation : `${request.operation} ${subresource}`;
  let plugins = found.get(key);
  if (!plugins) {
    const these = all.filter((plugin) => concerns(plugin, request));
    plugins = { changing: these.filter(({ admit }) => admit), judging: these.filter(({ validate }) => validate) };
    found.set(key, plugins);
  }
  return plugins;
}

function concerns(plugin: AdmissionPlugin, { operation, target, row }: AdmissionRequest): boolean {
  if (!plugin.operations.includes(operation)) return false;
  const { subresource } = target;
  if (plugin.resources === 'all') return true;
  if (!plugin.resources) return subresource === undefined;
  const name = groupResource(row);
  const path = subresource === undefined ? name : `${name}/${subresource}`;
  return plugin.resources.includes(path) || (subresource !== undefined && plugin.resources.includes(`${name}/*`));
}

function worldOf(core: Core, ctx: RequestContext, { row }: AdmissionRequest): AdmissionWorld {
  const cached: AdmissionWorld['get'] = (group, resource, namespace, name) =>
    cacheOf(core, builtIn(core, group, resource)).get(namespace, name)?.object;
  return {
    ctx,
    env: core.env,
    rbac: core.rbac,
    tables: core.tables,
    callWebhook: core.callWebhook,
    // What a subresource takes in a form of its own (Scale, Binding) is the same in all versions of the resource.
    inVersion: async (object, as, from = row) => {
      const own = object.kind !== undefined && object.kind !== from.kind;
      return own ? object : rewritten(core, ctx, object, { from, as });
    },
    get: cached,
    async present(...at) {
      await core.caches.consistent(ctx.signal);
      return cached(...at);
    },
    async objects(row, namespace, name) {
      const stored = storageRow(core.tables, row);
      const cache = core.caches.for(stored);
      const place = row.namespaced ? namespace : undefined;
      if (name !== undefined && !cache.get(place, name)) await core.caches.consistent(ctx.signal);
      const one = name === undefined ? undefined : cache.get(place, name);
      const all = place === undefined ? {} : { namespace: place };
      const found = name === undefined ? cache.list(all).items : one ? [one] : [];
      return Promise.all(found.map(({ object }) => rewritten(core, ctx, object, { from: stored, as: row })));
    },
    list(group, resource, namespace) {
      const cache = cacheOf(core, builtIn(core, group, resource));
      // Most clusters have none of what is looked for with every write.
      if (cache.size === 0) return [];
      return cache.list(namespace === undefined ? {} : { namespace }).items.map((item) => item.object);
    },
    async change(group, resource, at, decide) {
      const place = { row: builtIn(core, group, resource), ...at };
      await change(
        core,
        ctx,
        place,
        async ({ object }) => {
          const draft = decide(object);
          return draft ? { kind: 'put', object: draft } : { kind: 'keep' };
        },
        { dryRun: false },
      );
    },
  };
}
