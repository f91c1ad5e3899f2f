import type { Node } from '../api/generated/types.ts';
import { isConditionTrue } from '../machinery/meta.ts';

export interface NodeStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly reason: string;
}

export function nodeStatus(node: Node): NodeStatus {
  const condition = node.status?.conditions?.find((c) => c.type === 'Ready');
  return {
    name: node.metadata.name,
    ready: isConditionTrue(node.status?.conditions, 'Ready'),
    reason: condition?.message ?? condition?.reason ?? 'it has not reported yet',
  };
}
