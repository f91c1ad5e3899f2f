// Defaulting of typed objects: rows of data/defaults.json, and the conditions and derived values that they name.
import defaultRows from './data/defaults.json' with { type: 'json' };
import {
  CONDITIONS,
  CREATED_PARENTS,
  DERIVED,
  type DefaultContext,
  FILLED_MEMBERS,
  type Members,
  ROOT_ONLY,
  ROOT_STEPS,
  SAME_DEFAULTS,
} from './default-rules.ts';
import { cloneJson } from './json.ts';
import { type Node, type Plan, planOf } from './plan.ts';
import { applySchemaDefaults } from './structural/default.ts';
import type { Field, Tables } from './tables.ts';

type Row = readonly [type: string, field: string, value: unknown, condition?: string];

/** One thing that defaulting does to one object of a type. */
type Step = (object: Members, context: DefaultContext) => void;

/** What defaulting does to a type: its own steps first, then what its members hold. */
interface DefaultPlan {
  readonly steps: readonly Step[];
  readonly children: readonly {
    readonly name: string;
    readonly shape: 'struct' | 'list' | 'map';
    readonly plan: DefaultPlan;
  }[];
}

export interface DefaultOptions {
  /** For the few defaults that are the present; without it they are left absent. */
  readonly nowMs?: number;
}

/**
 * Sets what the API says is there when nothing was given, changing the object in place. The object must be decoded (or
 * copied by the table): its structs are present. Doing it again changes nothing.
 */
export function applyDefaults(tables: Tables, typeName: string, object: object, options: DefaultOptions = {}): void {
  const schema = tables.type(typeName).structural;
  if (schema) {
    applySchemaDefaults(schema, object);
    return;
  }
  const plan = planOf(tables, typeName);
  const root = object as Members;
  const defaults = defaultPlan(tables, plan);
  if (defaults) walk(defaults, root, { root, rootType: plan.name, fields: [], nowMs: options.nowMs });
}

function walk(plan: DefaultPlan, object: Members, context: DefaultContext): void {
  for (const step of plan.steps) step(object, context);
  for (const child of plan.children) {
    const value = object[child.name];
    if (typeof value !== 'object' || value === null) continue;
    context.fields.push(child.name);
    if (child.shape === 'struct') walk(child.plan, value as Members, context);
    else if (child.shape === 'list') for (const item of value as Members[]) walk(child.plan, item, context);
    else for (const key of Object.keys(value)) walk(child.plan, (value as { [key: string]: Members })[key]!, context);
    context.fields.pop();
  }
}

const rowsByType = Map.groupBy(defaultRows as unknown as Row[], (row) => row[0]);

/** undefined: nothing to do for this type and below. Types that contain themselves have no defaults inside. */
const plans = new WeakMap<Plan, DefaultPlan | 'nothing'>();

function defaultPlan(tables: Tables, plan: Plan): DefaultPlan | undefined {
  const known = plans.get(plan);
  if (known) return known === 'nothing' ? undefined : known;
  plans.set(plan, 'nothing');
  const children: DefaultPlan['children'][number][] = [];
  for (const field of plan.fields) {
    const inner = structIn(field.node);
    const child = inner && defaultPlan(tables, inner);
    if (child) children.push({ name: field.name, shape: field.shape as 'struct', plan: child });
  }
  const steps = stepsOf(tables, plan);
  if (steps.length === 0 && children.length === 0) return undefined;
  const made = { steps, children };
  plans.set(plan, made);
  return made;
}

function structIn(node: Node): Plan | undefined {
  if (node.shape === 'struct') return node.plan;
  return (node.shape === 'list' || node.shape === 'map') && node.element!.shape === 'struct'
    ? node.element!.plan
    : undefined;
}

function stepsOf(tables: Tables, plan: Plan): Step[] {
  const steps: Step[] = [];
  const rootSteps = ROOT_STEPS[plan.name];
  if (rootSteps) steps.push((object, context) => context.rootType === plan.name && rootSteps(object));
  for (const created of CREATED_PARENTS[plan.name] ?? []) steps.push(created);
  for (const field of plan.row.fields!.values()) if (field.default !== undefined) steps.push(...declared(field));
  for (const name of typesWithin(tables, plan.name)) {
    for (const row of rowsByType.get(name) ?? []) steps.push(rowStep(row, plan, ROOT_ONLY[name]));
  }
  return steps;
}

/** A type and the types that are embedded in it, or whose defaults it shares. */
function typesWithin(tables: Tables, name: string): string[] {
  const inline = tables.type(name).declared.filter((f) => f.inline);
  const same = SAME_DEFAULTS[name];
  return [name, ...(same ? [same] : []), ...inline.flatMap((f) => typesWithin(tables, f.code.slice(1)))];
}

/** A default declared with the field. One that is the zero value of a field that is no pointer says nothing. */
function declared(field: Field): Step[] {
  const value = field.default;
  if (!field.pointer && (value === '' || value === 0 || value === false)) return [];
  return [setter(field.name, field.pointer, () => value)];
}

function setter(name: string, pointer: boolean, value: (object: Members, context: DefaultContext) => unknown): Step {
  return (object, context) => {
    const before = object[name];
    const absent = before === undefined || before === null || (!pointer && (before === '' || before === 0));
    if (!absent) return;
    const after = value(object, context);
    if (after !== undefined) object[name] = after;
  };
}

function rowStep([type, name, value, condition]: Row, plan: Plan, rootOnly: string | undefined): Step {
  const step = valueStep(type, name, value, plan);
  const test = condition === undefined ? undefined : CONDITIONS[condition];
  if (condition !== undefined && !test) throw new Error(`data/defaults.json: no rule for the condition "${condition}"`);
  if (!test && !rootOnly) return step;
  return (object, context) => {
    if (rootOnly && context.rootType !== rootOnly) return;
    if (!test || test(object, context)) step(object, context);
  };
}

function valueStep(type: string, name: string, value: unknown, plan: Plan): Step {
  if (value === null) {
    return (object) => {
      if (object[name] !== undefined) delete object[name];
    };
  }
  const filled = FILLED_MEMBERS.has(`${type} ${name}`);
  if (typeof value === 'object' && filled) {
    return (object) => {
      object[name] = { ...cloneJson(value as Members), ...(object[name] as Members | undefined) };
    };
  }
  if (typeof value === 'string' && value.startsWith('=')) {
    const derive = DERIVED[value];
    if (!derive) throw new Error(`data/defaults.json: no rule for the value "${value}"`);
    return derive(name);
  }
  const pointer = plan.byName.get(name)?.pointer ?? false;
  return setter(name, pointer, typeof value === 'object' ? () => cloneJson(value) : () => value);
}
