import { MAX_NODE_SCORE } from '../framework.ts';

/** Stretches scores so that the largest becomes the maximum; reversed, the smallest raw score is the best. */
export function normalize(scores: Float64Array, count: number, reverse: boolean): void {
  let max = 0;
  for (let i = 0; i < count; i++) if (scores[i]! > max) max = scores[i]!;
  for (let i = 0; i < count; i++) {
    const share = max === 0 ? 0 : Math.floor((MAX_NODE_SCORE * scores[i]!) / max);
    scores[i] = reverse ? MAX_NODE_SCORE - share : share;
  }
}
