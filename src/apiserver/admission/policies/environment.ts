// The variables of admission policies, for checking expressions and for running them.
import type { Environment } from '@marcbachmann/cel-js';
import { kubernetesEnvironment } from '../../custom/rules/library.ts';
import { registerAuthorizer } from '../webhooks/cel-authorizer.ts';
import { registerMessages } from './messages.ts';

/** What a variable's type is made of, declared on demand. */
export type DeclareTypes = (env: Environment) => { readonly object: string; readonly params: string };

export interface Scope {
  readonly params: boolean;
  readonly authorizer: boolean;
  /** Object{…} and JSONPatch{…} may be made. */
  readonly messages: boolean;
  /** Types of `variables`, by name; absent: expressions have none. */
  readonly variables?: { readonly [name: string]: string };
  /** Absent: the types of the objects are not known. */
  readonly types?: DeclareTypes;
}

const REQUEST_TYPES: { readonly [name: string]: { readonly [field: string]: string } } = {
  'kubernetes.GroupVersionKind': { group: 'string', version: 'string', kind: 'string' },
  'kubernetes.GroupVersionResource': { group: 'string', version: 'string', resource: 'string' },
  'kubernetes.UserInfo': {
    username: 'string',
    uid: 'string',
    groups: 'list<string>',
    extra: 'map<string, list<string>>',
  },
  'kubernetes.AdmissionRequest': {
    kind: 'kubernetes.GroupVersionKind',
    resource: 'kubernetes.GroupVersionResource',
    subResource: 'string',
    requestKind: 'kubernetes.GroupVersionKind',
    requestResource: 'kubernetes.GroupVersionResource',
    requestSubResource: 'string',
    name: 'string',
    namespace: 'string',
    operation: 'string',
    userInfo: 'kubernetes.UserInfo',
    dryRun: 'bool',
    options: 'dyn',
  },
  'kubernetes.NamespaceSpec': { finalizers: 'list<string>' },
  'kubernetes.NamespaceCondition': {
    status: 'string',
    type: 'string',
    lastTransitionTime: 'google.protobuf.Timestamp',
    message: 'string',
    reason: 'string',
  },
  'kubernetes.NamespaceStatus': { conditions: 'list<kubernetes.NamespaceCondition>', phase: 'string' },
  'kubernetes.NamespaceMetadata': {
    name: 'string',
    generateName: 'string',
    namespace: 'string',
    labels: 'map<string, string>',
    annotations: 'map<string, string>',
    UID: 'string',
    creationTimestamp: 'google.protobuf.Timestamp',
    deletionGracePeriodSeconds: 'int',
    deletionTimestamp: 'google.protobuf.Timestamp',
    generation: 'int',
    resourceVersion: 'string',
    finalizers: 'list<string>',
  },
  'kubernetes.Namespace': {
    metadata: 'kubernetes.NamespaceMetadata',
    spec: 'kubernetes.NamespaceSpec',
    status: 'kubernetes.NamespaceStatus',
  },
};

/** Declares a type with fields for checking: its values may be compared, with null too. */
export function declareStruct(env: Environment, name: string, fields: { readonly [field: string]: string }): void {
  env.registerType(name, { fields: { ...fields } });
  env.registerOperator(`${name} == ${name}`, () => false);
  env.registerOperator(`${name} == null`, () => false);
}

const made: { checking?: Environment; messages?: Environment; running?: Environment } = {};

function checkingBase(messages: boolean): Environment {
  if (!made.checking) {
    const env = kubernetesEnvironment();
    registerAuthorizer(env);
    for (const [name, fields] of Object.entries(REQUEST_TYPES)) declareStruct(env, name, fields);
    made.checking = env;
    made.messages = env.clone();
    registerMessages(made.messages);
  }
  return messages ? made.messages! : made.checking;
}

/** Knows the types of all variables that an expression may use. */
export function checkingEnvironment({ params, authorizer, messages, variables, types }: Scope): Environment {
  const env = checkingBase(messages).clone();
  const declared = types?.(env) ?? { object: 'dyn', params: 'dyn' };
  env.registerVariable('object', declared.object).registerVariable('oldObject', declared.object);
  env.registerVariable('request', 'kubernetes.AdmissionRequest');
  env.registerVariable('namespaceObject', 'kubernetes.Namespace');
  if (params) env.registerVariable('params', declared.params);
  if (authorizer) env.registerVariable('authorizer', 'Authorizer');
  if (variables) {
    declareStruct(env, 'kubernetes.variables', variables);
    env.registerVariable('variables', 'kubernetes.variables');
  }
  return env;
}

/** Takes variables as they come: their types were checked when the policy was written. */
export function runningEnvironment(): Environment {
  if (made.running) return made.running;
  const env = kubernetesEnvironment();
  registerAuthorizer(env);
  registerMessages(env);
  for (const name of ['object', 'oldObject', 'request', 'namespaceObject', 'params', 'variables']) {
    env.registerVariable(name, 'dyn');
  }
  env.registerVariable('authorizer', 'dyn');
  made.running = env;
  return env;
}
