// Loops with two variables, index or key and value (cel-go's TwoVarComprehensions), and existsOne. They are macros of the CEL
// library: given the expression's nodes, they check its types once and run it for every round.
import type { Environment } from '@marcbachmann/cel-js';
import { keysCost, sizeOf } from './call-cost.ts';
import { charge } from './meter.ts';

/** What the library hands to a macro; it has no types of these. */
export interface Node {
  readonly op: string;
  readonly args: unknown;
}

interface CelType {
  readonly kind: string;
  readonly keyType?: CelType;
  readonly valueType?: CelType;
  isDynOrBool(): boolean;
}

export interface Context {
  forkWithVariable(name: string, type: CelType): Context;
  reuse(parent: Context): Context;
  setIterValue(value: unknown, evaluator: Evaluator): Context;
}

export interface Checker {
  check(node: Node, context: Context): CelType;
  getType(name: string): CelType;
  formatType(type: CelType): string;
  createError(code: string, message: string, node: Node): Error;
  readonly registry: { getListType(of: CelType): CelType; getMapType(key: CelType, value: CelType): CelType };
}

export interface Evaluator {
  run(node: Node, context: Context): unknown;
}

interface Call {
  readonly ast: Node;
  readonly args: readonly Node[];
  readonly receiver: Node;
}

/** One round: runs the parts of the call behind its variables, by their place, with the round's values. */
type Round = (part: number) => unknown;

/** Rounds in order, each with the key that it is of. */
type Rounds = Iterable<readonly [key: unknown, round: Round]>;

interface Loop {
  readonly name: string;
  readonly variables: 1 | 2;
  /** Expressions behind the variables; the first is a condition unless `condition` is false. */
  readonly parts: 1 | 2;
  readonly condition: boolean;
  type(checker: Checker, key: CelType, last: CelType): CelType;
  run(rounds: Rounds): unknown;
}

/** Of one round besides its parts; upstream's differ by loop, and are mostly less. */
const ROUND_COST = 12;

const isBool = (value: unknown, of: string): boolean => {
  if (typeof value === 'boolean') return value;
  throw new Error(`${of} predicate must return bool`);
};

