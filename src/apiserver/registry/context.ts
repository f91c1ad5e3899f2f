// What every verb of the registry works with.
import type { KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { rfc3339 } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Store } from '../../store/contract.ts';
import type { AdmissionPlugin } from '../admission/plugin.ts';
import type { TolerationSeconds } from '../admission/pod-defaults.ts';
import type { RbacAuthorizer } from '../auth/rbac.ts';
import type { Reviews } from '../auth/reviews.ts';
import type { TokenAuthority } from '../auth/service-account-tokens.ts';
import type { CachedObject, CacheSet, RequestContext, ResourceCache } from '../contract.ts';
import type { StrategyScope } from '../strategies/strategy.ts';
import type { CallWebhook } from '../webhooks/client.ts';
import { AnswerObject } from './answer-object.ts';
import { type Conversions, isCustom, shown } from './shown.ts';
import { convert, storageRow } from './versions.ts';

/** The addresses and ports that Services are given. */
export interface ServiceNetwork {
  /** IPv4, as "10.96.0.0/16". */
  readonly cidr: string;
  readonly nodePorts: { readonly first: number; readonly last: number };
}

export const DEFAULT_SERVICE_NETWORK: ServiceNetwork = {
  cidr: '10.96.0.0/16',
  nodePorts: { first: 30000, last: 32767 },
};

export interface RegistryOptions extends Conversions {
  readonly tables: Tables;
  readonly store: Store;
  readonly caches: CacheSet;
  readonly env: Environment;
  /** Answers SubjectAccessReview and its kin; absent: refused. */
  readonly reviews?: Reviews;
  /** What is not stored but found out when it is asked for, by resource; names ascend. */
  readonly answered?: ReadonlyMap<string, (signal: AbortSignal) => Promise<readonly KubeObject[]>>;
  /** Issues service account tokens; absent: TokenRequest is refused. */
  readonly tokens?: TokenAuthority;
  /** What users may do: guards against granting more than one has. Absent: no such guard. */
  readonly rbac?: RbacAuthorizer;
  readonly network?: ServiceNetwork;
  /** Asks admission webhooks; absent: requests that they are to be asked about fail as if they could not be reached. */
  readonly callWebhook?: CallWebhook;
  /** In order; absent: the default plugins (admission/plugins.ts). */
  readonly admission?: readonly AdmissionPlugin[];
  /** For the default plugins. Absent: 300 each. */
  readonly tolerationSeconds?: TolerationSeconds;
}

/** The options with what the verbs derive from them. */
export interface Core extends RegistryOptions {
  readonly network: ServiceNetwork;
  readonly admission: readonly AdmissionPlugin[];
}

/** The cache that holds a resource, in whichever version it is stored. */
export function cacheOf(core: Core, resource: Resource): ResourceCache {
  return core.caches.for(storageRow(core.tables, resource));
}

/** A built-in resource's row, by its preferred version. */
export function builtIn(core: Core, group: string, resource: string): Resource {
  const row = core.tables.preferred(group, resource);
  invariant(row, `no resource ${resource} in group ${JSON.stringify(group)}`);
  return row;
}

/** The objects of a resource that is not stored. */
export async function answered(core: Core, ctx: RequestContext, { resource }: Resource): Promise<CachedObject[]> {
  const objects = (await core.answered?.get(resource)?.(ctx.signal)) ?? [];
  return objects.map((object) => new AnswerObject(object));
}

export function nowText(core: Core): string {
  return rfc3339(core.env.clock.now());
}

export function scopeOf(core: Core, ctx: RequestContext, resource: Resource): StrategyScope {
  return { resource, now: nowText(core), user: ctx.user };
}

/** A stored object in the version that was asked for. */
export function inVersion(core: Core, cached: CachedObject, asked: Resource): CachedObject {
  const row = storageRow(core.tables, asked);
  if (row === asked) return cached;
  const form = `version:${asked.group}/${asked.version}`;
  return cached.derived(form, (self) => new AnswerObject(convertCopy(self.object, row, asked), self));
}

/** The same, of any resource: a custom one may have to be converted by a webhook first. */
export async function inVersionOf(
  core: Core,
  ctx: RequestContext,
  cached: CachedObject,
  asked: Resource,
): Promise<CachedObject> {
  if (!isCustom(asked)) return inVersion(core, cached, asked);
  return (await shown(core, [cached], asked, ctx.signal))[0]!;
}

function convertCopy(object: KubeObject, from: Resource, to: Resource): KubeObject {
  return convert(structuredClone(object), from, to);
}
