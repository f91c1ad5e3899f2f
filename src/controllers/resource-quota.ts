// ResourceQuota: what is used is counted anew, so that what was deleted or never came to be is given back. The charge for new
// objects is admission's (apiserver/admission/resource-quota.ts).
import { isDeepStrictEqual } from 'node:util';
import type { Pod, ResourceQuota, ResourceTypes } from '../api/generated/types.ts';
import { draft, type KubeObject, keyOf } from '../api/object.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isTerminal } from '../machinery/pods.ts';
import { addQuantities, formatQuantity, parseQuantity } from '../machinery/quantity.ts';
import { inScope, usageOf } from '../machinery/quota.ts';
import { isReason } from '../machinery/status.ts';
import { sameStatus } from './replica-set.ts';
import {
  type ChangeKind,
  type Controller,
  type ControllerContext,
  type Requeue,
  type Watch,
  watch,
  watchMetadata,
} from './runtime.ts';

/** What quotas usually count: watched, so that a deletion is given back at once. */
const WATCHED = [
  'pods',
  'services',
  'persistentvolumeclaims',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'resourcequotas',
  'deployments.apps',
  'replicasets.apps',
  'statefulsets.apps',
  'daemonsets.apps',
  'jobs.batch',
  'cronjobs.batch',
  'ingresses.networking.k8s.io',
] as const satisfies readonly (keyof ResourceTypes)[];

/** Everything else that a quota counts is listed, this often. */
const OTHERS_INTERVAL_MS = 30_000;
/** A count from time to time, whatever happened, as upstream's resync. */
const RESYNC_MS = 5 * 60_000;

/** Only counted: their metadata is enough, and they may be many and big. */
const COUNTED_ONLY: readonly string[] = ['secrets', 'configmaps'] satisfies (keyof ResourceTypes)[];

type Amounts = { readonly [resource: string]: string };

interface Kind {
  readonly group: string;
  readonly resource: string;
}

function kindOf(key: string): Kind {
  const dot = key.indexOf('.');
  return 0 > dot ? { group: '', resource: key } : { group: key.slice(dot + 1), resource: key.slice(0, dot) };
}

/** What the object uses now. A pod that has ended, or should be gone by now, only counts as an object. */
export function currentUsage(kind: Kind, object: KubeObject, nowMs: number): Amounts {
  const usage = usageOf(kind, object);
  if (kind.resource !== 'pods' || kind.group !== '' || holdsResources(object as Pod, nowMs)) return usage;
  return { 'count/pods': '1' };
}

function holdsResources(pod: Pod, nowMs: number): boolean {
  if (isTerminal(pod)) return false;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
  return deletionTimestamp === undefined || Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000 > nowMs;
}

export interface QuotaSnapshot {
  readonly quota: ResourceQuota;
  /** Everything in its namespace that it may count. */
  readonly objects: readonly (readonly [Kind, readonly KubeObject[]])[];
  readonly nowMs: number;
}

/** What is limited, and how much of it is used. */
export function quotaStatus({ quota, objects, nowMs }: QuotaSnapshot): NonNullable<ResourceQuota['status']> {
  const hard = quota.spec.hard ?? {};
  const sums = new Map(Object.keys(hard).map((name) => [name, parseQuantity('0')]));
  for (const [kind, found] of objects) {
    for (const object of found) {
      if (!inScope(quota, kind, object)) continue;
      for (const [name, amount] of Object.entries(currentUsage(kind, object, nowMs))) {
        const sum = sums.get(name);
        if (sum) sums.set(name, addQuantities(sum, parseQuantity(amount)));
      }
    }
  }
  return { hard, used: Object.fromEntries([...sums].map(([name, sum]) => [name, formatQuantity(sum)])) };
}

export function resourceQuotaController(): Controller {
  return {
    name: 'resourcequota-controller',
    watches: (ctx) => WATCHED.map((key) => watchCounted(ctx, key)),
    reconcile,
  };
}

function watchCounted(ctx: ControllerContext, key: (typeof WATCHED)[number]): Watch {
  const quotas = ctx.informers.for('resourcequotas');
  const kind = kindOf(key);
  const usage = (object: KubeObject): string => JSON.stringify(currentUsage(kind, object, ctx.env.clock.now()));
  const begin = COUNTED_ONLY.includes(key) ? watchMetadata : watch<keyof ResourceTypes>;
  return begin(key, {
    keys: (object: KubeObject, previous: KubeObject | undefined, change: ChangeKind) => {
      const inNamespace = quotas.list(object.metadata.namespace);
      if (inNamespace.length === 0) return [];
      if (key === 'resourcequotas') return isOnlyCharge(object, previous) ? [] : inNamespace.map(keyOf);
      // A new object was charged by admission. To count just then would give back what others are charged for that are not
      // in the cache yet.
      if (change === 'added') return [];
      return previous && usage(object) === usage(previous) ? [] : inNamespace.map(keyOf);
    },
  });
}

/** The charge for an object that is about to come: its quota is not counted before the object is there. */
function isOnlyCharge(object: KubeObject, previous: KubeObject | undefined): boolean {
  return previous !== undefined && isDeepStrictEqual((object as ResourceQuota).spec, (previous as ResourceQuota).spec);
}

async function reconcile(ctx: ControllerContext, key: string, signal: AbortSignal): Promise<Requeue | undefined> {
  const quota = ctx.informers.for('resourcequotas').get(key);
  if (!quota || isTerminating(quota)) return undefined;
  const { namespace } = quota.metadata;
  const others = await listOthers(ctx, quota, signal);
  const watched = WATCHED.map((name): readonly [Kind, readonly KubeObject[]] => [
    kindOf(name),
    (COUNTED_ONLY.includes(name) ? ctx.informers.metadata(name) : ctx.informers.for(name)).list(namespace),
  ]);
  const status = quotaStatus({ quota, objects: [...watched, ...others], nowMs: ctx.env.clock.now() });
  if (!sameStatus(quota.status, status)) {
    const changed = { ...draft(quota), status } as ResourceQuota;
    try {
      // Against the version that was read: a charge that came meanwhile is not lost.
      await ctx.client.resource('resourcequotas').update(changed, { subresource: 'status', signal });
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }
  return { requeueAfterMs: others.length > 0 ? OTHERS_INTERVAL_MS : RESYNC_MS };
}

/** Objects of kinds that are not watched, where the quota limits their count. */
async function listOthers(
  ctx: ControllerContext,
  quota: ResourceQuota,
  signal: AbortSignal,
): Promise<readonly (readonly [Kind, readonly KubeObject[]])[]> {
  const watched: readonly string[] = WATCHED;
  const names = Object.keys(quota.spec.hard ?? {})
    .filter((name) => name.startsWith('count/'))
    .map((name) => name.slice('count/'.length))
    .filter((name) => !watched.includes(name));
  if (names.length === 0) return [];
  const served = await ctx.client.discover(signal);
  const found: (readonly [Kind, readonly KubeObject[]])[] = [];
  for (const name of names) {
    const { group, resource } = kindOf(name);
    const row = served.find((one) => one.group === group && one.resource === resource && one.namespaced);
    if (!row) continue;
    const { items } = await ctx.client.dynamic(row).list({ namespace: quota.metadata.namespace! }, signal);
    found.push([row, items]);
  }
  return found;
}
