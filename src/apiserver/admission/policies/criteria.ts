// Which requests a policy, or a binding of one, is for (upstream: policy/matching).
import type { MatchResources } from '../../../api/generated/types.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import { labelSelectorFromObject } from '../../../machinery/selector-parse.ts';
import type { AdmissionRequest, AdmissionWorld } from '../plugin.ts';
import { type Asked, type Criteria, namespaceMatches, selected, versionFor } from '../webhooks/matching.ts';

export interface ResourceCriteria extends Criteria {
  readonly excluded: Criteria['rules'];
}

export function criteriaOf(match: MatchResources): ResourceCriteria {
  return {
    rules: match.resourceRules ?? [],
    excluded: match.excludeResourceRules ?? [],
    equivalent: match.matchPolicy !== 'Exact',
    namespaces: labelSelectorFromObject(match.namespaceSelector ?? {}),
    objects: labelSelectorFromObject(match.objectSelector ?? {}),
  };
}

/** The version in which the rules want a request, selectors of namespaces aside; undefined: not at all. */
export function versionWanted(
  world: AdmissionWorld,
  criteria: ResourceCriteria,
  request: AdmissionRequest,
  { asked, object }: { readonly asked: Asked; readonly object: KubeObject | undefined },
): Resource | undefined {
  const { rules, excluded, equivalent } = criteria;
  // Without rules it is for whatever is asked: a binding adds nothing to what its policy demands.
  const as = rules.length === 0 ? asked.resource : versionFor(world.tables, criteria, asked);
  if (!as || !selected(criteria.objects, request, object)) return undefined;
  const isExcluded = excluded.length > 0 && versionFor(world.tables, { rules: excluded, equivalent }, asked);
  return isExcluded ? undefined : as;
}

export function namespaceWanted(
  world: AdmissionWorld,
  { namespaces }: ResourceCriteria,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<boolean> {
  return namespaceMatches(world, namespaces, request, object);
}
