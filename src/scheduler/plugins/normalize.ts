import { type Candidates, MAX_NODE_SCORE } from '../framework.ts';

/** Adds raw scores, stretched so that the largest becomes the maximum; reversed, the smallest raw score is the best. */
export function addNormalized({ count, scratch, totals }: Candidates, weight: number, reverse: boolean): void {
  let max = 0;
  for (let i = 0; i < count; i++) if (scratch[i]! > max) max = scratch[i]!;
  for (let i = 0; i < count; i++) {
    const share = max === 0 ? 0 : Math.floor((MAX_NODE_SCORE * scratch[i]!) / max);
    totals[i]! += weight * (reverse ? MAX_NODE_SCORE - share : share);
  }
}
