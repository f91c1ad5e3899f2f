import type { Diagnosis } from './framework.ts';

export const NO_NODES = 'no nodes available to schedule pods';

/** What users read in the FailedScheduling event and in the PodScheduled condition; clients match on these words. */
export function fitError(diagnosis: Diagnosis, postFilterMessage = ''): string {
  let message = `0/${diagnosis.nodeCount} nodes are available:`;
  if (diagnosis.preFilterMessage) message += ` ${diagnosis.preFilterMessage}.`;
  else if (diagnosis.reasons.size > 0) message += ` ${histogram(diagnosis.reasons)}.`;
  if (postFilterMessage) message += ` ${postFilterMessage}`;
  return message;
}

function histogram(reasons: ReadonlyMap<string, number>): string {
  return [...reasons]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort((a, b) => (a < b ? -1 : 1))
    .join(', ');
}
