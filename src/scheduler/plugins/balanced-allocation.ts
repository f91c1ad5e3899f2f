import { CPU, MEMORY } from '../columns.ts';
import { type Cycle, MAX_NODE_SCORE, type NodeScorer, type ScorePlugin } from '../framework.ts';

/** Prefers nodes whose cpu and memory would be used to like shares. */
export const balancedAllocation: ScorePlugin = {
  name: 'NodeResourcesBalancedAllocation',
  preScore: ({ info, columns }: Cycle): NodeScorer | undefined => {
    const milliCpu = info.amounts.get('cpu') ?? 0;
    const bytes = info.amounts.get('memory') ?? 0;
    if (milliCpu === 0 && bytes === 0) return undefined;
    const balance = (slot: number): number => {
      const cpu = columns.allocatable[CPU]![slot]!;
      const memory = columns.allocatable[MEMORY]![slot]!;
      if (cpu === 0 || memory === 0) return MAX_NODE_SCORE;
      const cpuShare = share(columns.requested[CPU]![slot]! + milliCpu, cpu);
      const memoryShare = share(columns.requested[MEMORY]![slot]! + bytes, memory);
      return Math.trunc((1 - Math.abs(cpuShare - memoryShare) / 2) * MAX_NODE_SCORE);
    };
    return {
      add: ({ nodes, count, totals }, weight) => {
        const known = columns.usage(`balanced ${milliCpu} ${bytes}`).values;
        for (let i = 0; i < count; i++) {
          const slot = nodes[i]!;
          let score = known[slot]!;
          if (score === -1) {
            score = balance(slot);
            known[slot] = score;
          }
          totals[i]! += weight * score;
        }
      },
    };
  },
};

function share(requested: number, capacity: number): number {
  return Math.min(1, requested / capacity);
}
