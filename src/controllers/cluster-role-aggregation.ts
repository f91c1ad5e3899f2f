// ClusterRoles that are put together of others (aggregationRule): gives them the rules of all that their selectors find.
import type { ClusterRole, PolicyRule } from '../api/generated/types.ts';
import { sameJson } from '../api/json.ts';
import { draft } from '../api/object.ts';
import { isTerminating } from '../machinery/meta.ts';
import { labelSelectorFromObject } from '../machinery/selector-parse.ts';
import { isReason } from '../machinery/status.ts';
import { type Controller, watch } from './runtime.ts';

const ROLES = 'clusterroles.rbac.authorization.k8s.io';

export function clusterRoleAggregationController(): Controller {
  return {
    name: 'clusterrole-aggregation-controller',
    watches: ({ informers }) => [
      watch(ROLES, {
        // Which selectors a role fits, or fitted, is for them to say: there are few of them.
        keys: () =>
          informers
            .for(ROLES)
            .list()
            .filter((role) => role.aggregationRule)
            .map((role) => role.metadata.name),
      }),
    ],
    async reconcile({ client, informers }, name, signal) {
      const roles = informers.for(ROLES);
      const role = roles.get(name);
      const rules = role && decideRules(role, roles.list());
      if (!rules) return;
      const changed = { ...draft(role), rules } as ClusterRole;
      await client
        .resource(ROLES)
        .update(changed, { signal })
        .catch((error: unknown) => {
          if (!isReason(error, 'NotFound')) throw error;
        });
    },
  };
}

/** The rules that an aggregated role is to have: those of the others, by their names, each once. undefined: it has them. */
export function decideRules(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] | undefined {
  const selectors = role.aggregationRule?.clusterRoleSelectors?.map((one) => labelSelectorFromObject(one));
  if (!role.aggregationRule || isTerminating(role)) return undefined;
  const rules: PolicyRule[] = [];
  const found = all
    .filter((one) => one.metadata.name !== role.metadata.name)
    .filter((one) => selectors?.some((selector) => selector.matches(one.metadata.labels ?? {})))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const rule of found.flatMap((one) => one.rules ?? [])) {
    if (!rules.some((one) => sameJson(one, rule))) rules.push(rule);
  }
  return sameJson(rules, role.rules ?? []) ? undefined : rules;
}
