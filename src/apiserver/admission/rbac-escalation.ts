// Nobody grants what they do not have, unless they may `escalate` or `bind`.
import type { ClusterRole, PolicyRule, RoleBinding } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { forbidden } from '../../machinery/status.ts';
import { RBAC_GROUP } from '../auth/rbac.ts';
import { uncovered } from '../auth/rbac-rules.ts';
import type { UserInfo } from '../contract.ts';
import { sameMeaning } from '../strategies/equality.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionWorld } from './plugin.ts';

/** May the user do `verb` to the role itself: then what it grants does not matter. */
function mayAnyway(
  world: AdmissionWorld,
  verb: string,
  at: { resource: string; namespace: string; name: string },
): boolean {
  const attributes = { verb, group: RBAC_GROUP, version: 'v1', subresource: '', ...at };
  return world.rbac?.authorize(world.ctx.user, attributes).allowed ?? true;
}

function checkGrant(
  world: AdmissionWorld,
  request: AdmissionRequest,
  rules: readonly PolicyRule[],
  object: KubeObject,
): void {
  const namespace = request.target.namespace ?? '';
  const owned = world.rbac?.rulesFor(world.ctx.user, namespace).rules;
  if (!owned) return;
  const missing = uncovered(owned, rules);
  if (missing.length === 0) return;
  const why =
    `${describeUser(world.ctx.user)} is attempting to grant RBAC permissions not currently held:\n` +
    missing.map(describeRule).join('\n');
  throw forbidden(request.row, object.metadata.name, why);
}

const quoted = (list: readonly string[]): string => `[${list.map((s) => JSON.stringify(s)).join(' ')}]`;

function describeUser(user: UserInfo): string {
  return `user ${JSON.stringify(user.username)} (groups=${quoted(user.groups)})`;
}

function describeRule(rule: PolicyRule): string {
  const parts: string[] = [];
  const list = (name: string, values: readonly string[] | undefined): void => {
    if (values?.length) parts.push(`${name}:${quoted(values)}`);
  };
  list('APIGroups', rule.apiGroups);
  list('Resources', rule.resources);
  list('ResourceNames', rule.resourceNames);
  list('NonResourceURLs', rule.nonResourceURLs);
  list('Verbs', rule.verbs);
  return `{${parts.join(', ')}}`;
}

export const roleEscalation: AdmissionPlugin = {
  name: 'RBACEscalation',
  operations: ['CREATE', 'UPDATE'],
  resources: [`roles.${RBAC_GROUP}`, `clusterroles.${RBAC_GROUP}`],
  validate(world, request, object) {
    if (!world.rbac) return;
    const role = object as ClusterRole;
    const old = request.old as ClusterRole | undefined;
    // Ownership and the like may change; what is granted stays.
    if (old && sameMeaning(old.rules, role.rules) && sameMeaning(old.aggregationRule, role.aggregationRule)) return;
    const at = { resource: request.row.resource, namespace: request.target.namespace ?? '', name: role.metadata.name };
    if (mayAnyway(world, 'escalate', at)) return;
    checkGrant(world, request, role.rules ?? [], role);
    if (role.aggregationRule && !sameMeaning(role.aggregationRule, old?.aggregationRule)) {
      // An aggregated role's rules come later and may be any.
      checkGrant(world, request, EVERYTHING, role);
    }
  },
};

const EVERYTHING: readonly PolicyRule[] = [
  { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
  { nonResourceURLs: ['*'], verbs: ['*'] },
];

export const bindingEscalation: AdmissionPlugin = {
  name: 'RBACEscalation',
  operations: ['CREATE', 'UPDATE'],
  resources: [`rolebindings.${RBAC_GROUP}`, `clusterrolebindings.${RBAC_GROUP}`],
  async validate(world, request, object) {
    if (!world.rbac) return;
    const binding = object as RoleBinding;
    const old = request.old as RoleBinding | undefined;
    if (old && sameMeaning(old.subjects, binding.subjects) && sameMeaning(old.roleRef, binding.roleRef)) return;
    const namespace = request.target.namespace ?? '';
    const resource = binding.roleRef.kind === 'Role' ? 'roles' : 'clusterroles';
    if (mayAnyway(world, 'bind', { resource, namespace, name: binding.roleRef.name })) return;
    const where = resource === 'roles' ? namespace : undefined;
    const role = world.get(RBAC_GROUP, resource, where, binding.roleRef.name) as ClusterRole | undefined;
    if (!role) {
      const why = `${resource}.${RBAC_GROUP} ${JSON.stringify(binding.roleRef.name)} not found`;
      throw forbidden(request.row, binding.metadata.name, why);
    }
    checkGrant(world, request, role.rules ?? [], binding);
  },
};
