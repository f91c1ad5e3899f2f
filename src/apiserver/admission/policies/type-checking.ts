// Whether the expressions of a ValidatingAdmissionPolicy fit the types that it is for: what does not is a warning in its status,
// and nothing else (upstream: validating.TypeChecker).
import type { Environment } from '@marcbachmann/cel-js';
import type { ExpressionWarning, RuleWithOperations, ValidatingAdmissionPolicy } from '../../../api/generated/types.ts';
import { type Node, planOf } from '../../../api/plan.ts';
import { apiVersionOf, type Resource, type Tables } from '../../../api/tables.ts';
import { declareType, escapeProperty } from '../../custom/rules/types.ts';
import { checkingEnvironment, type DeclareTypes, declareStruct } from './environment.ts';
import { checkExpression } from './expressions.ts';
import { paramResource } from './params.ts';

/** A policy for more types is checked against these many. */
const MAX_TYPES = 10;

export function expressionWarnings(tables: Tables, policy: ValidatingAdmissionPolicy): ExpressionWarning[] {
  const { validations = [], matchConstraints, paramKind, variables = [] } = policy.spec ?? {};
  const rows = typesToCheck(tables, matchConstraints?.resourceRules ?? []);
  const params = paramKind && paramResource(tables, paramKind);
  const environments = rows.map((row) => ({ row, env: environmentFor(tables, row, params, variables) }));
  const warnings: ExpressionWarning[] = [];
  const check = (fieldRef: string, text: string): void => {
    const found = environments.flatMap(({ row, env }) => {
      const result = checkExpression(env, text);
      return 'issue' in result ? [`${apiVersionOf(row)}, Kind=${row.kind}: ${result.issue}\n`] : [];
    });
    if (found.length > 0) warnings.push({ fieldRef, warning: found.join('\n') });
  };
  for (const [i, { expression, messageExpression }] of validations.entries()) {
    check(`spec.validations[${i}].expression`, expression);
    if (messageExpression) check(`spec.validations[${i}].messageExpression`, messageExpression);
  }
  return warnings;
}

/** Resources that rules name outright, by group, version and kind. */
function typesToCheck(tables: Tables, rules: readonly RuleWithOperations[]): readonly Resource[] {
  const rows = new Set<Resource>();
  for (const { apiGroups = [], apiVersions = [], resources = [] } of rules) {
    if ([...apiGroups, ...apiVersions].some((one) => one.includes('*'))) continue;
    for (const group of apiGroups) {
      for (const version of apiVersions) {
        for (const resource of resources) {
          const row = tables.resource(group, version, resource);
          if (row && rows.size < MAX_TYPES) rows.add(row);
        }
      }
    }
  }
  const key = ({ group, version, kind }: Resource): string => `${group}\0${version}\0${kind}`;
  return [...rows].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function environmentFor(
  tables: Tables,
  row: Resource,
  params: Resource | undefined,
  variables: readonly { readonly name: string; readonly expression: string }[],
): Environment {
  const types: DeclareTypes = (env) => {
    const declarer = new Declarer(tables, env);
    return { object: declarer.resource(row), params: params ? declarer.resource(params) : 'dyn' };
  };
  const scope = { params: params !== undefined, authorizer: true, messages: false, types };
  const known: { [name: string]: string } = {};
  let env = checkingEnvironment(scope);
  for (const { name, expression } of variables) {
    const found = checkExpression(env, expression);
    known[name] = 'type' in found ? nameable(found.type) : 'dyn';
    env = checkingEnvironment({ ...scope, variables: known });
  }
  return env;
}

/** A type as it can be declared. */
const nameable = (type: string): string =>
  type === 'list' || type === 'map' || /optional|Authorizer|Check|Decision/.test(type) ? 'dyn' : type;

const LEAVES: { readonly [shape: string]: string | undefined } = {
  string: 'string',
  bool: 'bool',
  int32: 'int',
  int64: 'int',
  double: 'double',
  bytes: 'bytes',
  time: 'google.protobuf.Timestamp',
  microtime: 'google.protobuf.Timestamp',
};

/** Declares types of the table, and those that they are made of, in an environment. */
class Declarer {
  readonly #tables: Tables;
  readonly #env: Environment;
  readonly #done = new Set<string>();
  readonly #open = new Set<string>();

  constructor(tables: Tables, env: Environment) {
    this.#tables = tables;
    this.#env = env;
  }

  resource({ type }: Resource): string {
    const { structural } = this.#tables.type(type);
    return structural ? this.#custom(type, structural) : this.#struct(type);
  }

  /** A schema's own root has names only as metadata: here all of it is there to be looked at. */
  #custom(type: string, structural: Parameters<typeof declareType>[1]): string {
    const name = `custom.${type.replaceAll(/[^A-Za-z0-9.]/g, '_')}`;
    if (this.#done.has(name)) return name;
    this.#done.add(name);
    const fields: { [field: string]: string } = { apiVersion: 'string', kind: 'string' };
    for (const [property, schema] of structural.properties) {
      const escaped = escapeProperty(property);
      if (escaped !== undefined) fields[escaped] = declareType(this.#env, schema, `${name}.${escaped}`);
    }
    fields.metadata = this.#struct('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
    declareStruct(this.#env, name, fields);
    return name;
  }

  #struct(type: string): string {
    const plan = planOf(this.#tables, type);
    const { name } = plan;
    if (this.#done.has(name)) return name;
    // A type within itself could be anything.
    if (this.#open.has(name)) return 'dyn';
    this.#open.add(name);
    const fields: { [field: string]: string } = {};
    for (const field of plan.fields) {
      const escaped = escapeProperty(field.name);
      if (escaped !== undefined) fields[escaped] = this.#node(field.node);
    }
    declareStruct(this.#env, name, fields);
    this.#open.delete(name);
    this.#done.add(name);
    return name;
  }

  #node(node: Node): string {
    if (node.shape === 'struct') return this.#struct(node.plan.name);
    if (node.shape === 'list') return `list<${this.#node(node.element!)}>`;
    if (node.shape === 'map') return `map<string, ${this.#node(node.element!)}>`;
    return LEAVES[node.shape] ?? 'dyn';
  }
}
