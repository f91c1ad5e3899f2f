// Answers as bytes. Stored bytes are sent as they are; every other form is made from the parsed object.
import { stringifyJson } from '../../api/json.ts';
import { apiVersionOf, type Resource } from '../../api/tables.ts';
import type { StatusError, StatusObject } from '../../machinery/status.ts';
import { StatusError as Refusal } from '../../machinery/status.ts';
import type { CachedObject, ListResult } from '../contract.ts';
import { type ListBodies, type ListBody, listOfTexts, type StoredList } from './list-bodies.ts';
import type { Accepted } from './media.ts';
import { partialMessage, protobufList, protobufOf, protobufOfValue } from './protobuf.ts';
import { type ListMeta, partialMetadata, rowOf, type TableContext, tableOf } from './table.ts';

/** Any JSON value in the encoding that the client asked for. */
export async function encodeValue(value: unknown, accepted: Accepted): Promise<Buffer> {
  if (accepted.encoding === 'json') return Buffer.from(stringifyJson(value));
  if (accepted.encoding === 'protobuf') return protobufOfValue(value as object);
  const { stringify } = await import('yaml');
  return Buffer.from(stringify(value, { aliasDuplicateObjects: false }));
}

/** Whether an object is sent as it is stored. */
export function isStored({ as, encoding }: Accepted): boolean {
  return as === undefined && encoding === 'json';
}

export async function encodeObject(item: CachedObject, accepted: Accepted, table: TableContext): Promise<Buffer> {
  if (isStored(accepted)) return item.bytes;
  if (accepted.encoding === 'protobuf' && accepted.as === undefined) return protobufOf(item);
  return encodeValue(transformed(item, accepted, table), accepted);
}

function transformed(item: CachedObject, accepted: Accepted, table: TableContext): unknown {
  // A subresource of another kind (Scale, Status) has no columns here.
  if (accepted.as === undefined || item.object.kind !== table.resource.kind) return item.object;
  if (accepted.as === 'Table') {
    const resourceVersion = item.object.metadata?.resourceVersion;
    return tableOf([item], { ...(resourceVersion && { resourceVersion }) }, table);
  }
  if (accepted.as === 'PartialObjectMetadataList')
    throw notThat(accepted.as, `not a list (*${goType(item.object.kind ?? '', table.resource)})`);
  return partialMetadata(item.object, accepted);
}

export async function encodeList(
  result: ListResult,
  accepted: Accepted,
  table: TableContext,
  bodies: { readonly json: ListBodies; readonly protobuf: ListBodies },
): Promise<ListBody | StoredList> {
  const metadata = listMeta(result);
  const { resource } = table;
  if (accepted.as === 'Table') {
    const { rows: _, ...head } = tableOf([], metadata, table);
    const plain = await encodeItems(head, 'rows', result.items, (item) => rowOf(item, table), accepted);
    return { plain };
  }
  if (accepted.as === 'PartialObjectMetadata')
    throw notThat(accepted.as, `a list (*${goType(listKind(resource), resource)})`);
  if (accepted.as !== undefined) {
    const apiVersion = `meta.k8s.io/${accepted.metaVersion ?? 'v1'}`;
    const head = { kind: 'PartialObjectMetadataList', apiVersion, metadata };
    if (accepted.encoding === 'protobuf') {
      return { plain: await protobufList(JSON.stringify(head), result.items, partialMessage) };
    }
    const metadataOf = (item: CachedObject): object => partialMetadata(item.object, accepted);
    return { plain: await encodeItems(head, 'items', result.items, metadataOf, accepted) };
  }
  const head = listHead(result, resource);
  if (accepted.encoding === 'yaml') {
    return { plain: await encodeItems(head, 'items', result.items, (item) => item.object, accepted) };
  }
  return (accepted.encoding === 'protobuf' ? bodies.protobuf : bodies.json).join(JSON.stringify(head), result.items);
}

/** What one item takes, in microseconds: a pod, that may have to be parsed first. */
const JSON_ITEM_COST = 60;
const YAML_ITEM_COST = 1500;

/** `head` with one more member, a list, whose items are made and written in slices. */
async function encodeItems(
  head: object,
  member: string,
  items: readonly CachedObject[],
  make: (item: CachedObject) => unknown,
  accepted: Accepted,
): Promise<Buffer> {
  if (accepted.encoding === 'json') {
    const around = { opening: `${stringifyJson(head).slice(0, -1)},"${member}":[`, separator: ',', closing: ']}\n' };
    return listOfTexts(items, around, (item) => stringifyJson(make(item)), JSON_ITEM_COST);
  }
  const { stringify } = await import('yaml');
  if (items.length === 0) return Buffer.from(stringify({ ...head, [member]: [] }));
  const around = { opening: `${stringify(head)}${member}:\n`, separator: '', closing: '' };
  // A list of one is written as a line that begins with a dash, which is also how an item of this list is written.
  const write = (item: CachedObject): string => stringify([make(item)], { aliasDuplicateObjects: false });
  return listOfTexts(items, around, write, YAML_ITEM_COST);
}

/** A refusal in upstream's words, which name the Go type that was found. */
function notThat(as: string, found: string): StatusError {
  return new Refusal('NotAcceptable', `you requested ${as}, but the requested object is ${found}`);
}

function goType(kind: string, { group }: Resource): string {
  return `${group === '' ? 'core' : group.split('.')[0]}.${kind}`;
}

/** A list without its items. */
export function listHead(result: ListResult, resource: Resource): object {
  return { kind: listKind(resource), apiVersion: apiVersionOf(resource), metadata: listMeta(result) };
}

export function listKind(resource: Resource): string {
  return resource.listType?.slice(resource.listType.lastIndexOf('.') + 1) ?? `${resource.kind}List`;
}

function listMeta({ revision, continue: token, remainingItemCount }: ListResult): ListMeta {
  return {
    resourceVersion: String(revision),
    ...(token !== undefined && { continue: token }),
    ...(remainingItemCount !== undefined && { remainingItemCount }),
  };
}

/** The Status that a thrown error is answered with. What is not a refusal is an internal error. */
export function statusOf(error: unknown): StatusObject {
  return asStatusError(error).status;
}

export function asStatusError(error: unknown): StatusError {
  if (error instanceof Refusal) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Refusal(
    'InternalError',
    `Internal error occurred: ${message}`,
    { causes: [{ message }] },
    { cause: error },
  );
}

/** A successful delete's answer. */
export function deletedStatus(item: CachedObject, resource: Resource): object {
  const { name, uid } = item.object.metadata;
  const details = { name, ...(resource.group !== '' && { group: resource.group }), kind: resource.resource, uid };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}
