// When a policy rule allows something, and when rules cover other rules. Pure.
import type { PolicyRule } from '../../api/generated/types.ts';
import type { Attributes } from '../contract.ts';

/** True when `rule` allows what `attributes` ask. */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!matches(rule.verbs, attributes.verb)) return false;
  if ('path' in attributes) return pathMatches(rule.nonResourceURLs, attributes.path);
  return (
    matches(rule.apiGroups, attributes.group) &&
    resourceMatches(rule.resources, attributes.resource, attributes.subresource) &&
    nameMatches(rule.resourceNames, attributes.name)
  );
}

function matches(allowed: readonly string[] | undefined, wanted: string): boolean {
  return allowed?.some((one) => one === '*' || one === wanted) ?? false;
}

function nameMatches(allowed: readonly string[] | undefined, name: string): boolean {
  return allowed === undefined || allowed.length === 0 || allowed.includes(name);
}

function resourceMatches(allowed: readonly string[] | undefined, resource: string, subresource: string): boolean {
  if (!allowed) return false;
  const wanted = subresource === '' ? resource : `${resource}/${subresource}`;
  const anyParent = subresource === '' ? undefined : `*/${subresource}`;
  return allowed.some((one) => one === '*' || one === wanted || one === anyParent);
}

function pathMatches(allowed: readonly string[] | undefined, path: string): boolean {
  return (
    allowed?.some((one) => one === '*' || one === path || (one.endsWith('*') && path.startsWith(one.slice(0, -1)))) ??
    false
  );
}

/** The parts of `wanted`, one verb and resource each, that no rule of `owned` covers: granting them would escalate. */
export function uncovered(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakDown).filter((part) => !owned.some((rule) => covers(rule, part)));
}

function covers(owned: PolicyRule, part: PolicyRule): boolean {
  if (!matches(owned.verbs, part.verbs[0]!)) return false;
  const path = part.nonResourceURLs?.[0];
  if (path !== undefined) return pathMatches(owned.nonResourceURLs, path);
  const [resource = '', subresource = ''] = part.resources![0]!.split('/');
  const name = part.resourceNames?.[0];
  const anyName = owned.resourceNames === undefined || owned.resourceNames.length === 0;
  return (
    matches(owned.apiGroups, part.apiGroups![0]!) &&
    resourceMatches(owned.resources, resource, subresource) &&
    (anyName || (name !== undefined && owned.resourceNames.includes(name)))
  );
}

function breakDown(rule: PolicyRule): PolicyRule[] {
  const parts: PolicyRule[] = [];
  const names = rule.resourceNames?.length ? rule.resourceNames.map((name) => [name]) : [undefined];
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? []) parts.push({ verbs: [verb], nonResourceURLs: [url] });
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        for (const name of names) {
          parts.push({
            verbs: [verb],
            apiGroups: [group],
            resources: [resource],
            ...(name && { resourceNames: name }),
          });
        }
      }
    }
  }
  return parts;
}
