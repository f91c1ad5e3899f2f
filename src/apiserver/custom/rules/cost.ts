// What a rule may cost at worst, estimated from the bounds that its schema sets: a rule that could hold up the server is
// refused when the definition is written (upstream's limit; our count of steps is coarser than its).

import type { ASTNode } from '@marcbachmann/cel-js';
import { Environment } from '@marcbachmann/cel-js';
import type { StructuralSchema } from '../../../api/structural/schema.ts';
import { escapeProperty } from './types.ts';

/** Steps that one rule may take over a whole object. */
export const RULE_COST_LIMIT = 10_000_000;
/** Bytes of the largest object: what is not bounded otherwise is bounded by it. */
const MAX_OBJECT_BYTES = 3 * 1024 * 1024;

const LOOPS = new Set([
  'all',
  'exists',
  'exists_one',
  'existsOne',
  'map',
  'filter',
  'transformList',
  'transformMap',
  'transformMapEntry',
]);
/** Whether a loop has names for index or key and value. */
export function hasTwoVariables(name: string, count: number): boolean {
  return name.startsWith('transform') || (count === 3 && name !== 'map');
}
const LINEAR = new Set([
  'matches', 'find', 'findAll', 'contains', 'startsWith', 'endsWith', 'split', 'join', 'replace', 'lowerAscii', 'upperAscii',
  'substring', 'trim', 'isSorted', 'sum', 'min', 'max', 'indexOf', 'lastIndexOf',
]); // biome-ignore format: a list

const parser: { env?: Environment } = {};

/**
 * Steps of one rule at worst, for one value of its schema. Infinity is never returned: an unbounded list has as many items as
 * an object has room for.
 */
export function estimateCost(rule: string, schema: StructuralSchema): number {
  parser.env ??= new Environment({
    unlistedVariablesAreDyn: true,
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
  });
  const names = new Map<string, StructuralSchema | undefined>([
    ['self', schema],
    ['oldSelf', schema],
  ]);
  return cost(parser.env.parse(rule).ast, names);
}

type Names = ReadonlyMap<string, StructuralSchema | undefined>;

function cost(node: unknown, names: Names): number {
  if (Array.isArray(node)) return node.reduce<number>((total, one) => total + cost(one, names), 0);
  if (!isNode(node)) return 0;
  if (node.op !== 'rcall') return 1 + cost(node.args, names);
  const [name, receiver, args] = node.args;
  const schema = schemaOf(receiver, names);
  if (LOOPS.has(name)) {
    const two = hasTwoVariables(name, args.length);
    const [variable, ...bodies] = two ? args.slice(1) : args;
    const inner = new Map(names);
    // The first of two is an index or a key.
    if (two && args[0]?.op === 'id') inner.set(args[0].args, undefined);
    const value = typeof schema?.additional === 'object' ? schema.additional : undefined;
    if (variable?.op === 'id') inner.set(variable.args, schema?.items ?? (two ? value : undefined));
    return 1 + cost(receiver, names) + itemsOf(receiver, names) * (1 + cost(bodies, inner));
  }
  if (receiver?.op === 'id' && receiver.args === 'sets') {
    const pairs = args.reduce((product, list) => product * itemsOf(list, names), 1);
    return 1 + pairs + cost(args, names);
  }
  if (name === 'distinct') return 1 + itemsOf(receiver, names) ** 2 + cost(receiver, names);
  const length = LINEAR.has(name) ? Math.ceil(maxCount(schema) / 10) : 0;
  return 1 + length + cost(receiver, names) + cost(args, names);
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value;
}

/** The schema of what an expression reads; undefined where that is not known. */
function schemaOf(node: ASTNode, names: Names): StructuralSchema | undefined {
  if (node.op === 'id') return names.get(node.args);
  if (node.op === '[]') {
    const schema = schemaOf(node.args[0], names);
    return schema?.items ?? (typeof schema?.additional === 'object' ? schema.additional : undefined);
  }
  if (node.op === 'rcall' && (node.args[0] === 'filter' || node.args[0] === 'map'))
    return schemaOf(node.args[1], names);
  if (node.op === 'rcall' && KEEPING.has(node.args[0])) return schemaOf(node.args[1], names);
  if (node.op !== '.' && node.op !== '.?') return undefined;
  const [of, member] = node.args;
  const schema = schemaOf(of, names);
  for (const [name, property] of schema?.properties ?? []) if (escapeProperty(name) === member) return property;
  return typeof schema?.additional === 'object' ? schema.additional : undefined;
}

/** Results that are the receiver, or what stands in for it. */
const KEEPING = new Set(['orValue', 'or', 'value']);
/** Results that have an item for each character of the receiver, at worst. */
const CUTTING = new Set(['split', 'findAll']);

/** How many rounds a loop over an expression takes at most. Data whose schema is not known is as large as an object may be. */
function itemsOf(node: ASTNode, names: Names): number {
  const schema = schemaOf(node, names);
  if (schema) return maxCount(schema);
  switch (node.op) {
    case 'list':
      return node.args.length;
    case '+':
      return itemsOf(node.args[0], names) + itemsOf(node.args[1], names);
    case '?:':
      return Math.max(itemsOf(node.args[1], names), itemsOf(node.args[2], names));
    case 'rcall':
      return CUTTING.has(node.args[0]) ? itemsOf(node.args[1], names) : UNKNOWN_COUNT;
    case 'id':
    case '.':
    case '.?':
    case '[]':
    case '[?]':
      return Math.floor(MAX_OBJECT_BYTES / 2);
    default:
      return UNKNOWN_COUNT;
  }
}

/** What is taken for the size of what is worked out, and of names. */
const UNKNOWN_COUNT = 1000;

/** How many items, members or characters a value has at most. */
export function maxCount(schema: StructuralSchema | undefined): number {
  if (!schema) return UNKNOWN_COUNT;
  const { maxItems, maxProperties, maxLength, enum: allowed } = schema.source;
  if (schema.type === 'string') {
    const longest = allowed && Math.max(...allowed.map((one) => String(one).length));
    return maxLength ?? longest ?? MAX_OBJECT_BYTES;
  }
  if (schema.type === 'array') return maxItems ?? Math.floor(MAX_OBJECT_BYTES / (minBytes(schema.items) + 1));
  const value = typeof schema.additional === 'object' ? schema.additional : undefined;
  return maxProperties ?? Math.floor(MAX_OBJECT_BYTES / (minBytes(value) + 4));
}

/** The fewest bytes in which a value can be written. */
function minBytes(schema: StructuralSchema | undefined): number {
  if (!schema) return 1;
  if (schema.type === 'object') {
    const required = schema.source.required ?? [];
    return required.reduce((total, name) => total + name.length + 4 + minBytes(schema.properties.get(name)), 2);
  }
  return schema.type === 'boolean' ? 4 : schema.type === 'integer' || schema.type === 'number' ? 1 : 2;
}
