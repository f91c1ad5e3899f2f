// What a terminating namespace says about itself: upstream's conditions, reasons and messages.
import type { NamespaceCondition } from '../api/generated/types.ts';
import type { NewCondition } from '../machinery/meta.ts';

/** What one round of deletion left of one resource. */
export interface Remainder {
  /** "pods", "deployments.apps". */
  readonly resource: string;
  readonly count: number;
  /** Finalizers on what remains, with how many objects bear each. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export interface DeletionRound {
  readonly discoveryErrors: readonly string[];
  readonly deletionErrors: readonly string[];
  readonly remaining: readonly Remainder[];
}

/** Type, then reason and message while nothing is wrong. */
const CLEAN = [
  ['NamespaceDeletionDiscoveryFailure', 'ResourcesDiscovered', 'All resources successfully discovered'],
  ['NamespaceDeletionGroupVersionParsingFailure', 'ParsedGroupVersions', 'All legacy kube types successfully parsed'],
  [
    'NamespaceDeletionContentFailure',
    'ContentDeleted',
    'All content successfully deleted, may be waiting on finalization',
  ],
  ['NamespaceContentRemaining', 'ContentRemoved', 'All content successfully removed'],
  ['NamespaceFinalizersRemaining', 'ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
] as const;

type ConditionType = (typeof CLEAN)[number][0];

/** All five conditions after a round. */
export function namespaceConditions(round: DeletionRound): NewCondition<NamespaceCondition>[] {
  const wrong = findings(round);
  return CLEAN.map(([type, reason, message]) => {
    const found = wrong.get(type);
    return found ? { type, status: 'True', ...found } : { type, status: 'False', reason, message };
  });
}

function findings(round: DeletionRound): Map<ConditionType, { reason: string; message: string }> {
  const found = new Map<ConditionType, { reason: string; message: string }>();
  const { discoveryErrors, deletionErrors } = round;
  if (discoveryErrors.length > 0) {
    found.set('NamespaceDeletionDiscoveryFailure', {
      reason: 'DiscoveryFailed',
      message: `Discovery failed for some groups, ${discoveryErrors.length} failing: ${discoveryErrors.join(', ')}`,
    });
  }
  if (deletionErrors.length > 0) {
    found.set('NamespaceDeletionContentFailure', {
      reason: 'ContentDeletionFailed',
      message: `Failed to delete all resource types, ${deletionErrors.length} remaining: ${deletionErrors.join(', ')}`,
    });
  }
  const remaining = round.remaining.filter((one) => one.count > 0);
  if (remaining.length > 0) {
    const each = remaining.map((one) => `${one.resource} has ${one.count} resource instances`).sort();
    found.set('NamespaceContentRemaining', {
      reason: 'SomeResourcesRemain',
      message: `Some resources are remaining: ${each.join(', ')}`,
    });
  }
  const finalizers = new Map<string, number>();
  for (const one of remaining) {
    for (const [name, count] of one.finalizers) finalizers.set(name, (finalizers.get(name) ?? 0) + count);
  }
  if (finalizers.size > 0) {
    const each = [...finalizers].map(([name, count]) => `${name} in ${count} resource instances`).sort();
    found.set('NamespaceFinalizersRemaining', {
      reason: 'SomeFinalizersRemain',
      message: `Some content in the namespace has finalizers remaining: ${each.join(', ')}`,
    });
  }
  return found;
}
