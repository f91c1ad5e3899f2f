// The table of types compiled for walking: one plan a type, made on first use and kept with the type's row.
import type { Field, Tables, TypeRow } from './tables.ts';

/** What a value is, for the walkers. Structs, lists, maps and schemas-or-something hold other values; the rest are leaves. */
export type Shape =
  | 'struct'
  | 'list'
  | 'map'
  | 'custom'
  | 'string'
  | 'bool'
  | 'int32'
  | 'int64'
  | 'double'
  | 'bytes'
  | 'time'
  | 'microtime'
  | 'duration'
  | 'quantity'
  | 'intorstring'
  | 'rawext'
  | 'json'
  | 'fieldsv1'
  | 'any';

/** How one value is written in JSON. */
export class Node {
  readonly shape: Shape;
  readonly isLeaf: boolean;
  /** The Go type, as error messages name it. */
  readonly goType: string;
  /** Element of a list or map; of a custom value, the list's element. */
  readonly element: Node | undefined;
  readonly #tables: Tables;
  readonly #type: string | undefined;
  #plan: Plan | undefined;

  constructor(tables: Tables, shape: Shape, goType: string, inner?: { element?: Node; type?: string }) {
    this.#tables = tables;
    this.shape = shape;
    this.isLeaf = shape !== 'struct' && shape !== 'list' && shape !== 'map' && shape !== 'custom';
    this.goType = goType;
    this.element = inner?.element;
    this.#type = inner?.type;
  }

  /** The plan of a struct (of the schema, for a custom value). Types refer to themselves, so it is looked up when asked for. */
  get plan(): Plan {
    this.#plan ??= planOf(this.#tables, this.#type!);
    return this.#plan;
  }
}

export interface PlannedField {
  readonly name: string;
  /** Position in the type, which is the order of output. */
  readonly index: number;
  readonly node: Node;
  readonly shape: Shape;
  readonly pointer: boolean;
  /** A ResourceList of core/v1: its quantities have no digits below thousandths. */
  readonly isResourceList: boolean;
  /** Left out of JSON when empty. Never so for a pointer's value or a struct. */
  readonly dropEmpty: boolean;
  /** What an absent value is when it cannot be absent in Go: present at once (`decode`), or only as null when written. */
  readonly absent: 'stays' | 'filled' | 'null';
}

/** A type, compiled. */
export interface Plan {
  readonly name: string;
  /** The Go type's bare name: "PodSpec". */
  readonly goName: string;
  readonly row: TypeRow;
  readonly fields: readonly PlannedField[];
  readonly byName: ReadonlyMap<string, PlannedField>;
  /** Fields that are present in every decoded object. */
  readonly filled: readonly PlannedField[];
  /** Fields that are present in every written object: those, and the ones written as null. */
  readonly written: readonly PlannedField[];
}

const plans = new WeakMap<TypeRow, Plan>();

/** The plan of a type with fields. Throws for a type that the table lacks or that is no struct. */
export function planOf(tables: Tables, typeName: string): Plan {
  const row = tables.type(typeName);
  let plan = plans.get(row);
  if (!plan) {
    plan = compile(tables, row);
    plans.set(row, plan);
  }
  return plan;
}

function compile(tables: Tables, row: TypeRow): Plan {
  if (row.alias) return planOf(tables, row.alias.slice(1));
  if (!row.fields) throw new Error(`type ${row.name} has no fields`);
  const fields = [...row.fields.values()].map((field, index) => planField(tables, row, field, index));
  return {
    name: row.name,
    goName: row.name.slice(row.name.lastIndexOf('.') + 1),
    row,
    fields,
    byName: new Map(fields.map((f) => [f.name, f])),
    filled: fields.filter((f) => f.absent === 'filled'),
    written: fields.filter((f) => f.absent !== 'stays'),
  };
}

/** Leaves that Go holds as structs: omitempty never omits them. */
const STRUCT_LEAVES = new Set<Shape>([
  'time',
  'microtime',
  'duration',
  'quantity',
  'intorstring',
  'rawext',
  'json',
  'fieldsv1',
]);
/** Of those, the ones whose zero is written as null. */
const NULL_LEAVES = new Set<Shape>(['time', 'microtime', 'rawext', 'json', 'fieldsv1', 'any']);

function planField(tables: Tables, row: TypeRow, field: Field, index: number): PlannedField {
  const node = nodeOf(tables, field.code);
  const { shape } = node;
  const structLike = shape === 'struct' || STRUCT_LEAVES.has(shape);
  const omitted = field.omitZero || (field.omitEmpty && !structLike);
  let absent: PlannedField['absent'] = 'stays';
  if (field.pointer) absent = field.omitEmpty || field.omitZero ? 'stays' : 'null';
  else if (shape === 'custom' || omitted) absent = 'stays';
  else if (NULL_LEAVES.has(shape)) absent = 'null';
  else if (shape === 'list' || shape === 'map' || shape === 'bytes') absent = field.required ? 'filled' : 'null';
  else absent = 'filled';
  return {
    name: field.name,
    index,
    node,
    shape,
    pointer: field.pointer,
    isResourceList: field.code === '{}quantity' && row.name.startsWith('io.k8s.api.core.v1.'),
    dropEmpty: !field.pointer && field.omitEmpty && !structLike && shape !== 'custom',
    absent,
  };
}

const LEAF_GO_TYPES: { readonly [code: string]: string | undefined } = {
  string: 'string',
  bool: 'bool',
  int32: 'int32',
  int64: 'int64',
  double: 'float64',
  bytes: '[]uint8',
  time: 'v1.Time',
  microtime: 'v1.MicroTime',
  duration: 'v1.Duration',
  quantity: 'resource.Quantity',
  intorstring: 'intstr.IntOrString',
  rawext: 'runtime.RawExtension',
  json: 'v1.JSON',
  fieldsv1: 'v1.FieldsV1',
  any: 'interface {}',
};

function nodeOf(tables: Tables, code: string): Node {
  if (code.startsWith('[]')) {
    const element = nodeOf(tables, code.slice(2));
    return new Node(tables, 'list', `[]${element.goType}`, { element });
  }
  if (code.startsWith('{}')) {
    const element = nodeOf(tables, code.slice(2));
    return new Node(tables, 'map', `map[string]${element.goType}`, { element });
  }
  if (code.startsWith('@')) return typeNode(tables, code.slice(1));
  const goType = LEAF_GO_TYPES[code];
  if (!goType) throw new Error(`unknown code ${code} in the table of types`);
  return new Node(tables, code as Shape, goType);
}

function typeNode(tables: Tables, type: string): Node {
  const row = tables.type(type);
  if (row.leaf) return nodeOf(tables, row.leaf);
  if (row.list) return nodeOf(tables, `[]${row.list}`);
  if (row.alias) return nodeOf(tables, row.alias);
  const goType = type.split('.').slice(-2).join('.');
  if (!row.custom) return new Node(tables, 'struct', goType, { type });
  const schema = row.declared.find((f) => f.code.startsWith('@'))?.code.slice(1);
  if (!schema || row.custom === 'envelope') throw new Error(`type ${type} has no JSON form`);
  const list = row.declared.find((f) => f.code.startsWith('[]'));
  return new Node(tables, 'custom', goType, {
    type: schema,
    ...(list && { element: nodeOf(tables, list.code.slice(2)) }),
  });
}
