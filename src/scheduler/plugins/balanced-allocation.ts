import { CPU, MEMORY } from '../columns.ts';
import { type Cycle, MAX_NODE_SCORE, type NodeScorer, type ScorePlugin } from '../framework.ts';

/** Prefers nodes whose cpu and memory would be used to like shares. */
export const balancedAllocation: ScorePlugin = {
  name: 'NodeResourcesBalancedAllocation',
  preScore: ({ info, columns }: Cycle): NodeScorer | undefined => {
    const milliCpu = info.amounts.get('cpu') ?? 0;
    const bytes = info.amounts.get('memory') ?? 0;
    if (milliCpu === 0 && bytes === 0) return undefined;
    return {
      score: (nodes, count, scores) => {
        const cpu = columns.allocatable[CPU]!;
        const memory = columns.allocatable[MEMORY]!;
        const usedCpu = columns.requested[CPU]!;
        const usedMemory = columns.requested[MEMORY]!;
        for (let i = 0; i < count; i++) {
          const slot = nodes[i]!;
          const apart =
            cpu[slot]! > 0 && memory[slot]! > 0
              ? Math.abs(
                  share(usedCpu[slot]! + milliCpu, cpu[slot]!) - share(usedMemory[slot]! + bytes, memory[slot]!),
                ) / 2
              : 0;
          scores[i] = Math.trunc((1 - apart) * MAX_NODE_SCORE);
        }
      },
    };
  },
};

function share(requested: number, capacity: number): number {
  return Math.min(1, requested / capacity);
}
