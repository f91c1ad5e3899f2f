import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkLinearizable, type Operation } from './linearizability.ts';
import { type RegisterInput, type RegisterOutput, register, type Value } from './register.ts';

type Op = Operation<RegisterInput, RegisterOutput>;

const NEVER = Number.POSITIVE_INFINITY;
const write = (call: number, end: number, value: string): Op => ({
  call,
  return: end,
  input: { kind: 'write', value },
  output: { kind: 'done' },
});
const read = (call: number, end: number, value: Value): Op => ({
  call,
  return: end,
  input: { kind: 'read' },
  output: { kind: 'value', value },
});
const swap = (
  call: number,
  end: number,
  expected: Value,
  value: string,
  output: RegisterOutput['kind'] = 'done',
): Op => ({
  call,
  return: end,
  input: { kind: 'swap', expected, value },
  output: { kind: output } as RegisterOutput,
});
const verdict = (...operations: Op[]): unknown => checkLinearizable(register, operations).linearizable;

test('histories that are linearizable', () => {
  assert.equal(verdict(), true);
  assert.equal(verdict(read(0, 1, undefined), write(2, 3, 'a'), read(4, 5, 'a')), true);
  assert.equal(
    verdict(write(0, 10, 'a'), read(1, 2, 'a'), read(3, 4, 'a')),
    true,
    'a write may be seen before it returns',
  );
  assert.equal(verdict(write(0, 10, 'a'), read(1, 2, undefined), read(3, 4, 'a')), true);
  assert.equal(
    verdict(write(0, NEVER, 'a'), read(1, 2, undefined), read(9, 10, 'a')),
    true,
    'an unknown write may come late',
  );
  assert.equal(verdict(write(0, NEVER, 'a'), read(9, 10, undefined)), true, 'or never');
  assert.equal(
    verdict(write(0, 1, 'a'), swap(2, 5, 'a', 'b'), swap(2, 5, 'a', 'c', 'conflict'), read(6, 7, 'b')),
    true,
  );
  assert.equal(verdict(write(0, 1, 'a'), swap(2, NEVER, 'a', 'b'), read(3, 4, 'b'), swap(5, 6, 'b', 'c')), true);
});

test('histories that are not', () => {
  assert.equal(verdict(write(0, 1, 'a'), read(2, 3, undefined)), false, 'a stale read');
  assert.equal(verdict(write(0, 1, 'a'), write(2, 3, 'b'), read(4, 5, 'a')), false, 'a write that was undone');
  assert.equal(verdict(write(0, 10, 'a'), read(1, 2, 'a'), read(3, 4, undefined)), false, 'reads that go back');
  assert.equal(verdict(write(0, NEVER, 'a'), read(1, 2, 'a'), read(3, 4, undefined)), false);
  assert.equal(
    verdict(write(0, 1, 'a'), swap(2, 5, 'a', 'b'), swap(2, 5, 'a', 'c')),
    false,
    'two swaps of the same value',
  );
  assert.equal(verdict(read(0, 1, 'a')), false, 'a value that nobody wrote');
  const found = checkLinearizable(register, [write(0, 1, 'a'), write(2, 3, 'b'), read(4, 5, 'a'), read(4, 6, 'b')]);
  assert.ok(found.linearizable === false && found.ordered === 3 && found.stuck.length === 1);
});

test('a search that grows too large is given up, not decided', () => {
  const many = Array.from({ length: 24 }, (_, i) => write(0, 1, String(i)));
  assert.equal(checkLinearizable(register, [...many, read(2, 3, 'none')], 10_000).linearizable, 'unknown');
});

/** Tries every order. */
function naive(operations: readonly Op[], state: Value = undefined): boolean {
  if (operations.every((one) => one.return === NEVER)) return true;
  const horizon = Math.min(...operations.map((one) => one.return));
  return operations.some((one, i) => {
    if (one.call > horizon) return false;
    const rest = operations.toSpliced(i, 1);
    const known = one.return !== NEVER;
    return register.step(state, one.input, one.output, known).some((next) => naive(rest, next));
  });
}

test('it decides as trying every order does', () => {
  const values = fc.constantFrom('a', 'b', 'c');
  const maybe = fc.option(values, { nil: undefined });
  const operation = fc
    .record({
      call: fc.nat(12),
      length: fc.nat(6),
      lost: fc.boolean(),
      kind: fc.nat(2),
      value: values,
      old: maybe,
      fails: fc.boolean(),
    })
    .map(({ call, length, lost, kind, value, old, fails }): Op => {
      const end = lost && kind > 0 ? NEVER : call + length;
      if (kind === 0) return read(call, end, old);
      return kind === 1 ? write(call, end, value) : swap(call, end, old, value, fails ? 'conflict' : 'done');
    });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 7 }), (operations) => {
      assert.equal(checkLinearizable(register, operations).linearizable, naive(operations));
    }),
    { numRuns: 2000 },
  );
});

test('what a register really did is linearizable, however its operations overlapped', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(20), fc.nat(20), fc.boolean()), { maxLength: 60 }), (steps) => {
      let state: Value;
      const history = steps.map(([kind, before, after, lost], i): Op => {
        const at = i * 10 + 20;
        const expected = kind === 2 ? state : 'never';
        const input: RegisterInput =
          kind === 0
            ? { kind: 'read' }
            : kind === 1
              ? { kind: 'write', value: `${i}` }
              : { kind: 'swap', expected, value: `${i}` };
        const old = state;
        const fits = input.kind === 'write' || (input.kind === 'swap' && input.expected === state);
        if (fits) state = `${i}`;
        const output: RegisterOutput =
          kind === 0 ? { kind: 'value', value: old } : fits ? { kind: 'done' } : { kind: 'conflict' };
        return { call: at - before, return: lost && kind > 0 ? NEVER : at + after, input, output };
      });
      assert.equal(checkLinearizable(register, history).linearizable, true);
    }),
  );
});
