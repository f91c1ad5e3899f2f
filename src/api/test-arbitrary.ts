// Random objects of the table's types, for property tests.
import fc from 'fast-check';
import type { Node } from './plan.ts';

const SMALL: fc.Arbitrary<number | bigint> = fc.integer({ min: -3, max: 3 });

/** A value that the node takes, sometimes null, sometimes with unknown members. */
function valueFor(node: Node, depth: number, how: Kinds): fc.Arbitrary<unknown> {
  // In a message an empty list is none.
  const least = how.inMessages ? 1 : 0;
  switch (node.shape) {
    case 'struct':
      return structFor(node, depth, how);
    case 'list':
      return fc.array(valueFor(node.element!, depth - 1, how), { minLength: least, maxLength: 2 });
    case 'map':
      return fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), valueFor(node.element!, depth - 1, how), {
        maxKeys: 2,
      });
    case 'bool':
      return fc.boolean();
    case 'int64':
      return how.integers ?? SMALL;
    case 'int32':
    case 'double':
      return SMALL;
    case 'bytes':
      return fc.constantFrom('', 'YQ==');
    case 'time':
    case 'microtime':
      return fc.constantFrom('2024-01-01T00:00:00Z', '2024-01-01T01:00:00.5+01:00');
    case 'duration':
      return fc.constantFrom('90m', '1s');
    case 'quantity':
      return fc.constantFrom('1000m', 1, '0', '1024Ki');
    case 'intorstring':
      return fc.constantFrom(0, 80, '25%');
    case 'fieldsv1':
      return fc.constant({ 'f:a': {} });
    case 'custom':
      if (!how.inMessages) return fc.constant({});
      if (node.element === undefined) return fc.constantFrom<unknown>(true, false, { type: 'string' });
      return fc.constantFrom<unknown>({}, node.element.shape === 'string' ? ['a', 'b'] : [{}, { type: 'string' }]);
    case 'string':
      return fc.constantFrom('', 'a', 'nginx:latest', 'ClientIP', 'RollingUpdate', 'LoadBalancer');
    default:
      return fc.constant({ any: [1, 'x'] });
  }
}

export interface Kinds {
  /** What 64-bit integers are drawn from. */
  readonly integers?: fc.Arbitrary<number | bigint>;
  /** Only members that protobuf messages have too. */
  readonly inMessages?: boolean;
}

/** An object of a type, with members left out or null. */
export function structFor(node: Node, depth: number, how: Kinds = {}): fc.Arbitrary<unknown> {
  if (depth <= 0) return fc.constant({});
  const model: { [name: string]: fc.Arbitrary<unknown> } = {};
  for (const field of node.plan.fields) {
    if (how.inMessages && node.plan.row.fields?.get(field.name)?.number === 0) continue;
    model[field.name] = fc.option(valueFor(field.node, depth - 1, how), { freq: 6 });
  }
  return fc.record(model, { requiredKeys: [] });
}
