// Documents of a manifest, brought into a cluster: what is absent is created, what is there gets a merge patch.
import { decode } from '../api/codec.ts';
import type { KubeObject } from '../api/object.ts';
import type { Resource, Tables } from '../api/tables.ts';
import { parseYamlAll } from '../api/yaml.ts';
import type { Client, ResourceClient } from '../client/contract.ts';
import { badRequest, isReason, StatusError } from '../machinery/status.ts';

export interface ApplyContext {
  readonly client: Client;
  readonly tables: Tables;
  /** Where namespaced documents go that name no namespace. */
  readonly namespace: string;
  readonly fieldManager: string;
  /** Resolves when the namespace has the service account. */
  readonly serviceAccount: (namespace: string, name: string) => Promise<unknown>;
  readonly signal: AbortSignal;
}

/** A document with its place: checked, so that nothing is written when a later document of the manifest is wrong. */
interface Planned {
  readonly row: Resource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  /** As it was written: the body of a patch. */
  readonly document: object;
  /** In canonical form: the body of a create. */
  readonly object: KubeObject;
}

/** How often an object may appear and vanish between our looking and our writing. */
const ATTEMPTS = 5;

/**
 * Applies every document of a YAML or JSON text, in order; a List is its items. All documents are checked before the first is
 * written: unknown fields, unknown kinds and missing names are refused (StatusError, YamlError).
 */
export async function applyManifest(context: ApplyContext, text: string): Promise<readonly KubeObject[]> {
  const documents = parseYamlAll(text).flatMap(itemsOf);
  const planned = documents.map((document, i) => planOf(context, document, i));
  const applied: KubeObject[] = [];
  for (const one of planned) applied.push(await applyOne(context, one));
  return applied;
}

/** A List stands for its items. */
function itemsOf(value: unknown): unknown[] {
  const { kind, items } = (value ?? {}) as { kind?: unknown; items?: unknown };
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items) ? items.flatMap(itemsOf) : [value];
}

function planOf({ tables, namespace }: ApplyContext, value: unknown, index: number): Planned {
  const where = `document ${index + 1}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest(`${where} is not an object`);
  }
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  if (typeof apiVersion !== 'string') throw badRequest(`${where}: apiVersion not set`);
  if (typeof kind !== 'string') throw badRequest(`${where}: kind not set`);
  const row = tables.byKind(apiVersion, kind);
  if (!row) throw new StatusError('NotFound', `${where}: no matches for kind "${kind}" in version "${apiVersion}"`);
  const { object } = decode<KubeObject>(tables, row.type, structuredClone(value), { fieldValidation: 'Strict' });
  const { name, generateName, namespace: own } = object.metadata ?? {};
  if (!name && !generateName) throw badRequest(`${where}: resource name may not be empty`);
  return {
    row,
    namespace: row.namespaced ? own || namespace : undefined,
    name: name || undefined,
    document: value,
    object,
  };
}

async function applyOne(context: ApplyContext, planned: Planned): Promise<KubeObject> {
  const { row, name, namespace, document } = planned;
  const resource = context.client.dynamic(row);
  if (name === undefined) return create(context, resource, planned);
  const query = { fieldManager: context.fieldManager, signal: context.signal };
  for (let attempt = 1; ; attempt++) {
    try {
      return await resource.patch({ namespace, name }, { type: 'merge', body: document }, query);
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
    try {
      return await create(context, resource, planned);
    } catch (error) {
      if (!isReason(error, 'AlreadyExists') || attempt >= ATTEMPTS) throw error;
    }
  }
}

/** A pod may come before its namespace's service account, which a controller makes: then it waits for that. */
async function create(
  context: ApplyContext,
  resource: ResourceClient<KubeObject>,
  { object, namespace }: Planned,
): Promise<KubeObject> {
  const { signal, fieldManager } = context;
  const placed = namespace === undefined ? object : { ...object, metadata: { ...object.metadata, namespace } };
  try {
    return await resource.create(placed, { fieldManager, signal });
  } catch (error) {
    const account = isReason(error, 'Forbidden') && /serviceaccount "([^"]+)" not found$/.exec(error.message)?.[1];
    // Only the account that every namespace gets: another one may never come.
    if (account !== 'default' || namespace === undefined) throw error;
    await context.serviceAccount(namespace, account);
  }
  return resource.create(placed, { fieldManager, signal });
}
