// Custom resources' schemas as the owners of fields see them (kube-openapi, schemaconv).
import type { StructuralSchema } from '../../api/structural/schema.ts';
import { compareText } from './path-element.ts';
import { ANY, DEDUCED, type FieldSchema, type SchemaField, scalar, UNTYPED } from './schema.ts';

/** `resource`: the value has apiVersion, kind and metadata, whatever its schema says of them. */
export function structuralFields(schema: StructuralSchema, metadata: FieldSchema, resource = false): FieldSchema {
  if (schema.intOrString) return UNTYPED;
  switch (schema.type) {
    case 'string':
      return scalar('string');
    case 'boolean':
      return scalar('boolean');
    case 'integer':
    case 'number':
      return scalar('numeric');
    case 'array':
      return listOf(schema, metadata);
    case 'object':
      return membersOf(schema, metadata, resource || schema.embedded);
    default:
      return schema.preservesUnknown ? DEDUCED : ANY;
  }
}

function membersOf(schema: StructuralSchema, metadata: FieldSchema, resource: boolean): FieldSchema {
  const leaf = schema.mapType === 'atomic';
  const named = new Map<string, FieldSchema>();
  for (const [name, property] of schema.properties) named.set(name, structuralFields(property, metadata));
  if (resource) {
    named.set('apiVersion', scalar('string'));
    named.set('kind', scalar('string'));
    named.set('metadata', metadata);
  }
  const { additional } = schema;
  const open = schema.preservesUnknown || additional === true || (named.size === 0 && additional === undefined);
  const element = typeof additional === 'object' ? structuralFields(additional, metadata) : open ? DEDUCED : undefined;
  if (named.size === 0) return { kind: 'map', leaf, element };
  const fields = [...named]
    .map(([name, of]): SchemaField => ({ name, element: `f:${name}`, schema: of, zero: undefined }))
    .sort((a, b) => compareText(a.name, b.name));
  return { kind: 'struct', leaf, fields, byName: new Map(fields.map((field) => [field.name, field])), element };
}

function listOf(schema: StructuralSchema, metadata: FieldSchema): FieldSchema {
  const { items, listType } = schema;
  const element = items ? structuralFields(items, metadata) : DEDUCED;
  if (listType !== 'map' && listType !== 'set') return { kind: 'list', leaf: true, element };
  const names = listType === 'map' ? schema.listMapKeys : [];
  const keys = [...names].sort(compareText).map((name) => ({ name, default: items?.properties.get(name)?.default }));
  return { kind: 'list', leaf: false, element, keys };
}
