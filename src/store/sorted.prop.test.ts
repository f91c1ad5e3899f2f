import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SortedEntries } from './sorted.ts';

const key = fc.oneof(
  fc.integer({ min: 0, max: 3_000 }).map((n) => `/k/${n}`),
  fc.constantFrom('/k/\u{1f600}', '/k/ａ', '/', '/k', '/l'),
);

test('ranges and counts are those of a sorted array', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ key, remove: fc.boolean() }), { maxLength: 1_500, size: 'max' }),
      key,
      (steps, after) => {
        const sorted = new SortedEntries<{ key: string }>();
        const naive = new Set<string>();
        for (const step of steps) {
          if (step.remove) assert.equal(sorted.remove(step.key), naive.delete(step.key));
          else if (!naive.has(step.key)) {
            sorted.add({ key: step.key });
            naive.add(step.key);
          }
        }
        assert.equal(sorted.size, naive.size);
        const order = [...naive].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        for (const prefix of ['', '/k/', '/k/1', '/k/2999', '/k/ａ', '/z', after]) {
          for (const from of [undefined, after]) {
            const wanted = order.filter(
              (k) =>
                k.startsWith(prefix) && (from === undefined || Buffer.compare(Buffer.from(k), Buffer.from(from)) > 0),
            );
            assert.deepEqual(
              [...sorted.range(prefix, from)].map((e) => e.key),
              wanted,
            );
            assert.equal(sorted.count(prefix, from), wanted.length);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});
