// The fields of a resource's endpoints as their managers see them, and what each write makes of metadata.managedFields.
import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource } from '../../api/tables.ts';
import { fieldManagerOf, managedAfterUpdate } from '../../machinery/apply/field-manager.ts';
import type { ManagedEntry, ManagedFields } from '../../machinery/apply/managed-fields.ts';
import type { FieldScope, FieldVersion, OtherVersion } from '../../machinery/apply/ownership.ts';
import { type FieldSet, setOfPaths } from '../../machinery/field-sets/field-set.ts';
import { fieldSchemaOf } from '../../machinery/field-sets/table-schema.ts';
import type { RequestContext, Target, WriteOptions } from '../contract.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { ConversionFailed, type ConvertNow, withConversions } from './awaited-conversions.ts';
import { type Core, nowText, scopeOf } from './context.ts';
import { convert } from './versions.ts';

/** What the server writes itself, whatever a client sends. */
const SYSTEM_FIELDS: readonly string[] = [
  'apiVersion',
  'kind',
  'metadata.name',
  'metadata.namespace',
  'metadata.creationTimestamp',
  'metadata.selfLink',
  'metadata.uid',
  'metadata.clusterName',
  'metadata.generation',
  'metadata.managedFields',
  'metadata.resourceVersion',
];

const byEndpoint = new WeakMap<Resource, Map<string, FieldVersion>>();

function versionOf(core: Core, resource: Resource, subresource: string | undefined): FieldVersion {
  let versions = byEndpoint.get(resource);
  if (!versions) {
    versions = new Map();
    byEndpoint.set(resource, versions);
  }
  const endpoint = subresource ?? '';
  let version = versions.get(endpoint);
  if (!version) {
    const schema = fieldSchemaOf(core.tables, resource.type);
    version = { apiVersion: apiVersionOf(resource), schema, ignored: ignoredFields(resource, endpoint) };
    versions.set(endpoint, version);
  }
  return version;
}

/** `endpoint` is a subresource; "" is the object itself, through which a status cannot be written where it has a place of its own. */
function ignoredFields(resource: Resource, endpoint: string): FieldSet {
  const own = strategyOf(resource).resetFields?.[endpoint];
  const otherwise = endpoint === 'status' ? ['spec'] : resource.subresources.has('status') ? ['status'] : [];
  const reset = own ?? otherwise;
  const paths = [...SYSTEM_FIELDS.filter((path) => !reset.some((whole) => path.startsWith(`${whole}.`))), ...reset];
  return setOfPaths(paths.map((path) => path.split('.').map((name) => `f:${name}`)));
}

/** `byWebhook` writes objects as versions that only a webhook knows. */
export function fieldScope(
  core: Core,
  resource: Resource,
  subresource: string | undefined,
  byWebhook: ConvertNow,
): FieldScope {
  const { apiVersion, schema, ignored } = versionOf(core, resource, subresource);
  return {
    apiVersion,
    schema,
    ignored,
    subresource,
    now: nowText(core),
    other: (wanted) => otherVersion(core, resource, wanted, { subresource, byWebhook }),
  };
}

/** The row of another version of a resource; undefined: there is no such version (any more). */
export function versionRow(core: Core, resource: Resource, apiVersion: string): Resource | undefined {
  const slash = apiVersion.indexOf('/');
  const [group, version] = slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
  // Of a custom resource those that are not served count too.
  if (resource.custom) return group === resource.group ? resource.custom.versions.get(version) : undefined;
  const row = core.tables.resource(group, version, resource.resource);
  return row?.etcdPrefix === resource.etcdPrefix ? row : undefined;
}

function otherVersion(
  core: Core,
  resource: Resource,
  apiVersion: string,
  { subresource, byWebhook }: { readonly subresource: string | undefined; readonly byWebhook: ConvertNow },
): OtherVersion | undefined {
  const row = versionRow(core, resource, apiVersion);
  if (!row) return undefined;
  const version = versionOf(core, row, subresource);
  if (resource.custom?.convertsByWebhook) {
    return { ...version, from: (object) => byWebhook(object, row), back: (object) => byWebhook(object, resource) };
  }
  return {
    ...version,
    from: (object) => convert(cloneJson(object) as KubeObject, resource, row),
    back: (object) => convert(cloneJson(object) as KubeObject, row, resource),
  };
}

/** Who is asking, where a write does not say it itself. */
export function managerOf(ctx: RequestContext, options: WriteOptions): string {
  return fieldManagerOf(options.fieldManager, ctx.userAgent);
}

interface FieldsWrite {
  /** The object as it is; undefined: there is none. */
  readonly live: KubeObject | undefined;
  /** As it was sent or patched, with defaults. */
  readonly object: KubeObject;
  readonly options: WriteOptions;
}

/**
 * The managers after an update or patch. `live` and `object` are in the version asked for. Where a webhook does not say what
 * they are in the versions of other managers, nobody manages anything from then on, as with upstream.
 */
export async function managedFieldsOf(
  core: Core,
  ctx: RequestContext,
  target: Target,
  { live, object: sent, options }: FieldsWrite,
): Promise<ManagedFields | undefined> {
  const { resource, subresource } = target;
  const manager = managerOf(ctx, options);
  const object = taken(core, ctx, target, live, sent);
  const decide = (byWebhook: ConvertNow): ManagedFields | undefined =>
    managedAfterUpdate(fieldScope(core, resource, subresource, byWebhook), { live, object, manager });
  try {
    return await withConversions(core, resource, decide, ctx.signal);
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (!(error instanceof ConversionFailed)) throw error;
    core.env.log.warn('nobody manages fields of an object any more', {
      resource: resource.resource,
      name: object.metadata.name,
      reason: error.message,
    });
    return undefined;
  }
}

/** What an endpoint makes of what was sent, where it takes only a part of that. */
function taken(
  core: Core,
  ctx: RequestContext,
  { resource, subresource = '' }: Target,
  live: KubeObject | undefined,
  sent: KubeObject,
): KubeObject {
  const rules = strategyOf(resource).endpoints?.[subresource];
  if (!live || !rules?.managesOnlyTaken) return sent;
  const object = cloneJson(sent) as Draft<KubeObject>;
  rules.prepareForUpdate?.(object, live, scopeOf(core, ctx, resource));
  return object as KubeObject;
}

/** The entries stay shared: they are never changed. */
export function setManaged(object: Draft<KubeObject>, managed: ManagedFields | undefined): void {
  if (managed === undefined || managed.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = managed as Draft<ManagedEntry>[];
}
