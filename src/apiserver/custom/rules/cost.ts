// What a rule may cost at worst, estimated from the bounds that its schema sets, as upstream does (cel-go's checker and
// Kubernetes' library): rules that could hold up the server are refused when the definition is written.

import type { ASTNode } from '@marcbachmann/cel-js';
import { Environment } from '@marcbachmann/cel-js';
import type { StructuralSchema } from '../../../api/structural/schema.ts';
import { LIST_COST, MAP_COST } from './call-cost.ts';
import { functionEstimate, type Known, scalar, through, UNKNOWN, union } from './function-estimates.ts';
import { maxSize } from './sizes.ts';
import { escapeProperty } from './types.ts';

/** Of one rule over a whole object. */
export const RULE_COST_LIMIT = 10_000_000;
/** Of all rules of a definition's version. */
export const DEFINITION_COST_LIMIT = 100_000_000;

/** Whether a loop has names for index or key and value. */
export function hasTwoVariables(name: string, count: number): boolean {
  return name.startsWith('transform') || (count === 3 && name !== 'map');
}

const parser: { env?: Environment } = {};

/** What one rule costs at worst, for one value of its schema. Never infinite: nothing is larger than a request. */
export function estimateCost(rule: string, schema: StructuralSchema): number {
  parser.env ??= new Environment({
    unlistedVariablesAreDyn: true,
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
  });
  const self = knownOf(schema);
  const names = new Map<string, Known>([
    ['self', self],
    ['oldSelf', self],
  ]);
  return estimate(parser.env.parse(rule).ast, names).cost;
}

function knownOf(schema: StructuralSchema): Known {
  const size = maxSize(schema);
  if (schema.intOrString) return { size };
  switch (schema.type) {
    case 'string':
      return { kind: 'text', size };
    case 'array':
      return { kind: 'list', size, element: () => (schema.items ? knownOf(schema.items) : UNKNOWN) };
    case 'object': {
      const { additional } = schema;
      if (additional)
        return { kind: 'map', size, element: () => (additional === true ? UNKNOWN : knownOf(additional)) };
      return { kind: 'map', size, member: (name) => memberOf(schema, name) };
    }
    default:
      return schema.type ? scalar(size) : UNKNOWN;
  }
}

function memberOf(schema: StructuralSchema, name: string): Known {
  for (const [property, one] of schema.properties) if (escapeProperty(property) === name) return knownOf(one);
  return name === 'apiVersion' || name === 'kind' ? { kind: 'text', size: 253 } : UNKNOWN;
}

type Names = ReadonlyMap<string, Known>;

interface Estimate {
  readonly cost: number;
  readonly known: Known;
}

const of = (cost: number, known: Known): Estimate => ({ cost, known });

const COMPARISONS = new Set(['==', '!=', '<', '<=', '>', '>=']);

function estimate(node: ASTNode, names: Names): Estimate {
  switch (node.op) {
    case 'value':
      return of(0, typeof node.args === 'string' ? { kind: 'text', size: node.args.length } : scalar(1));
    case 'id':
      return of(1, names.get(node.args) ?? UNKNOWN);
    case '.':
    case '.?': {
      const { cost, known } = estimate(node.args[0], names);
      return of(cost + 1, known.member?.(node.args[1]) ?? known.element?.() ?? UNKNOWN);
    }
    case '[]':
    case '[?]': {
      const [range, index] = node.args.map((one) => estimate(one as ASTNode, names));
      return of(range!.cost + index!.cost + 1, range!.known.element?.() ?? UNKNOWN);
    }
    case 'list':
      return sequence('list', LIST_COST, node.args, [], names);
    case 'map':
      return sequence(
        'map',
        MAP_COST,
        node.args.map(([, value]) => value),
        node.args.map(([key]) => key),
        names,
      );
    case '!_':
    case '-_':
      return of(1 + estimate(node.args, names).cost, scalar(1));
    case '?:':
      return choice(node.args, names);
    case 'call':
      return call(node.args[0], undefined, node.args[1], names);
    case 'rcall':
      return call(node.args[0], node.args[1], node.args[2], names);
    default:
      return binary(node.op, node.args as readonly [ASTNode, ASTNode], names);
  }
}

const sum = (costs: readonly number[]): number => costs.reduce((total, one) => total + one, 0);

function sequence(
  kind: 'list' | 'map',
  cost: number,
  values: readonly ASTNode[],
  keys: readonly ASTNode[],
  names: Names,
): Estimate {
  const found = values.map((one) => estimate(one, names));
  const costs = [...found, ...keys.map((one) => estimate(one, names))].map((one) => one.cost);
  const element = (): Known => found.map((one) => one.known).reduce(union, { size: 0 });
  return of(cost + sum(costs), { kind, size: values.length, element });
}

