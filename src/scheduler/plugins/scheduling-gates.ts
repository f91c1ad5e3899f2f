import type { PreEnqueuePlugin } from '../framework.ts';

/** Pods with scheduling gates wait outside of every queue (KEP-3521). */
export const schedulingGates: PreEnqueuePlugin = {
  name: 'SchedulingGates',
  preEnqueue: ({ pod }) => {
    const gates = pod.spec.schedulingGates ?? [];
    if (gates.length === 0) return undefined;
    return `waiting for scheduling gates: [${gates.map((gate) => gate.name).join(' ')}]`;
  },
};
