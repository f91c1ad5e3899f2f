// `authorizer` in CEL: asks what a user may do, as upstream's authorizer library for expressions.
import type { Environment } from '@marcbachmann/cel-js';
import type { Authorizer, UserInfo } from '../../contract.ts';

export interface AuthorizerParts {
  /** Absent: everything is allowed. */
  readonly authorize: Authorizer['authorize'] | undefined;
  /** What the request itself is about: `authorizer.requestResource`. */
  readonly requestResource: ResourceAttributes;
}

interface ResourceAttributes {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

class UserAuthorizer {
  readonly authorize: Authorizer['authorize'] | undefined;
  readonly user: UserInfo;
  readonly requestResource: ResourceCheck;
  constructor({ authorize, requestResource }: AuthorizerParts, user: UserInfo) {
    this.authorize = authorize;
    this.user = user;
    this.requestResource = new ResourceCheck(this, requestResource);
  }
}

class PathCheck {
  readonly of: UserAuthorizer;
  readonly path: string;
  constructor(of: UserAuthorizer, path: string) {
    this.of = of;
    this.path = path;
  }
}

class GroupCheck {
  readonly of: UserAuthorizer;
  readonly group: string;
  constructor(of: UserAuthorizer, group: string) {
    this.of = of;
    this.group = group;
  }
}

class ResourceCheck {
  readonly of: UserAuthorizer;
  readonly attributes: ResourceAttributes;
  constructor(of: UserAuthorizer, attributes: ResourceAttributes) {
    this.of = of;
    this.attributes = attributes;
  }
  with(more: Partial<ResourceAttributes>): ResourceCheck {
    return new ResourceCheck(this.of, { ...this.attributes, ...more });
  }
}

class Decision {
  readonly allowed: boolean;
  readonly reason: string;
  constructor({ allowed, reason }: { readonly allowed: boolean; readonly reason: string }) {
    this.allowed = allowed;
    this.reason = reason;
  }
}

const ALLOWED = { allowed: true, reason: '' };

function decide(of: UserAuthorizer, attributes: Parameters<Authorizer['authorize']>[1]): Decision {
  return new Decision(of.authorize?.(of.user, attributes) ?? ALLOWED);
}

function serviceAccount(of: UserAuthorizer, namespace: string, name: string): UserAuthorizer {
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
  const user = { username: `system:serviceaccount:${namespace}:${name}`, groups };
  return new UserAuthorizer({ authorize: of.authorize, requestResource: of.requestResource.attributes }, user);
}

/** The value of the variable `authorizer`. */
export function authorizerOf(parts: AuthorizerParts, user: UserInfo): unknown {
  return new UserAuthorizer(parts, user);
}

/** Makes the types of `authorizer` known; the variable itself is for the caller to declare. */
export function registerAuthorizer(env: Environment): void {
  env.registerType('ResourceCheck', { ctor: ResourceCheck as never, fields: {} });
  env.registerType('Authorizer', { ctor: UserAuthorizer as never, fields: { requestResource: 'ResourceCheck' } });
  env.registerType('PathCheck', { ctor: PathCheck as never, fields: {} });
  env.registerType('GroupCheck', { ctor: GroupCheck as never, fields: {} });
  env.registerType('Decision', { ctor: Decision as never, fields: {} });
  const add = (signature: string, handler: (...args: never[]) => unknown): void => {
    env.registerFunction(signature, handler as (...args: unknown[]) => unknown);
  };
  add('Authorizer.path(string): PathCheck', (of: UserAuthorizer, path: string) => new PathCheck(of, path));
  add('Authorizer.group(string): GroupCheck', (of: UserAuthorizer, group: string) => new GroupCheck(of, group));
  add('Authorizer.serviceAccount(string, string): Authorizer', serviceAccount);
  add('PathCheck.check(string): Decision', ({ of, path }: PathCheck, verb: string) => decide(of, { verb, path }));
  add('GroupCheck.resource(string): ResourceCheck', ({ of, group }: GroupCheck, resource: string) => {
    return new ResourceCheck(of, { group, version: '*', resource, subresource: '', namespace: '', name: '' });
  });
  for (const member of ['subresource', 'namespace', 'name'] as const) {
    add(`ResourceCheck.${member}(string): ResourceCheck`, (check: ResourceCheck, value: string) =>
      check.with({ [member]: value }),
    );
  }
  // Selectors narrow what is asked about; no rule of RBAC looks at them.
  for (const selector of ['fieldSelector', 'labelSelector']) {
    add(`ResourceCheck.${selector}(string): ResourceCheck`, (check: ResourceCheck) => check);
  }
  add('ResourceCheck.check(string): Decision', ({ of, attributes }: ResourceCheck, verb: string) =>
    decide(of, { verb, ...attributes }),
  );
  add('Decision.allowed(): bool', ({ allowed }: Decision) => allowed);
  add('Decision.reason(): string', ({ reason }: Decision) => reason);
  add('Decision.errored(): bool', () => false);
  add('Decision.error(): string', () => '');
}
