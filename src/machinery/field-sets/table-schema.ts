// The table of types as the owners of fields see it (kube-openapi, schemaconv).
import { type Node, type PlannedField, planOf } from '../../api/plan.ts';
import type { StructuralSchema } from '../../api/structural/schema.ts';
import type { Field, Tables, TypeRow } from '../../api/tables.ts';
import { zeroValue } from '../../api/zero.ts';
import { compareText } from './path-element.ts';
import { DEDUCED, type FieldSchema, type SchemaField, type SchemaKey, scalar, UNTYPED } from './schema.ts';
import { structuralFields } from './structural.ts';

const SCALARS: { readonly [shape: string]: FieldSchema | undefined } = {
  string: scalar('string'),
  bytes: scalar('string'),
  duration: scalar('string'),
  bool: scalar('boolean'),
  int32: scalar('numeric'),
  int64: scalar('numeric'),
  double: scalar('numeric'),
  time: scalar('untyped'),
  microtime: scalar('untyped'),
  quantity: scalar('untyped'),
  intorstring: scalar('untyped'),
};

const customs = new WeakMap<StructuralSchema, FieldSchema>();

function customSchema(tables: Tables, schema: StructuralSchema): FieldSchema {
  const known = customs.get(schema);
  if (known) return known;
  const metadata = fieldSchemaOf(tables, 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
  const made = structuralFields(schema, metadata, true);
  customs.set(schema, made);
  return made;
}

const structs = new WeakMap<TypeRow, { granular?: FieldSchema; atomic?: FieldSchema }>();

/** The schema of a type of the table; DEDUCED for a type that the table does not describe. */
export function fieldSchemaOf(tables: Tables, typeName: string): FieldSchema {
  const row = tables.type(typeName);
  if (row.structural) return customSchema(tables, row.structural);
  if (row.alias) return fieldSchemaOf(tables, row.alias.slice(1));
  return row.fields ? structSchema(tables, row, row.structMapType === 'atomic') : DEDUCED;
}

function structSchema(tables: Tables, row: TypeRow, atomic: boolean): FieldSchema {
  const known = structs.get(row) ?? {};
  structs.set(row, known);
  const form = atomic ? 'atomic' : 'granular';
  known[form] ??= new StructSchema(tables, row, atomic);
  return known[form];
}

/** Types refer to themselves: what is in a struct is looked up when it is asked for. */
class StructSchema implements FieldSchema {
  readonly kind = 'struct';
  readonly leaf: boolean;
  readonly #tables: Tables;
  readonly #row: TypeRow;
  #fields: readonly SchemaField[] | undefined;
  #byName: ReadonlyMap<string, SchemaField> | undefined;

  constructor(tables: Tables, row: TypeRow, atomic: boolean) {
    this.#tables = tables;
    this.#row = row;
    this.leaf = atomic;
  }

  get fields(): readonly SchemaField[] {
    this.#fields ??= planOf(this.#tables, this.#row.name)
      .fields.map((planned) => schemaField(this.#tables, planned, this.#row.fields!.get(planned.name)!))
      .sort((a, b) => compareText(a.name, b.name));
    return this.#fields;
  }

  get byName(): ReadonlyMap<string, SchemaField> {
    this.#byName ??= new Map(this.fields.map((field) => [field.name, field]));
    return this.#byName;
  }
}

function schemaField(tables: Tables, planned: PlannedField, field: Field): SchemaField {
  let schema: FieldSchema | undefined;
  return {
    name: field.name,
    element: `f:${field.name}`,
    zero: zeroOf(planned),
    get schema() {
      schema ??= codeSchema(tables, field.code, field);
      return schema;
    },
  };
}

function zeroOf({ absent, node }: { absent: PlannedField['absent']; node: Node }): unknown {
  if (absent === 'stays') return undefined;
  return absent === 'null' ? null : node.shape === 'struct' ? {} : zeroValue(node);
}

type Traits = Pick<Field, 'listType' | 'listMapKeys' | 'mapType'>;
const NO_TRAITS: Traits = {};

function codeSchema(tables: Tables, code: string, traits: Traits): FieldSchema {
  if (code.startsWith('[]')) return listSchema(tables, code.slice(2), traits);
  if (code.startsWith('{}')) {
    const element = codeSchema(tables, code.slice(2), NO_TRAITS);
    return { kind: 'map', leaf: traits.mapType === 'atomic', element };
  }
  if (!code.startsWith('@')) return SCALARS[code] ?? UNTYPED;
  const row = tables.type(code.slice(1));
  if (row.leaf) return SCALARS[row.leaf] ?? UNTYPED;
  if (row.list) return listSchema(tables, row.list, traits);
  if (row.alias) return codeSchema(tables, row.alias, traits);
  if (row.custom || !row.fields) return UNTYPED;
  return structSchema(tables, row, (traits.mapType ?? row.structMapType) === 'atomic');
}

function listSchema(tables: Tables, code: string, traits: Traits): FieldSchema {
  const associative = traits.listType === 'map' || traits.listType === 'set';
  const element = codeSchema(tables, code, NO_TRAITS);
  if (!associative) return { kind: 'list', leaf: true, element };
  const names = traits.listType === 'map' ? (traits.listMapKeys ?? []) : [];
  const type = code.startsWith('@') ? tables.type(code.slice(1)).fields : undefined;
  const keys = [...names].sort(compareText).map((name): SchemaKey => ({ name, default: type?.get(name)?.default }));
  return { kind: 'list', leaf: false, element, keys };
}
