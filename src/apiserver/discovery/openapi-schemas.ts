// Types of the table as OpenAPI schemas, with the x-kubernetes-* extensions that clients patch and explain by.
import type { Field, Tables, TypeRow } from '../../api/tables.ts';
import { publishedSchema } from '../custom/openapi.ts';
import type { Descriptions } from './descriptions.ts';

export type Schema = { [key: string]: unknown };

/** The dialects differ in where definitions live and in whether alternatives can be told. */
export interface Dialect {
  readonly refPrefix: string;
  readonly version: 2 | 3;
}

export const OPENAPI_3: Dialect = { refPrefix: '#/components/schemas/', version: 3 };
export const OPENAPI_2: Dialect = { refPrefix: '#/definitions/', version: 2 };

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';

/** Scalar codes that are types of their own. */
const NAMED: { readonly [code: string]: string } = {
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  time: `${META}.Time`,
  microtime: `${META}.MicroTime`,
  duration: `${META}.Duration`,
  fieldsv1: `${META}.FieldsV1`,
  intorstring: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  rawext: 'io.k8s.apimachinery.pkg.runtime.RawExtension',
  json: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON',
};

const SCALARS: { readonly [code: string]: Schema } = {
  string: { type: 'string' },
  bool: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
  any: {},
};

function leafSchema(leaf: string, { version }: Dialect): Schema {
  switch (leaf) {
    case 'quantity':
      return version === 3 ? { oneOf: [{ type: 'string' }, { type: 'number' }] } : { type: 'string' };
    case 'intorstring':
      return version === 3
        ? { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] }
        : { type: 'string', format: 'int-or-string' };
    case 'time':
    case 'microtime':
      return { type: 'string', format: 'date-time' };
    case 'duration':
      return { type: 'string' };
    case 'rawext':
    case 'fieldsv1':
      return { type: 'object' };
    default:
      return {};
  }
}

/** Collects schemas: asking for a type adds it and all that it refers to. */
export class SchemaSet {
  readonly schemas: { [name: string]: Schema } = {};
  readonly #tables: Tables;
  readonly #dialect: Dialect;
  readonly #descriptions: Descriptions;

  constructor(tables: Tables, dialect: Dialect, descriptions: Descriptions = {}) {
    this.#tables = tables;
    this.#dialect = dialect;
    this.#descriptions = descriptions;
  }

  /** A reference to a type, which is then in the set. */
  ref(name: string): Schema {
    if (!(name in this.schemas)) {
      // Entered before it is filled: types refer to themselves.
      this.schemas[name] = {};
      const description = this.#descriptions[name]?.type;
      const schema = this.#schemaOf(this.#tables.type(name));
      this.schemas[name] = description === undefined ? schema : { description, ...schema };
    }
    return { $ref: `${this.#dialect.refPrefix}${name}` };
  }

  #schemaOf(row: TypeRow): Schema {
    if (row.structural) return publishedSchema(row, this.#dialect.version, (type) => this.ref(type));
    if (row.leaf !== undefined) return leafSchema(row.leaf, this.#dialect);
    if (row.list !== undefined) return { type: 'array', items: this.#codeSchema(row.list) };
    if (row.alias !== undefined) return this.ref(row.alias.slice(1));
    if (row.custom !== undefined) return this.#dialect.version === 3 ? {} : { type: 'object' };
    const properties: { [name: string]: Schema } = {};
    const described = this.#descriptions[row.name]?.fields;
    for (const field of row.fields?.values() ?? [])
      properties[field.name] = this.#fieldSchema(field, described?.[field.name]);
    const required = [...(row.fields?.values() ?? [])].filter((field) => field.required).map((field) => field.name);
    return {
      type: 'object',
      ...(Object.keys(properties).length > 0 && { properties }),
      ...(required.length > 0 && { required }),
      ...(row.gvk.length > 0 && { 'x-kubernetes-group-version-kind': row.gvk.map(gvkOf) }),
      ...(row.structMapType !== undefined && { 'x-kubernetes-map-type': row.structMapType }),
    };
  }

  #fieldSchema(field: Field, description: string | undefined): Schema {
    const schema = this.#codeSchema(field.code);
    // A reference may have no siblings.
    const base: Schema = '$ref' in schema && this.#dialect.version === 3 ? { allOf: [schema] } : schema;
    if (description !== undefined) base.description = description;
    if (field.default !== undefined) base.default = field.default;
    if (field.enum) {
      if (field.code.startsWith('[]')) (base.items as Schema).enum = field.enum;
      else base.enum = field.enum;
    }
    if (field.listType) base['x-kubernetes-list-type'] = field.listType;
    if (field.listMapKeys) base['x-kubernetes-list-map-keys'] = field.listMapKeys;
    if (field.mapType) base['x-kubernetes-map-type'] = field.mapType;
    if (field.patchStrategy !== undefined) base['x-kubernetes-patch-strategy'] = field.patchStrategy;
    if (field.patchMergeKey !== undefined) base['x-kubernetes-patch-merge-key'] = field.patchMergeKey;
    return base;
  }

  #codeSchema(code: string): Schema {
    if (code.startsWith('[]')) return { type: 'array', items: this.#codeSchema(code.slice(2)) };
    if (code.startsWith('{}')) return { type: 'object', additionalProperties: this.#codeSchema(code.slice(2)) };
    if (code.startsWith('@')) return this.ref(code.slice(1));
    const named = NAMED[code];
    return named === undefined ? { ...SCALARS[code] } : this.ref(named);
  }
}

function gvkOf([group, version, kind]: readonly [string, string, string]): object {
  return { group, version, kind };
}