/** An error counts only when no other round has decided. */
function quantifier(name: string, decisive: boolean): Loop['run'] {
  return (rounds) => {
    let failure: { readonly error: unknown } | undefined;
    for (const [, round] of rounds) {
      try {
        if (isBool(round(0), name) === decisive) return decisive;
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure) throw failure.error;
    return !decisive;
  };
}

function existsOne(rounds: Rounds): boolean {
  let count = 0;
  for (const [, round] of rounds) if (isBool(round(0), 'existsOne')) count++;
  return count === 1;
}

/** The rounds that a filter, if there is one, lets through: each with what the last part makes of it. */
function* transformed(rounds: Rounds, parts: 1 | 2): Iterable<readonly [key: unknown, value: unknown]> {
  for (const [key, round] of rounds) {
    if (parts === 2 && !isBool(round(0), 'transform')) continue;
    yield [key, round(parts - 1)];
  }
}

function mapOf(entries: Iterable<readonly [key: unknown, value: unknown]>): object {
  const all = new Map<string, unknown>();
  for (const [key, value] of entries) {
    const name = String(key);
    if (all.has(name)) throw new Error(`insert failed: key ${name} already exists`);
    all.set(name, value);
  }
  return Object.fromEntries(all);
}

function* entriesOf(made: Iterable<readonly [key: unknown, value: unknown]>): Iterable<readonly [unknown, unknown]> {
  for (const [, map] of made) {
    if (typeof map !== 'object' || map === null || Array.isArray(map)) throw new Error('unsupported transformMapEntry');
    yield* roundsOf(map);
  }
}

const bool = (checker: Checker): CelType => checker.getType('bool');
const quantify = (name: string, variables: 1 | 2, run: Loop['run']): Loop => ({
  ...{ name, variables, run },
  parts: 1,
  condition: true,
  type: bool,
});

const LOOPS: readonly Loop[] = [
  quantify('existsOne', 1, existsOne),
  quantify('all', 2, quantifier('all', false)),
  quantify('exists', 2, quantifier('exists', true)),
  quantify('existsOne', 2, existsOne),
  ...([1, 2] as const).flatMap((parts): Loop[] => {
    const shape = { variables: 2, parts, condition: parts === 2 } as const;
    return [
      {
        ...{ name: 'transformList', ...shape },
        type: ({ registry }, _key, last) => registry.getListType(last),
        run: (rounds) => [...transformed(rounds, parts)].map(([, value]) => value),
      },
      {
        ...{ name: 'transformMap', ...shape },
        type: ({ registry }, key, last) => registry.getMapType(key, last),
        run: (rounds) => mapOf(transformed(rounds, parts)),
      },
      {
        ...{ name: 'transformMapEntry', ...shape },
        type: (_checker, _key, last) => last,
        run: (rounds) => mapOf(entriesOf(transformed(rounds, parts))),
      },
    ];
  }),
];

export function registerComprehensions(env: Environment): void {
  for (const loop of LOOPS) {
    const signature = `list.${loop.name}(${Array(loop.variables + loop.parts).fill('ast')}): dyn`;
    env.registerFunction(signature.replaceAll(',', ', '), ((call: Call) => macroOf(loop, call)) as never);
  }
}

interface Macro {
  readonly call: Call;
  readonly names: readonly string[];
  readonly parts: readonly Node[];
  readonly contexts: Context[];
}

function macroOf(loop: Loop, call: Call): object {
  const { args, ast } = call;
  const variables = args.slice(0, loop.variables);
  const names = variables.map(({ op, args: name }) => {
    if (op === 'id') return name as string;
    throw Object.assign(new Error(`${loop.name}() argument must be a simple name`), { node: ast });
  });
  if (loop.variables === 2 && names[0] === names[1]) {
    throw Object.assign(new Error(`overlapping variable name '${names[0]}'`), { node: ast });
  }
  const macro: Macro = { call, names, parts: args.slice(loop.variables), contexts: [] };
  return {
    ast,
    async: false,
    typeCheck: (checker: Checker, _: unknown, context: Context) => checked(loop, macro, checker, context),
    evaluate: (evaluator: Evaluator, _: unknown, context: Context) =>
      loop.run(roundsWith(macro, evaluator, evaluator.run(call.receiver, context), context)),
  };
}

function checked(loop: Loop, { call, names, parts, contexts }: Macro, checker: Checker, outer: Context): CelType {
  const range = checker.check(call.receiver, outer);
  if (!['dyn', 'list', 'map'].includes(range.kind)) {
    const text = `Expression of type '${checker.formatType(range)}' cannot be range of a comprehension (must be list, map, or dynamic).`;
    throw checker.createError('invalid_comprehension_range', text, call.receiver);
  }
  const dyn = checker.getType('dyn');
  const value = range.kind === 'dyn' ? dyn : range.valueType!;
  const key = range.kind === 'map' ? range.keyType! : range.kind === 'list' ? checker.getType('int') : dyn;
  const types = names.length === 2 ? [key, value] : [range.kind === 'map' ? key : value];
  contexts.length = 0;
  let context = outer;
  for (const [i, name] of names.entries()) {
    context = context.forkWithVariable(name, types[i]!);
    contexts.push(context);
  }
  const found = parts.map((part) => checker.check(part, context));
  if (loop.condition && !found[0]!.isDynOrBool()) {
    const text = `${loop.name}() predicate must return bool, got '${checker.formatType(found[0]!)}'`;
    throw checker.createError('invalid_condition_type', text, parts[0]!);
  }
  return loop.type(checker, key, found.at(-1)!);
}

/** Index and value of a list, key and value of a map. */
function roundsOf(range: unknown): readonly (readonly [key: unknown, value: unknown])[] {
  if (Array.isArray(range)) return range.map((value: unknown, i) => [BigInt(i), value]);
  if (range instanceof Map) return [...range.entries()];
  if (typeof range === 'object' && range !== null) return Object.entries(range);
  throw new Error('a loop must be over a list or a map');
}

function* roundsWith(
  { names, parts, contexts }: Macro,
  evaluator: Evaluator,
  range: unknown,
  outer: Context,
): Rounds & Generator<readonly [unknown, Round]> {
  const isList = Array.isArray(range);
  charge(sizeOf(range) + 2 * keysCost(range));
  for (const [key, value] of roundsOf(range)) {
    const values = names.length === 2 ? [key, value] : [isList ? value : key];
    let context = outer;
    for (const [i, one] of values.entries()) context = contexts[i]!.reuse(context).setIterValue(one, evaluator);
    const at = context;
    // Throws once all is spent, whatever the loop makes of errors in its rounds.
    charge(ROUND_COST);
    yield [key, (part) => evaluator.run(parts[part]!, at)];
  }
}
