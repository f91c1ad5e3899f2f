// The status of a CustomResourceDefinition, decided from it and the definitions beside it (upstream's naming and establishing
// controllers).
import type { CustomResourceDefinition, CustomResourceDefinitionCondition } from '../../api/generated/types.ts';
import { sameJson } from '../../api/json.ts';
import { byPriority } from '../discovery/served-groups.ts';

type Status = NonNullable<CustomResourceDefinition['status']>;
type Condition = CustomResourceDefinitionCondition;
type Names = CustomResourceDefinition['spec']['names'];

export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';
const APPROVAL = 'api-approved.kubernetes.io';

/** Groups that belong to Kubernetes itself. */
export const isProtectedGroup = (group: string): boolean => /(^|\.)(k8s|kubernetes)\.io$/.test(group);

/** What the status is to be; undefined: it is so already. `others` are the other definitions of the group. */
export function decideStatus(
  definition: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  now: string,
): Status | undefined {
  const { names, conflict } = acceptedNames(definition, others);
  const accepted = conflict === undefined;
  let conditions: readonly Condition[] = definition.status?.conditions ?? [];
  const set = (condition: Condition): void => {
    conditions = withCondition(conditions, condition, now);
  };
  set(
    accepted
      ? { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' }
      : { type: 'NamesAccepted', status: 'False', ...conflict },
  );
  const established = conditions.some((one) => one.type === 'Established' && one.status === 'True');
  if (accepted && !established) {
    const message = 'the initial names have been accepted';
    set({ type: 'Established', status: 'True', reason: 'InitialNamesAccepted', message });
  } else if (!accepted && !established) {
    set({ type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' });
  }
  for (const condition of approvalConditions(definition)) set(condition);
  const { storedVersions = [] } = definition.status ?? {};
  const status: Status = { conditions, acceptedNames: names, storedVersions };
  const { conditions: c = [], acceptedNames: a } = definition.status ?? {};
  return sameJson(c, conditions) && sameJson(a, names) ? undefined : status;
}

/** A condition set in a list; its time is that of the last change of its status. */
export function withCondition(all: readonly Condition[], condition: Condition, now: string): readonly Condition[] {
  const old = all.find((one) => one.type === condition.type);
  if (!old) return [...all, { ...condition, lastTransitionTime: now }];
  const same = old.status === condition.status;
  const changed = { ...condition, lastTransitionTime: same ? (old.lastTransitionTime ?? now) : now };
  return all.map((one) => (one === old ? changed : one));
}

interface Accepted {
  readonly names: Names;
  readonly conflict: { readonly reason: string; readonly message: string } | undefined;
}

/** Wished names that nobody else in the group has; for the others what was accepted before. */
function acceptedNames(definition: CustomResourceDefinition, others: readonly CustomResourceDefinition[]): Accepted {
  const wished = definition.spec.names;
  const before = definition.status?.acceptedNames;
  const taken = others.flatMap((other) => (other.status?.acceptedNames ? [other.status.acceptedNames] : []));
  const resources = new Set(
    taken.flatMap((n) => [n.plural, n.singular ?? '', ...(n.shortNames ?? [])]).filter(Boolean),
  );
  const kinds = new Set(taken.flatMap((n) => [n.kind, n.listKind ?? '']).filter(Boolean));
  const problems: { reason: string; message: string }[] = [];
  const choose = <T extends string>(
    wish: T | undefined,
    old: T | undefined,
    used: Set<string>,
    reason: string,
  ): T | undefined => {
    if (wish === undefined || !used.has(wish)) return wish;
    problems.push({ reason, message: `${JSON.stringify(wish)} is already in use` });
    return old;
  };
  const plural = choose(wished.plural, before?.plural, resources, 'PluralConflict');
  const singular = choose(wished.singular, before?.singular, resources, 'SingularConflict');
  const clashing = (wished.shortNames ?? []).filter((name) => resources.has(name));
  if (clashing.length > 0) {
    const message = clashing.map((name) => `${JSON.stringify(name)} is already in use`).join(', ');
    problems.push({ reason: 'ShortNamesConflict', message });
  }
  const kind = choose(wished.kind, before?.kind, kinds, 'KindConflict');
  const listKind = choose(wished.listKind, before?.listKind, kinds, 'ListKindConflict');
  const shortNames = clashing.length > 0 ? before?.shortNames : wished.shortNames;
  return {
    names: {
      plural: plural ?? '',
      ...(singular !== undefined && { singular }),
      ...(shortNames && { shortNames }),
      kind: kind ?? '',
      ...(listKind !== undefined && { listKind }),
      ...(wished.categories && { categories: wished.categories }),
    },
    conflict: problems.at(-1),
  };
}

/** Groups of Kubernetes say whether their definitions were approved. */
function approvalConditions(definition: CustomResourceDefinition): Condition[] {
  if (!isProtectedGroup(definition.spec.group)) return [];
  const type = 'KubernetesAPIApprovalPolicyConformant';
  const approval = definition.metadata.annotations?.[APPROVAL] ?? '';
  if (approval.startsWith('unapproved')) {
    const message = `not approved: ${JSON.stringify(approval)}`;
    return [{ type, status: 'False', reason: 'UnapprovedAnnotation', message }];
  }
  if (URL.canParse(approval)) {
    return [{ type, status: 'True', reason: 'ApprovedAnnotation', message: `approved in ${approval}` }];
  }
  const link = 'https://github.com/kubernetes/enhancements/pull/1111';
  const message = `protected groups must have approval annotation ${JSON.stringify(APPROVAL)}, see ${link}`;
  return [{ type, status: 'False', reason: 'MissingAnnotation', message }];
}

/** Whether a definition is served: once established it stays so. */
export function isEstablished(definition: CustomResourceDefinition): boolean {
  return (definition.status?.conditions ?? []).some((one) => one.type === 'Established' && one.status === 'True');
}

/** Versions, best first. */
export function sortedVersions(definition: CustomResourceDefinition): string[] {
  return definition.spec.versions.map((one) => one.name).sort(byPriority);
}