function choice([condition, one, other]: readonly [ASTNode, ASTNode, ASTNode], names: Names): Estimate {
  const [a, b] = [estimate(one, names), estimate(other, names)];
  return of(estimate(condition, names).cost + Math.max(a.cost, b.cost), union(a.known, b.known));
}

function binary(op: string, args: readonly [ASTNode, ASTNode], names: Names): Estimate {
  const [a, b] = [estimate(args[0], names), estimate(args[1], names)];
  const cost = a.cost + b.cost;
  if (op === '&&' || op === '||') return of(cost, scalar(1));
  if (COMPARISONS.has(op)) return of(cost + through(Math.min(a.known.size, b.known.size)), scalar(1));
  if (op === 'in') return of(cost + (b.known.kind === 'map' ? 1 : b.known.size), scalar(1));
  if (op !== '+') return of(cost + 1, scalar(1));
  const known = { ...union(a.known, b.known), size: a.known.size + b.known.size };
  if (a.known.kind === 'scalar' || b.known.kind === 'scalar') return of(cost + 1, scalar(1));
  return of(cost + (known.kind === 'list' ? 1 : through(known.size)), known);
}

function call(name: string, receiver: ASTNode | undefined, args: readonly ASTNode[], names: Names): Estimate {
  const loop = receiver && loopEstimate(name, receiver, args, names);
  if (loop) return loop;
  // A presence test goes through the members that it names.
  if (name === 'has' && !receiver) return of(estimate(args[0]!, names).cost, scalar(1));
  if (name === 'bind' && args[0]?.op === 'id') {
    const value = estimate(args[1]!, names);
    const inner = estimate(args[2]!, new Map(names).set(args[0].args, value.known));
    return of(LIST_COST + value.cost + inner.cost, inner.known);
  }
  const namespace = receiver?.op === 'id' && NAMESPACES.has(receiver.args) && !names.has(receiver.args);
  const target = receiver && !namespace ? [estimate(receiver, names)] : [];
  const all = [...target, ...args.map((one) => estimate(one, names))];
  const own = functionEstimate(
    namespace ? `${receiver.args}.${name}` : name,
    all.map((one) => one.known),
  );
  return of(own.cost + sum(all.map((one) => one.cost)), own.known);
}

const NAMESPACES = new Set([
  'sets',
  'math',
  'optional',
  'cel',
  'format',
  'ip',
  'jsonpatch',
  'lists',
  'strings',
  'base64',
]);

interface Loop {
  /** Besides its parts: once, and in each round. */
  readonly once: number;
  readonly round: number;
  /** What it makes of the range and its last part. */
  readonly makes: (range: Known, last: Known) => Known;
}

const bool = (): Known => scalar(1);
const listOf = ({ size }: Known, last: Known): Known => ({ kind: 'list', size, element: () => last });
const mapOf = ({ size }: Known, last: Known): Known => ({ kind: 'map', size, element: () => last });
/** What is made begins as an empty list or map; an item is put behind it as a list of one. */
const LIST_LOOP = { once: LIST_COST + 1, round: LIST_COST + 2 };

const LOOPS: { readonly [name: string]: Loop } = {
  all: { once: 1, round: 3, makes: bool },
  exists: { once: 1, round: 4, makes: bool },
  exists_one: { once: 2, round: 2, makes: bool },
  existsOne: { once: 2, round: 2, makes: bool },
  filter: { ...LIST_LOOP, round: LIST_LOOP.round + 1, makes: (range) => ({ ...range, kind: 'list' }) },
  map: { ...LIST_LOOP, makes: listOf },
  transformList: { ...LIST_LOOP, makes: listOf },
  transformMap: { once: MAP_COST + 1, round: 2, makes: mapOf },
  transformMapEntry: { once: MAP_COST + 1, round: 2, makes: mapOf },
};

function loopEstimate(name: string, receiver: ASTNode, args: readonly ASTNode[], names: Names): Estimate | undefined {
  if (!Object.hasOwn(LOOPS, name)) return undefined;
  const loop = LOOPS[name]!;
  const range = estimate(receiver, names);
  const variables = args.slice(0, hasTwoVariables(name, args.length) ? 2 : 1);
  const { kind, element } = range.known;
  const value = element?.() ?? UNKNOWN;
  const key: Known = kind === 'list' ? scalar(1) : { kind: 'text', size: 0 };
  const values = variables.length === 2 ? [key, value] : [kind === 'map' ? key : value];
  const inner = new Map(names);
  for (const [i, one] of variables.entries()) if (one.op === 'id') inner.set(one.args, values[i]!);
  const parts = args.slice(variables.length).map((one) => estimate(one, inner));
  const round = loop.round + sum(parts.map((one) => one.cost));
  const cost = range.cost + loop.once + range.known.size * round;
  return of(cost, loop.makes(range.known, parts.at(-1)?.known ?? UNKNOWN));
}
