import type { QueueOrder, QueueSortPlugin } from '../framework.ts';

/** Higher priority first, then who came first. */
export const prioritySort: QueueSortPlugin = {
  name: 'PrioritySort',
  compare: (a: QueueOrder, b: QueueOrder) => b.info.priority - a.info.priority || a.enteredAtMs - b.enteredAtMs,
};
