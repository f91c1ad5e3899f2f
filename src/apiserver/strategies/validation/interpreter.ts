// The one interpreter of the validation tables: compiles a type's rules and walks an object once.
//
// What the table of types says of a field (required, closed enum) holds unless a rule says otherwise. Types below which nothing
// has a rule are not walked. Paths are put together only for findings.
import { type Field, Tables } from '../../../api/tables.ts';
import type { FieldError } from '../../../machinery/status.ts';
import { sameMeaning } from '../equality.ts';
import { FIELD_IMMUTABLE } from '../field-errors.ts';
import { FORMATS, NOT_NEGATIVE } from './formats.ts';
import type { FieldRule, Members, RuleTable, TypeRules, Union } from './rules.ts';
import { Run } from './run.ts';
import { isCheckedByStrategy, RULES } from './tables.ts';

type Check = (value: unknown, name: string, run: Run) => void;

interface Step {
  readonly name: string;
  readonly shown: string;
  readonly checks: readonly Check[];
  readonly immutable: FieldRule['immutable'];
  readonly shape: 'leaf' | 'struct' | 'list' | 'map';
  /** What is below: compiled lazily, because types may refer to themselves. */
  readonly below: CompiledType | undefined;
}

interface CompiledType {
  steps: readonly Step[];
  /** Those with checks of their own, and those with something below. */
  checked: readonly Step[];
  walked: readonly Step[];
  readonly rules: TypeRules | undefined;
  /** Something in here, or below, has an update rule. */
  updates: boolean;
}

const NOTHING = new Set(['status', 'metadata', 'apiVersion', 'kind']);
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';

/** "io.k8s.api.core.v1.Pod" is "core.v1.Pod" in the rule tables. */
export function shortType(type: string): string {
  if (type.startsWith(META)) return `meta.v1.${type.slice(META.length)}`;
  return type.startsWith('io.k8s.api.') ? type.slice('io.k8s.api.'.length) : type;
}

/** Rules compiled over the table of types. */
export class Validator {
  readonly #tables: Tables;
  readonly #rules: RuleTable;
  readonly #types = new Map<string, CompiledType>();

  constructor(tables: Tables, rules: RuleTable) {
    this.#tables = tables;
    this.#rules = rules;
  }

  /** Findings for an object of this type; `old` is what it was before an update. */
  validate(type: string, object: Members, old: Members | undefined): readonly FieldError[] {
    const run = new Run(object);
    const compiled = this.#type(type);
    this.#struct(compiled, object, run);
    if (old && compiled.updates) this.#update(compiled, object, old, run);
    return run.findings;
  }

  #type(name: string): CompiledType {
    const known = this.#types.get(name);
    if (known) return known;
    const row = this.#tables.type(name);
    const rules = this.#rules[shortType(name)];
    const compiled: CompiledType = {
      steps: [],
      checked: [],
      walked: [],
      rules,
      updates: rules?.checkUpdate !== undefined,
    };
    this.#types.set(name, compiled);
    const isObject = row.gvk.length > 0;
    const steps: Step[] = [];
    for (const field of row.fields?.values() ?? []) {
      if (isObject && NOTHING.has(field.name)) continue;
      const step = this.#step(field, rules?.fields?.[field.name] ?? {});
      if (!step) continue;
      steps.push(step);
      if (step.immutable || step.below?.updates) compiled.updates = true;
    }
    compiled.steps = steps;
    compiled.checked = steps.filter((step) => step.checks.length > 0);
    compiled.walked = steps.filter((step) => step.below !== undefined);
    return compiled;
  }

  #step(field: Field, rule: FieldRule): Step | undefined {
    const list = field.code.startsWith('[]');
    const map = field.code.startsWith('{}');
    const code = list || map ? field.code.slice(2) : field.code;
    const below = code.startsWith('@') && !rule.opaque ? this.#structBelow(code.slice(1)) : undefined;
    const checks = checksOf(field, rule, { list, map });
    if (checks.length === 0 && !below && !rule.immutable) return undefined;
    const shape = list ? 'list' : map ? 'map' : below ? 'struct' : 'leaf';
    return { name: field.name, shown: rule.shownAs ?? field.name, checks, immutable: rule.immutable, shape, below };
  }

  #structBelow(type: string): CompiledType | undefined {
    const row = this.#tables.type(type);
    if (!row.fields || row.leaf || row.custom || type.endsWith('.ObjectMeta')) return undefined;
    if (isCheckedByStrategy(type)) return undefined;
    const compiled = this.#type(type);
    return compiled.steps.length > 0 || compiled.rules ? compiled : undefined;
  }

  #struct(type: CompiledType, value: Members, run: Run): void {
    const { rules } = type;
    for (const step of type.checked) {
      const member = value[step.name];
      for (const check of step.checks) check(member, step.shown, run);
    }
    if (rules?.union) checkUnion(rules.union, value, run);
    rules?.check?.(value as never, run);
    for (const step of type.walked) {
      const member = value[step.name];
      if (step.below === undefined || member === undefined || member === null) continue;
      run.enter(step.shown);
      if (step.shape === 'struct') this.#struct(step.below, member as Members, run);
      else this.#elements(step.below, member as object, run);
      run.leave();
    }
  }

  #elements(type: CompiledType, holder: object, run: Run): void {
    if (Array.isArray(holder)) {
      for (let i = 0; i < holder.length; i++) {
        run.enter(i);
        this.#struct(type, holder[i], run);
        run.leave();
      }
      return;
    }
    for (const key in holder) {
      run.enter(`[${key}]`);
      this.#struct(type, (holder as Members)[key] as Members, run);
      run.leave();
    }
  }

  #update(type: CompiledType, value: Members, old: Members, run: Run): void {
    type.rules?.checkUpdate?.(value as never, old as never, run);
    for (const step of type.steps) {
      const now = value[step.name];
      const before = old[step.name];
      if (step.immutable) checkImmutable(step.immutable, step.shown, now, before, run);
      const same = step.shape === 'struct' && step.below?.updates;
      if (!same || !now || !before) continue;
      run.enter(step.shown);
      this.#update(step.below!, now as Members, before as Members, run);
      run.leave();
    }
  }
}

