// Role-based access control over the caches of roles and bindings. Roles are read from the caches at each decision;
// bindings are indexed by subject, kept up to date by a watch on each cache.
import type { PolicyRule, RoleBinding, SubjectRbacV1 } from '../../api/generated/types.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import type { Attributes, Authorizer, CachedObject, CacheSet, ResourceCache, UserInfo } from '../contract.ts';
import { ruleAllows } from './rbac-rules.ts';
import { serviceAccountUsername } from './service-account-tokens.ts';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';
export const PRIVILEGED_GROUP = 'system:masters';

export interface Decision {
  readonly allowed: boolean;
  /** Why it is allowed, as a review shows it; empty for a denial. */
  readonly why: string;
}

export interface UserRules {
  readonly rules: readonly PolicyRule[];
  /** Set when a role that a binding names does not exist. */
  readonly problem?: string;
}

/** An authorizer that can also say why, and what a user may do at all. */
export interface RbacAuthorizer extends Authorizer {
  decide(user: UserInfo, attributes: Attributes): Decision;
  /** Every rule that applies to the user in a namespace ("": cluster-wide ones only). */
  rulesFor(user: UserInfo, namespace: string): UserRules;
}

/** `User "x" cannot list resource "pods" in API group "" in the namespace "default"`. */
export function denial(user: UserInfo, attributes: Attributes): string {
  const who = `User ${JSON.stringify(user.username)} cannot ${attributes.verb}`;
  if ('path' in attributes) return `${who} path ${JSON.stringify(attributes.path)}`;
  const { group, resource, subresource, namespace } = attributes;
  const what = JSON.stringify(subresource === '' ? resource : `${resource}/${subresource}`);
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return `${who} resource ${what} in API group ${JSON.stringify(group)} ${where}`;
}

const DENIED: Decision = { allowed: false, why: '' };

/** Allows everything to everyone who got in. */
export const alwaysAllow: RbacAuthorizer = {
  decide: () => ({ allowed: true, why: '' }),
  authorize: () => ({ allowed: true, reason: '' }),
  rulesFor: () => ({ rules: EVERYTHING }),
};

const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** RBAC as of the caches; system:masters may do everything. Follows the caches until the signal aborts. */
export function rbacAuthorizer(caches: CacheSet, tables: Tables, signal: AbortSignal): RbacAuthorizer {
  const cacheOf = (resource: string): ResourceCache => caches.for(rbacResource(tables, resource));
  const clusterBindings = new BindingIndex();
  const bindings = new BindingIndex();
  clusterBindings.follow(cacheOf('clusterrolebindings'), signal);
  bindings.follow(cacheOf('rolebindings'), signal);
  return new Rbac({ roles: cacheOf('roles'), clusterRoles: cacheOf('clusterroles'), clusterBindings, bindings });
}

function rbacResource(tables: Tables, name: string): Resource {
  const row = tables.preferred(RBAC_GROUP, name);
  invariant(row, `no resource ${name} in ${RBAC_GROUP}`);
  return row;
}

interface Sources {
  readonly roles: ResourceCache;
  readonly clusterRoles: ResourceCache;
  readonly clusterBindings: BindingIndex;
  readonly bindings: BindingIndex;
}

/** Called with each applying rule set and the binding behind it; true ends the search. */
type Visit = (rules: readonly PolicyRule[], entry: Entry) => boolean;

class Rbac implements RbacAuthorizer {
  readonly #sources: Sources;

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  authorize(user: UserInfo, attributes: Attributes): { allowed: boolean; reason: string } {
    const { allowed, why } = this.decide(user, attributes);
    return { allowed, reason: allowed ? why : denial(user, attributes) };
  }

  decide(user: UserInfo, attributes: Attributes): Decision {
    if (user.groups.includes(PRIVILEGED_GROUP)) return { allowed: true, why: '' };
    const namespace = 'path' in attributes ? '' : attributes.namespace;
    let by: Entry | undefined;
    this.#visit(user, namespace, (rules, entry) => {
      if (!rules.some((rule) => ruleAllows(rule, attributes))) return false;
      by = entry;
      return true;
    });
    return by ? { allowed: true, why: by.why } : DENIED;
  }

  rulesFor(user: UserInfo, namespace: string): UserRules {
    if (user.groups.includes(PRIVILEGED_GROUP)) return { rules: EVERYTHING };
    const all: PolicyRule[] = [];
    const problems = this.#visit(user, namespace, (rules) => {
      all.push(...rules);
      return false;
    });
    return problems.length === 0 ? { rules: all } : { rules: all, problem: problems.join(', ') };
  }

  /** Visits cluster-wide bindings first, then those of the namespace. Returns the roles that are missing. */
  #visit(user: UserInfo, namespace: string, visit: Visit): string[] {
    const problems: string[] = [];
    const { clusterBindings, bindings } = this.#sources;
    const subjects = subjectsOf(user);
    for (const subject of subjects) {
      for (const entry of clusterBindings.of('', subject))
        if (this.#visitEntry(entry, visit, problems)) return problems;
    }
    if (namespace === '') return problems;
    for (const subject of subjects) {
      for (const entry of bindings.of(namespace, subject))
        if (this.#visitEntry(entry, visit, problems)) return problems;
    }
    return problems;
  }

  #visitEntry(entry: Entry, visit: Visit, problems: string[]): boolean {
    const { roleRef, metadata } = entry.binding;
    const role =
      roleRef.kind === 'Role'
        ? this.#sources.roles.get(metadata.namespace, roleRef.name)
        : this.#sources.clusterRoles.get(undefined, roleRef.name);
    if (role) return visit((role.object as { rules?: readonly PolicyRule[] }).rules ?? [], entry);
    problems.push(`${roleRef.kind.toLowerCase()}.${RBAC_GROUP} ${JSON.stringify(roleRef.name)} not found`);
    return false;
  }
}

