// Which FlowSchema a request falls under, and which of its flows it belongs to. By upstream's rules.
import type { FlowSchema, NonResourcePolicyRule, ResourcePolicyRule, Subject } from '../../api/generated/types.ts';
import { serviceAccountUsername } from '../auth/service-account-tokens.ts';
import type { UserInfo } from '../contract.ts';

/** What of a request is looked at. */
export interface Digest {
  readonly isResource: boolean;
  readonly verb: string;
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
}

/** The order in which schemas are tried: by precedence, then by name. */
export function inOrder(schemas: readonly FlowSchema[]): FlowSchema[] {
  const precedence = (schema: FlowSchema): number => schema.spec.matchingPrecedence ?? 1000;
  return schemas.toSorted((a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

export function matches({ spec }: FlowSchema, user: UserInfo, digest: Digest): boolean {
  for (const rule of spec.rules ?? []) {
    if (!rule.subjects.some((subject) => isSubject(subject, user))) continue;
    const applies = digest.isResource
      ? rule.resourceRules?.some((one) => resourceMatches(one, digest))
      : rule.nonResourceRules?.some((one) => pathMatches(one, digest));
    if (applies) return true;
  }
  return false;
}

/** What a schema tells its flows apart by. */
export function distinguisher({ spec }: FlowSchema, user: UserInfo, digest: Digest): string {
  switch (spec.distinguisherMethod?.type) {
    case 'ByUser':
      return user.username;
    case 'ByNamespace':
      return digest.namespace;
    default:
      return '';
  }
}

function isSubject(subject: Subject, { username, groups }: UserInfo): boolean {
  const { user, group, serviceAccount } = subject;
  switch (subject.kind) {
    case 'User':
      return user !== undefined && (user.name === '*' || user.name === username);
    case 'Group':
      return group !== undefined && (group.name === '*' || groups.includes(group.name));
    case 'ServiceAccount': {
      if (!serviceAccount || !username.startsWith(SERVICE_ACCOUNT)) return false;
      const { namespace, name } = serviceAccount;
      if (name === '*') return username.startsWith(serviceAccountUsername(namespace, ''));
      return username === serviceAccountUsername(namespace, name);
    }
    default:
      return false;
  }
}

const SERVICE_ACCOUNT = 'system:serviceaccount:';

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list[0] === '*' || list.includes(value));

function resourceMatches(rule: ResourcePolicyRule, digest: Digest): boolean {
  const { verb, group, resource, subresource, namespace } = digest;
  if (!has(rule.verbs, verb) || !has(rule.apiGroups, group)) return false;
  if (!has(rule.resources, subresource === '' ? resource : `${resource}/${subresource}`)) return false;
  return namespace === '' ? rule.clusterScope === true : has(rule.namespaces, namespace);
}

function pathMatches(rule: NonResourcePolicyRule, { verb, path }: Digest): boolean {
  if (!has(rule.verbs, verb)) return false;
  return rule.nonResourceURLs.some((url) => {
    if (url === '*' || url === path) return true;
    const prefix = url.endsWith('*') ? url.slice(0, -1) : url;
    return path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
  });
}
