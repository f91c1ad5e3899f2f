// What is to be audited of which request (audit.k8s.io/v1 Policy). Pure.
import { isJsonObject } from '../../api/json.ts';
import type { UserInfo } from '../contract.ts';
import type { RequestInfo } from '../http/request-info.ts';

const LEVELS = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
const STAGES = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;

export type Level = (typeof LEVELS)[number];
export type Stage = (typeof STAGES)[number];

export interface GroupResources {
  readonly group?: string;
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}

export interface AuditRule {
  readonly level: Level;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly GroupResources[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly Stage[];
  readonly omitManagedFields?: boolean;
}

export interface AuditPolicy {
  readonly rules: readonly AuditRule[];
  readonly omitStages?: readonly Stage[];
  readonly omitManagedFields?: boolean;
}

/** What the first rule that fits a request wants of it. */
export interface Wanted {
  readonly level: Level;
  readonly omitStages: ReadonlySet<Stage>;
  readonly omitManagedFields: boolean;
}

/** A policy as it was written. Throws an Error that says what is wrong with it. */
export function readAuditPolicy(value: unknown): AuditPolicy {
  const policy = isJsonObject(value) ? value : {};
  if (policy.apiVersion !== 'audit.k8s.io/v1' || policy.kind !== 'Policy') {
    throw new Error('an audit policy must be a Policy of audit.k8s.io/v1');
  }
  const { rules } = policy as unknown as AuditPolicy;
  if (!Array.isArray(rules) || rules.length === 0) throw new Error('loaded illegal policy with 0 rules');
  checkStages('omitStages', policy.omitStages);
  for (const [i, rule] of rules.entries()) checkRule(rule, `rules[${i}]`);
  return policy as unknown as AuditPolicy;
}

const MATCHED = ['users', 'userGroups', 'verbs', 'namespaces', 'nonResourceURLs'] as const;

function checkRule(rule: unknown, at: string): void {
  if (!isJsonObject(rule)) throw new Error(`${at} must be an object`);
  if (!LEVELS.includes(rule.level as Level)) {
    throw new Error(
      `${at}.level: Unsupported value: ${JSON.stringify(rule.level)}: supported values: ${LEVELS.join(', ')}`,
    );
  }
  for (const member of MATCHED) checkTexts(`${at}.${member}`, rule[member]);
  const { resources = [], namespaces = [], nonResourceURLs = [] } = rule as unknown as AuditRule;
  if (!Array.isArray(resources)) throw new Error(`${at}.resources must be a list`);
  for (const [i, one] of resources.entries()) {
    checkTexts(`${at}.resources[${i}].resources`, one?.resources);
    checkTexts(`${at}.resources[${i}].resourceNames`, one?.resourceNames);
  }
  if (nonResourceURLs.length > 0 && resources.length + namespaces.length > 0) {
    throw new Error(`${at}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs`);
  }
  for (const [i, url] of nonResourceURLs.entries()) {
    const path = `${at}.nonResourceURLs[${i}]`;
    if (url !== '*' && !url.startsWith('/'))
      throw new Error(`${path}: non-resource URL rules must begin with a '/' character`);
    if (url.slice(0, -1).includes('*'))
      throw new Error(`${path}: non-resource URL wildcards '*' must be the final character of the rule`);
  }
  checkStages(`${at}.omitStages`, rule.omitStages);
}

function checkTexts(at: string, value: unknown): void {
  const isList = Array.isArray(value) && value.every((one) => typeof one === 'string');
  if (value !== undefined && !isList) throw new Error(`${at} must be a list of strings`);
}

function checkStages(at: string, value: unknown): void {
  checkTexts(at, value);
  for (const [i, stage] of ((value ?? []) as Stage[]).entries()) {
    if (!STAGES.includes(stage))
      throw new Error(`${at}[${i}]: Invalid value: ${JSON.stringify(stage)}: allowed stages are ${STAGES.join(',')}`);
  }
}

/** Without a rule that fits nothing is audited. */
export function wantedOf(policy: AuditPolicy, info: RequestInfo, user: UserInfo | undefined): Wanted {
  const rule = policy.rules.find((one) => fits(one, info, user));
  return {
    level: rule?.level ?? 'None',
    omitStages: new Set([...(policy.omitStages ?? []), ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields ?? false,
  };
}

const names = (list: readonly string[] | undefined): list is readonly string[] => list !== undefined && list.length > 0;

function fits(rule: AuditRule, info: RequestInfo, user: UserInfo | undefined): boolean {
  if (names(rule.users) && !(user && rule.users.includes(user.username))) return false;
  if (names(rule.userGroups) && !user?.groups.some((group) => rule.userGroups!.includes(group))) return false;
  if (names(rule.verbs) && !rule.verbs.includes(info.verb)) return false;
  if (names(rule.namespaces) || (rule.resources ?? []).length > 0) return fitsResource(rule, info);
  if (names(rule.nonResourceURLs))
    return !info.isResource && rule.nonResourceURLs.some((url) => fitsUrl(url, info.path));
  return true;
}

/** A namespace "" is for what has none. */
function fitsResource({ namespaces, resources = [] }: AuditRule, info: RequestInfo): boolean {
  if (!info.isResource) return false;
  if (names(namespaces) && !namespaces.includes(info.namespace)) return false;
  if (resources.length === 0) return true;
  return resources.some((one) => {
    if ((one.group ?? '') !== info.group) return false;
    if (!names(one.resources)) return true;
    if (names(one.resourceNames) && !one.resourceNames.includes(info.name)) return false;
    return one.resources.some((pattern) => fitsName(pattern, info));
  });
}

// A name of a rule: "pods" (without its subresources), "pods/log", a resource and all below it with /*, a subresource of all with */, or "*".
function fitsName(pattern: string, { resource, subresource }: RequestInfo): boolean {
  if (pattern === '*' || pattern === (subresource === '' ? resource : `${resource}/${subresource}`)) return true;
  return pattern === `${resource}/*` || (subresource !== '' && pattern === `*/${subresource}`);
}

function fitsUrl(url: string, path: string): boolean {
  return url.endsWith('*') ? path.startsWith(url.slice(0, -1)) : url === path;
}