function checkImmutable(
  rule: NonNullable<FieldRule['immutable']>,
  name: string,
  now: unknown,
  old: unknown,
  run: Run,
): void {
  if (rule === 'onceSet' && isAbsent(old)) return;
  if (!sameMeaning(now, old)) run.invalid(name, now, FIELD_IMMUTABLE);
}

function checkUnion(union: Union, value: Members, run: Run): void {
  let first: string | undefined;
  for (const name of union.of) {
    if (value[name] === undefined || value[name] === null) continue;
    if (first === undefined) first = name;
    else if (union.many !== undefined) run.forbidden(name, union.many);
  }
  if (first === undefined && union.none !== undefined) run.required('', union.none);
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

function checksOf(field: Field, rule: FieldRule, { list, map }: { list: boolean; map: boolean }): Check[] {
  const checks: Check[] = [];
  const wanted = rule.required ?? requiredByTable(field);
  if (wanted !== false) {
    const detail = typeof wanted === 'string' ? wanted : '';
    checks.push((value, name, run) => {
      if (isAbsent(value) || (rule.zeroIsAbsent && value === 0)) run.required(name, detail);
    });
  }
  if (list || map) return [...checks, ...holderChecks(field, rule, list)];
  const known = rule.oneOf ?? (rule.closed === false || !field.enum ? undefined : [...field.enum].sort());
  const leaf = leafCheck(rule, known);
  if (leaf) checks.push((value, name, run) => void (isAbsent(value) || leaf(value, name, run)));
  return checks;
}

/** The table says that it must be there, and something absent can be told from something there. */
function requiredByTable(field: Field): boolean {
  if (!field.required) return false;
  return field.code === 'string' || (field.pointer && field.code.startsWith('@'));
}

/** What must hold for a scalar that is there. */
function leafCheck(rule: FieldRule, known: readonly string[] | undefined): Check | undefined {
  const parts: Check[] = [];
  const { min, max, notOneOf } = rule;
  if (known) {
    const set = new Set(known);
    parts.push((value, name, run) => {
      if (set.has(value as string)) return;
      if (notOneOf === undefined) run.unsupported(name, value, known);
      else run.invalid(name, value, notOneOf);
    });
  }
  if (min !== undefined || max !== undefined) {
    const text = rule.range ?? (max === undefined ? NOT_NEGATIVE : `must be between ${min} and ${max}, inclusive`);
    parts.push((value, name, run) => {
      if (rule.zeroIsAbsent && value === 0) return;
      const n = value as number;
      if ((min !== undefined && n < min) || (max !== undefined && n > max)) run.invalid(name, value, text);
    });
  }
  if (rule.format) {
    const format = FORMATS[rule.format] as (value: unknown) => readonly string[];
    parts.push((value, name, run) => {
      if (!(rule.zeroIsAbsent && value === 0)) run.invalidEach(name, value, format(value));
    });
  }
  if (parts.length <= 1) return parts[0];
  return (value, name, run) => {
    for (const part of parts) part(value, name, run);
  };
}

function holderChecks(field: Field, rule: FieldRule, list: boolean): Check[] {
  const checks: Check[] = [];
  const { maxItems, unique, keys } = rule;
  if (maxItems !== undefined) {
    checks.push((value, name, run) => {
      const count = (value as readonly unknown[] | undefined)?.length ?? 0;
      if (count > maxItems) run.tooMany(name, count, maxItems);
    });
  }
  const known = rule.each?.oneOf ?? (rule.closed === false || !field.enum ? undefined : [...field.enum].sort());
  const each = leafCheck(rule.each ?? {}, known);
  if (list && (each || rule.each?.required)) {
    checks.push((value, name, run) => {
      for (const [i, element] of ((value ?? []) as readonly unknown[]).entries()) {
        if (rule.each?.required && isAbsent(element)) run.required(`${name}[${i}]`);
        else each?.(element, `${name}[${i}]`, run);
      }
    });
  }
  if (!list && (each || keys)) {
    const format = keys && (FORMATS[keys] as (value: unknown) => readonly string[]);
    checks.push((value, name, run) => {
      for (const key in (value ?? {}) as Members) {
        if (format) run.invalidEach(name, key, format(key));
        each?.((value as Members)[key], `${name}[${key}]`, run);
      }
    });
  }
  if (unique !== undefined) checks.push((value, name, run) => checkUnique(unique, value as never, name, run));
  return checks;
}

function checkUnique(unique: true | string, list: readonly unknown[] | undefined, name: string, run: Run): void {
  if (!list || list.length < 2) return;
  const seen = new Set<unknown>();
  for (const [i, element] of list.entries()) {
    const value = unique === true ? element : (element as Members)[unique];
    if (isAbsent(value)) continue;
    if (seen.has(value)) run.duplicate(unique === true ? `${name}[${i}]` : `${name}[${i}].${unique}`, value);
    seen.add(value);
  }
}

let builtIn: Validator | undefined;

/** The validator of the built-in kinds, made on first use. */
export function builtInValidator(): Validator {
  builtIn ??= new Validator(new Tables(), RULES);
  return builtIn;
}
