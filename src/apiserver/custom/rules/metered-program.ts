// Makes a parsed expression count what it costs, node by node, while it runs. The CEL library has no hook for that: each node
// of its tree has a function that works out the node's value, and those are wrapped here.
import { callCost, ERROR, keysCost, LIST_COST, MAP_COST, operatorCost } from './call-cost.ts';
import { checkDuration } from './duration.ts';
import { charge, count } from './meter.ts';

type Evaluate = (evaluator: unknown, node: unknown, context: unknown) => unknown;

/** The library's node, as far as it concerns us. */
interface Node {
  readonly op: string;
  readonly args: unknown;
  /** Of calls and operators: takes the values of the operands. */
  handle?: (...operands: never[]) => unknown;
  readonly meta: { readonly evaluate: Evaluate; readonly alternate?: Node; readonly macro?: { evaluate: Evaluate } };
  setMeta(key: 'evaluate', value: Evaluate): unknown;
}

/** A loop of the library. */
interface Loop {
  readonly kind?: 'quantifier';
  readonly init: Node;
  readonly step: Node;
}

interface Program<B> {
  (bindings: B): unknown;
  readonly ast: unknown;
  check(): { readonly valid: boolean };
}

/** The same program, counting. One whose types are wrong stays as it is: running it says so. */
export function meteredProgram<B>(program: Program<B>): (bindings: B) => unknown {
  // Checking types is what gives nodes the functions that take their operands.
  if (program.check().valid) visit(program.ast as Node, new Set());
  return program;
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'op' in value && 'args' in value && 'meta' in value;

function visit(value: unknown, seen: Set<unknown>): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  if (!isNode(value)) {
    // Arguments, entries of maps, parts of loops.
    if (Array.isArray(value)) for (const one of value) visit(one, seen);
    else if ('step' in value) for (const one of Object.values(value)) visit(one, seen);
    return;
  }
  seen.add(value);
  const { alternate, macro } = value.meta;
  visit(alternate ?? value.args, seen);
  if (macro) meterMacro(value, macro);
  else if (!alternate) meterNode(value);
}

/** What upstream's macros do around the parts that are nodes of their own; of the loops that are ours each says itself. */
const MACRO_COST: { readonly [name: string]: number | undefined } = { bind: LIST_COST, orValue: 1, or: 1 };

function meterMacro(node: Node, macro: { evaluate: Evaluate }): void {
  const [name] = node.args as [string];
  // The variable that it begins with counts itself.
  const cost = name === 'has' ? membersOf(node) - 1 : MACRO_COST[name];
  if (cost === undefined) return;
  const inner = macro.evaluate;
  macro.evaluate = (evaluator, self, context) => {
    charge(cost);
    try {
      return inner(evaluator, self, context);
    } catch (error) {
      throw charged(error);
    }
  };
}

let lastError: unknown;

/** An error counts where it begins; on its way out it is the same. */
function charged(error: unknown): unknown {
  if (error !== lastError) {
    lastError = error;
    count(ERROR);
  }
  return error;
}

/** How many members has() goes through. */
function membersOf(node: Node): number {
  let [, [at]] = node.args as [string, [Node]];
  let members = 0;
  while (at.op === '.' || at.op === '.?') {
    members++;
    [at] = at.args as [Node];
  }
  return members;
}

/** By operator: what a node costs besides its parts, whatever they are. */
const FIXED: { readonly [op: string]: number | undefined } = {
  id: 1,
  list: LIST_COST,
  map: MAP_COST,
  // Of conditions only errors cost.
  '?:': 0,
  '||': 0,
  '&&': 0,
  // Parts of the library's loops: upstream counts what its own are written with.
  accuValue: 0,
  accuInc: 2,
  accuPush: 12,
};

function meterNode(node: Node): void {
  const fixed = isConstant(node) ? constantCost(node) : FIXED[node.op];
  if (node.op === 'comprehension') meterLoop(node, node.args as Loop);
  else if (fixed === undefined) meterOperands(node);
  else {
    const inner = node.meta.evaluate;
    node.setMeta('evaluate', (evaluator, self, context) => {
      if (fixed > 0) charge(fixed);
      try {
        return inner(evaluator, self, context);
      } catch (error) {
        throw charged(error);
      }
    });
  }
}

/** Lists and maps of nothing but constants: upstream makes them once. */
function isConstant({ op, args }: Node): boolean {
  return (
    (op === 'list' || op === 'map') && (args as Node[]).flat().every((one) => one.op === 'value' || isConstant(one))
  );
}

function checkedDuration(values: unknown): number {
  const [text] = values as unknown[];
  const cost = callCost('duration', [text]);
  charge(cost);
  checkDuration(text);
  return 0;
}

/** Ours makes them anew each time. */
const constantCost = ({ args }: Node): number => (args as readonly unknown[]).length * 0.2;

const ONE_OPERAND = new Set(['!_', '-_', '.', '.?', '[]', '[?]']);

function meterOperands(node: Node): void {
  const cost = operandsCost(node);
  const inner = node.handle as ((a: unknown, b: unknown, c: unknown, d: unknown) => unknown) | undefined;
  if (!inner) return;
  node.handle = (a: unknown, b: unknown, c: unknown, d: unknown) => {
    try {
      charge(cost(a, b));
      return inner(a, b, c, d);
    } catch (error) {
      throw charged(error);
    }
  };
}

function operandsCost({ op, args }: Node): (a: unknown, b: unknown) => number {
  if (op === 'call' || op === 'rcall') {
    const [name] = args as [string];
    if (op === 'call' && name === 'duration') return checkedDuration;
    return (values) => callCost(name, values as unknown[]);
  }
  return ONE_OPERAND.has(op) ? () => 1 : (a, b) => operatorCost(op, a, b);
}

/** What upstream's all() and exists() do in each round besides their condition, and the value that ends them. */
const ALL = { cost: 3, decisive: false };
const EXISTS = { cost: 4, decisive: true };
/** In each round of the others upstream does nothing of its own; ours has a variable to set. */
const ROUND = 2;

function meterLoop(node: Node, { kind, init, step }: Loop): void {
  const start = node.handle as unknown as (range: unknown, b: unknown, c: unknown, d: unknown) => unknown;
  node.handle = (range: unknown, b: unknown, c: unknown, d: unknown) => {
    charge(1 + keysCost(range));
    return start(range, b, c, d);
  };
  const inner = step.meta.evaluate;
  if (kind !== 'quantifier' || typeof init.args !== 'boolean') {
    step.setMeta('evaluate', (evaluator, self, context) => {
      charge(ROUND);
      return inner(evaluator, self, context);
    });
    return;
  }
  const { cost, decisive } = init.args ? ALL : EXISTS;
  // These loops go on after an error: once all is spent they are to end.
  step.setMeta('evaluate', (evaluator, self, context) => (count(cost) ? inner(evaluator, self, context) : decisive));
}