const userKey = (name: string): string => `u:${name}`;
const groupKey = (name: string): string => `g:${name}`;

const subjectsKnown = new WeakMap<UserInfo, readonly string[]>();

/** What bindings may name a user by; users of connections ask again and again. */
function subjectsOf(user: UserInfo): readonly string[] {
  let subjects = subjectsKnown.get(user);
  if (!subjects) {
    subjects = [userKey(user.username), ...user.groups.map(groupKey)];
    subjectsKnown.set(user, subjects);
  }
  return subjects;
}

function subjectKey(subject: SubjectRbacV1, bindingNamespace: string | undefined): string | undefined {
  if (subject.kind === 'User') return userKey(subject.name);
  if (subject.kind === 'Group') return groupKey(subject.name);
  const namespace = subject.namespace ?? bindingNamespace;
  return namespace === undefined ? undefined : userKey(serviceAccountUsername(namespace, subject.name));
}

function describe({ binding, subject }: Entry): string {
  const { metadata, roleRef } = binding;
  const quoted = (name: string, namespace: string | undefined): string =>
    JSON.stringify(namespace ? `${name}/${namespace}` : name);
  const kind = metadata.namespace ? 'RoleBinding' : 'ClusterRoleBinding';
  const to =
    subject.kind === 'ServiceAccount'
      ? `ServiceAccount ${quoted(subject.name, subject.namespace)}`
      : `${subject.kind} ${JSON.stringify(subject.name)}`;
  return `${kind} ${quoted(metadata.name, metadata.namespace)} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${to}`;
}

/** A subject that a binding names. */
class Entry {
  readonly binding: RoleBinding;
  readonly subject: SubjectRbacV1;
  #why: string | undefined;

  constructor(binding: RoleBinding, subject: SubjectRbacV1) {
    this.binding = binding;
    this.subject = subject;
  }

  /** What a review says of a request that this allows. */
  get why(): string {
    this.#why ??= `RBAC: allowed by ${describe(this)}`;
    return this.#why;
  }
}

const NOBODY: ReadonlyMap<string, Entry> = new Map();

/** Bindings by namespace and subject. A subject that a binding names twice counts once. */
class BindingIndex {
  readonly #namespaces = new Map<string, Map<string, Map<string, Entry>>>();

  of(namespace: string, subject: string): Iterable<Entry> {
    return (this.#namespaces.get(namespace)?.get(subject) ?? NOBODY).values();
  }

  /** Shows the cache's bindings from now on, also across a broken watch. */
  follow(cache: ResourceCache, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#namespaces.clear();
    const after = cache.revision;
    for (const item of cache.list({}).items) this.#add(item);
    cache.watch({
      filter: {},
      after,
      signal,
      deliver: (batch) => {
        for (const delivery of batch) {
          if (delivery.type === 'BOOKMARK') continue;
          this.#remove(delivery.object.key);
          if (delivery.type !== 'DELETED') this.#add(delivery.object);
        }
      },
      end: () => this.follow(cache, signal),
    });
  }

  readonly #placesOf = new Map<string, readonly { readonly namespace: string; readonly subject: string }[]>();

  #add(item: CachedObject): void {
    const binding = item.object as unknown as RoleBinding;
    const { namespace } = binding.metadata;
    const places = [];
    const subjects = this.#namespaces.get(namespace ?? '') ?? new Map<string, Map<string, Entry>>();
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, namespace);
      if (key === undefined) continue;
      const entries = subjects.get(key) ?? new Map<string, Entry>();
      subjects.set(key, entries.set(item.key, new Entry(binding, subject)));
      places.push({ namespace: namespace ?? '', subject: key });
    }
    if (subjects.size > 0) this.#namespaces.set(namespace ?? '', subjects);
    this.#placesOf.set(item.key, places);
  }

  #remove(key: string): void {
    for (const { namespace, subject } of this.#placesOf.get(key) ?? []) {
      const subjects = this.#namespaces.get(namespace);
      const entries = subjects?.get(subject);
      entries?.delete(key);
      if (entries?.size === 0) subjects?.delete(subject);
      if (subjects?.size === 0) this.#namespaces.delete(namespace);
    }
    this.#placesOf.delete(key);
  }
}
