// ResourceQuotas: what a new object uses is added to every quota that counts it, or the object is refused.
import type { Pod, ResourceQuota } from '../../api/generated/types.ts';
import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { groupResource } from '../../api/tables.ts';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  subtractQuantities,
} from '../../machinery/quantity.ts';
import { type Amounts, inScope, usageOf } from '../../machinery/quota.ts';
import { forbidden } from '../../machinery/status.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld } from './plugin.ts';

const hardOf = (quota: ResourceQuota): Amounts => quota.status?.hard ?? quota.spec?.hard ?? {};

/** Container resources that a quota limits must be said by every container. */
function unsaid(quota: ResourceQuota, pod: Pod): string | undefined {
  const found: string[] = [];
  for (const name of Object.keys(hardOf(quota)).sort()) {
    const match = /^(requests\.|limits\.)?(cpu|memory)$/.exec(name);
    if (!match) continue;
    const field = match[1] === 'limits.' ? 'limits' : 'requests';
    const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    const silent = containers.filter((c) => c.resources?.[field]?.[match[2]!] === undefined).map((c) => c.name);
    if (silent.length > 0) found.push(`${name} for: ${silent.sort().join(',')}`);
  }
  return found.length === 0 ? undefined : `must specify ${found.join('; ')}`;
}

const show = (amounts: Amounts, names: readonly string[]): string =>
  [...names]
    .sort()
    .map((name) => `${name}=${amounts[name] ?? '0'}`)
    .join(',');

/** The quota with the usage added; a text when it would be exceeded; undefined when it does not count this. */
export function charge(quota: ResourceQuota, usage: Amounts): Draft<ResourceQuota> | string | undefined {
  const hard = hardOf(quota);
  const used = quota.status?.used ?? {};
  const next: { [resource: string]: string } = {};
  const exceeded: string[] = [];
  for (const [name, amount] of Object.entries(usage)) {
    const limit = hard[name];
    if (limit === undefined) continue;
    const sum = addQuantities(parseQuantity(used[name] ?? '0'), parseQuantity(amount));
    if (amount !== '0' && compareQuantities(sum, parseQuantity(limit)) > 0) exceeded.push(name);
    next[name] = formatQuantity(sum);
  }
  if (exceeded.length > 0) {
    const parts = `requested: ${show(usage, exceeded)}, used: ${show(used, exceeded)}, limited: ${show(hard, exceeded)}`;
    return `exceeded quota: ${quota.metadata.name}, ${parts}`;
  }
  if (Object.keys(next).every((name) => usage[name] === '0')) return undefined;
  const draft = cloneJson(quota) as Draft<ResourceQuota>;
  draft.status = { hard: { ...hard }, used: { ...used, ...next } };
  return draft;
}

/** Charges every quota that counts the object for `usage`, or refuses. */
async function chargeAll(
  world: AdmissionWorld,
  { row, target, dryRun }: AdmissionRequest,
  object: KubeObject,
  usage: Amounts,
): Promise<void> {
  const namespace = target.namespace ?? '';
  const quotas = world.list('', 'resourcequotas', namespace) as readonly ResourceQuota[];
  const refuse = (why: string): never => {
    throw forbidden(row, object.metadata.name, why);
  };
  const counting = quotas.filter((quota) => inScope(quota, row, object));
  for (const quota of counting) {
    const silent = groupResource(row) === 'pods' ? unsaid(quota, object as Pod) : undefined;
    if (silent) refuse(`failed quota: ${quota.metadata.name}: ${silent}`);
    const charged = charge(quota, usage);
    if (typeof charged === 'string') refuse(charged);
  }
  if (dryRun) return;
  for (const quota of counting) {
    if (charge(quota, usage) === undefined) continue;
    await world.change('', 'resourcequotas', { namespace, name: quota.metadata.name }, (present) => {
      const charged = charge(present as ResourceQuota, usage);
      if (typeof charged === 'string') refuse(charged);
      return charged as Draft<KubeObject> | undefined;
    });
  }
}

/** A namespace without quotas is not counted. */
const hasQuotas = (world: AdmissionWorld, { target }: AdmissionRequest): boolean =>
  world.list('', 'resourcequotas', target.namespace ?? '').length > 0;

/**
 * Usage is charged before the object is stored: an object that is refused later leaves its charge until usage is counted
 * anew by the quota controller, as upstream.
 */
export const resourceQuota: AdmissionPlugin = {
  name: 'ResourceQuota',
  operations: ['CREATE'],
  async validate(world, request, object) {
    const { row } = request;
    if (!row.namespaced || !object || groupResource(row) === 'events' || !hasQuotas(world, request)) return;
    await chargeAll(world, request, object, usageOf(row, object));
  },
};

/** A pod that asks for more is charged for the difference; what it gives back is counted once it holds it no more. */
export const resourceQuotaResize: AdmissionPlugin = {
  name: 'ResourceQuota',
  operations: ['UPDATE'],
  resources: ['pods/resize'],
  async validate(world, request, object) {
    const { row, old } = request;
    if (!object || !old || !hasQuotas(world, request)) return;
    const usage = growth(usageOf(row, object), usageOf(row, old));
    if (Object.keys(usage).length > 0) await chargeAll(world, request, object, usage);
  },
};

/** By how much usage grows, where it does. */
function growth(now: Amounts, before: Amounts): Amounts {
  const grown: { [resource: string]: string } = {};
  for (const [name, amount] of Object.entries(now)) {
    const difference = subtractQuantities(parseQuantity(amount), parseQuantity(before[name] ?? '0'));
    if (difference.unscaled > 0n) grown[name] = formatQuantity(difference);
  }
  return grown;
}
