// Objects as other representations: tables for people, metadata alone for controllers (meta/v1 Table, PartialObjectMetadata).
import type { KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { badRequest } from '../../machinery/status.ts';
import type { CachedObject } from '../contract.ts';
import type { Accepted } from './media.ts';

/** meta/v1 TableColumnDefinition. */
export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

/** How a resource's objects are printed. */
export interface TablePrinter {
  columns(resource: Resource): readonly TableColumn[];
  /** One value a column. */
  cells(resource: Resource, object: KubeObject): readonly unknown[];
}

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableContext {
  readonly printer: TablePrinter;
  readonly resource: Resource;
  readonly accepted: Accepted;
  readonly include: IncludeObject;
}

/** The `includeObject` query parameter. */
export function includeObject(value: string | null): IncludeObject {
  if (value === null || value === '') return 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(value)}`);
}

export interface ListMeta {
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** meta/v1 Table. */
export interface Table {
  readonly kind: 'Table';
  readonly apiVersion: string;
  readonly metadata: ListMeta;
  readonly columnDefinitions: readonly TableColumn[] | null;
  readonly rows: readonly object[];
}

export function tableOf(
  items: readonly CachedObject[],
  metadata: ListMeta,
  context: TableContext,
  columns = true,
): Table {
  const { printer, resource, accepted } = context;
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${accepted.metaVersion ?? 'v1'}`,
    metadata,
    columnDefinitions: columns ? printer.columns(resource) : null,
    rows: items.map((item) => rowOf(item, context)),
  };
}

export function rowOf(item: CachedObject, { printer, resource, accepted, include }: TableContext): object {
  const cells = printer.cells(resource, item.object);
  if (include === 'None') return { cells };
  return { cells, object: include === 'Object' ? item.object : partialMetadata(item.object, accepted) };
}

/** An object's metadata under the kind PartialObjectMetadata. */
export function partialMetadata(object: KubeObject, accepted: Accepted): object {
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: `meta.k8s.io/${accepted.metaVersion ?? 'v1'}`,
    metadata: object.metadata,
  };
}
