// Completion indexes of Indexed Jobs, and sets of them as text: "1,3-5,7" (batch/v1 JobStatus.completedIndexes). Pure.
import type { Pod } from '../api/generated/types.ts';

export const COMPLETION_INDEX = 'batch.kubernetes.io/job-completion-index';

export function completionIndex(pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[COMPLETION_INDEX];
  return text !== undefined && /^(0|[1-9][0-9]*)$/.test(text) ? Number(text) : undefined;
}

/** The indexes below `limit` that the text names; what cannot be read is left out. */
export function parseIndexes(text: string | undefined, limit: number): Set<number> {
  const found = new Set<number>();
  for (const part of (text ?? '').split(',')) {
    const match = /^([0-9]+)(?:-([0-9]+))?$/.exec(part.trim());
    if (!match) continue;
    const last = Math.min(Number(match[2] ?? match[1]), limit - 1);
    for (let index = Number(match[1]); last >= index; index++) found.add(index);
  }
  return found;
}

/** Ascending; three and more in a row are written as a range. */
export function formatIndexes(indexes: Iterable<number>): string {
  const ordered = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let from = 0; from < ordered.length; ) {
    let to = from;
    while (ordered[to + 1] === ordered[to]! + 1) to++;
    const [first, last] = [ordered[from]!, ordered[to]!];
    if (last === first) parts.push(`${first}`);
    else parts.push(`${first}${last - first > 1 ? '-' : ','}${last}`);
    from = to + 1;
  }
  return parts.join(',');
}
