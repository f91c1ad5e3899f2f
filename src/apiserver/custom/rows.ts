// A CustomResourceDefinition as rows of the tables: one resource and one type for each version.
import type { CustomResourceDefinition, CustomResourceDefinitionVersion } from '../../api/generated/types.ts';
import { compileSchema, type SchemaProps } from '../../api/structural/schema.ts';
import type { Field, Resource, Subresource, TypeRow } from '../../api/tables.ts';

export interface CustomRow {
  readonly resource: Resource;
  readonly type: TypeRow;
  readonly listType: TypeRow;
  /** One that is not served is there for the objects that are stored in its version, and for those who manage fields in it. */
  readonly isServed: boolean;
}

const VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];
const SUBRESOURCE_VERBS = ['get', 'patch', 'update'];

/** The versions of a definition: none before its names are accepted. */
export function rowsOf(definition: CustomResourceDefinition): CustomRow[] {
  const names = definition.status?.acceptedNames;
  if (!names?.kind) return [];
  const versions = new Map<string, Resource>();
  return definition.spec.versions.map((version) => {
    const row = rowOf(definition, names, version, versions);
    versions.set(version.name, row.resource);
    return row;
  });
}

/** The same row, of a definition that is (or is not) being deleted. */
export function withTerminating(row: CustomRow, terminating: boolean): CustomRow {
  const { resource } = row;
  return { ...row, resource: { ...resource, ...(resource.custom && { custom: { ...resource.custom, terminating } }) } };
}

type Names = NonNullable<NonNullable<CustomResourceDefinition['status']>['acceptedNames']>;

function rowOf(
  definition: CustomResourceDefinition,
  names: Names,
  version: CustomResourceDefinitionVersion,
  versions: ReadonlyMap<string, Resource>,
): CustomRow {
  const { group, scope, conversion } = definition.spec;
  const schema = compileSchema((version.schema?.openAPIV3Schema ?? { type: 'object' }) as unknown as SchemaProps);
  const listKind = names.listKind ?? `${names.kind}List`;
  const type = typeName(group, version.name, names.kind);
  const listType = typeName(group, version.name, listKind);
  const { scale } = version.subresources ?? {};
  const resource: Resource = {
    group,
    version: version.name,
    resource: names.plural,
    singular: names.singular || names.kind.toLowerCase(),
    kind: names.kind,
    namespaced: scope === 'Namespaced',
    verbs: VERBS,
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    type,
    listType,
    storageVersion: `${group}/${version.name}`,
    storageVersionHash: undefined,
    etcdPrefix: `${group}/${names.plural}`,
    subresources: subresourcesOf(group, version, names.kind),
    custom: {
      definition: definition.metadata.name,
      schema,
      versions,
      storageVersion: definition.spec.versions.find((one) => one.storage)?.name ?? version.name,
      columns: version.additionalPrinterColumns ?? [],
      selectableFields: (version.selectableFields ?? []).map((field) => field.jsonPath),
      ...(scale && { scale }),
      convertsByWebhook: conversion?.strategy === 'Webhook',
      ...(version.deprecated && {
        deprecation: version.deprecationWarning ?? deprecation(group, version.name, names.kind),
      }),
      terminating: (definition.metadata.deletionTimestamp ?? '') !== '',
    },
  };
  const gvk = { group, version: version.name, kind: names.kind };
  return {
    resource,
    type: typeRow(type, schema, gvk),
    listType: listRow(listType, type, { ...gvk, kind: listKind }),
    isServed: version.served,
  };
}

const deprecation = (group: string, version: string, kind: string): string =>
  `${group}/${version} ${kind} is deprecated`;

interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

function typeRow(
  name: string,
  structural: TypeRow['structural'] & object,
  { group, version, kind }: GroupVersionKind,
): TypeRow {
  return { name, proto: null, fields: undefined, declared: [], structural, gvk: [[group, version, kind]] };
}

/** The type of a list of objects of a type. */
function listRow(name: string, type: string, { group, version, kind }: GroupVersionKind): TypeRow {
  const list: TypeRow = {
    name,
    proto: null,
    fields: new Map(),
    declared: [],
    gvk: [[group, version, kind]],
  };
  const common = { number: 0, required: false, omitEmpty: true, omitZero: false, pointer: false, inline: false };
  const declared: Field[] = [
    { ...common, name: 'apiVersion', code: 'string' },
    { ...common, name: 'kind', code: 'string' },
    { ...common, name: 'metadata', code: '@io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta' },
    { ...common, name: 'items', code: `[]@${type}`, required: true },
  ];
  return { ...list, declared, fields: new Map(declared.map((field) => [field.name, field])) };
}

/** The definition's name in OpenAPI: the group's parts reversed, "com.example.stable.v1.CronTab". */
function typeName(group: string, version: string, kind: string): string {
  return [...group.split('.').reverse(), version, kind].join('.');
}

function subresourcesOf(
  group: string,
  version: CustomResourceDefinitionVersion,
  kind: string,
): Map<string, Subresource> {
  const { status, scale } = version.subresources ?? {};
  const all = new Map<string, Subresource>();
  const verbs = SUBRESOURCE_VERBS;
  if (status) all.set('status', { name: 'status', group, version: version.name, kind, verbs });
  if (scale) all.set('scale', { name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs });
  return all;
}
