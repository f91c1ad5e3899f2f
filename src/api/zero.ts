// Values that say nothing: the ones that are left out, and the ones that stand where something must.
import { zeroLeaf } from './leaves.ts';
import type { Node } from './plan.ts';

/** Whether a value is one that omitempty leaves out. */
export function isEmpty(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
      return value === '';
    case 'boolean':
      return !value;
    case 'number':
      return value === 0;
    case 'object':
      if (value === null) return true;
      if (Array.isArray(value)) return value.length === 0;
      for (const _ in value) return false;
      return true;
    default:
      return value === undefined;
  }
}

/** The value that stands for one that was not given, where there must be one. */
export function zeroValue(node: Node): unknown {
  switch (node.shape) {
    case 'struct': {
      const object: { [key: string]: unknown } = {};
      for (const field of node.plan.filled) object[field.name] = zeroValue(field.node);
      return object;
    }
    case 'list':
      return [];
    case 'map':
      return {};
    default:
      return zeroLeaf(node.shape);
  }
}

/** Whether there is a value: neither absent nor null. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
