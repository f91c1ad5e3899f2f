// What the owners of fields need to know of a type: which values are owned as a whole, and how a list's items are told apart.
import { type Node, type PlannedField, planOf } from '../../api/plan.ts';
import type { Field, Tables, TypeRow } from '../../api/tables.ts';
import { zeroValue } from '../../api/zero.ts';
import { compareText, type PathElement } from './path-element.ts';

export type SchemaKind =
  | 'scalar'
  /** Named fields, each of its own type. */
  | 'struct'
  /** Any keys, values of one type. */
  | 'map'
  | 'list'
  /** Whatever is found: maps are granular, everything else is a leaf. */
  | 'deduced';

export type ScalarType = 'numeric' | 'string' | 'boolean' | 'untyped';

/** The source of a type's schema. Custom types implement it from their own; built-in types come from the table. */
export interface FieldSchema {
  readonly kind: SchemaKind;
  /** Owned as a whole: a scalar, or an atomic struct, map or list. */
  readonly leaf: boolean;
  readonly scalar?: ScalarType;
  /** Of a struct, in the order of FieldsV1. */
  readonly fields?: readonly SchemaField[];
  readonly byName?: ReadonlyMap<string, SchemaField>;
  /** Of a map or list, of a struct that takes unknown fields too; undefined for a struct that does not. */
  readonly element?: FieldSchema | undefined;
  /** Of a list that is not atomic: its keys, in order; none: a set. */
  readonly keys?: readonly SchemaKey[];
}

export interface SchemaField {
  readonly name: string;
  readonly element: PathElement;
  readonly schema: FieldSchema;
  /** What stands for an absent value that cannot be absent in Go; undefined: it can. */
  readonly zero: unknown;
}

export interface SchemaKey {
  readonly name: string;
  /** Stands for the key where an item lacks it. */
  readonly default: unknown;
  /** An item may go without it. */
  readonly optional: boolean;
}

const scalar = (type: ScalarType): FieldSchema => ({ kind: 'scalar', leaf: true, scalar: type });

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

/** Anything, owned as a whole. */
export const UNTYPED: FieldSchema = scalar('untyped');

/** Objects without a schema: maps are owned by key, lists as a whole. */
export const DEDUCED: FieldSchema = { kind: 'deduced', leaf: false };

const structs = new WeakMap<TypeRow, { granular?: FieldSchema; atomic?: FieldSchema }>();

/** The schema of a type of the table; DEDUCED for a type that the table does not describe. */
export function fieldSchemaOf(tables: Tables, typeName: string): FieldSchema {
  const row = tables.type(typeName);
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
  const keys = [...names].sort(compareText).map((name): SchemaKey => {
    const field = type?.get(name);
    return { name, default: field?.default, optional: field?.pointer === true };
  });
  return { kind: 'list', leaf: false, element, keys };
}
