import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KeyHistory } from '../probes/api.ts';
import type { SeenEvent } from '../probes/watch.ts';
import { checkHistories, checkWatch, newestVersion } from './history.ts';

type Operations = KeyHistory['operations'];

const swap = (call: number, end: number, expected: string, value: string): Operations[number] => ({
  call,
  return: end,
  input: { kind: 'swap', expected, value },
  output: { kind: 'done' },
});
const read = (call: number, end: number, value: string): Operations[number] => ({
  call,
  return: end,
  input: { kind: 'read' },
  output: { kind: 'value', value },
});
const LOST = Number.POSITIVE_INFINITY;

/** Writes a then b are acknowledged, c is not; a watch that shows all of them. */
function history(...more: Operations): ReadonlyMap<string, KeyHistory> {
  return new Map([
    [
      'k',
      {
        initial: 'initial',
        operations: [swap(0, 1, 'initial', 'a'), swap(2, 3, 'a', 'b'), swap(4, LOST, 'b', 'c'), ...more],
        replaced: new Map([
          ['a', 'initial'],
          ['b', 'a'],
          ['c', 'b'],
        ]),
        acknowledged: [
          { value: 'a', resourceVersion: '11' },
          { value: 'b', resourceVersion: '12' },
        ],
      },
    ],
  ]);
}

const event = (resourceVersion: number, value: string, type: SeenEvent['type'] = 'MODIFIED'): SeenEvent => ({
  type,
  name: 'k',
  value,
  resourceVersion: String(resourceVersion),
  atMs: 0,
});

describe('histories of a drill', () => {
  it('hold whether a write without an answer was made or not', () => {
    assert.deepEqual(checkHistories(history(read(9, 10, 'b'))), []);
    assert.deepEqual(checkHistories(history(read(9, 10, 'c'))), []);
  });

  it('do not hold when an acknowledged write is gone, or what was refused is there', () => {
    assert.match(checkHistories(history(read(9, 10, 'a'))).join(), /^k is not linearizable after 2 operations/);
    assert.equal(checkHistories(history(read(9, 10, 'refused'))).length, 1);
    assert.equal(checkHistories(history(read(9, 10, 'c'), read(11, 12, 'b'))).length, 1, 'a read that goes back');
  });

  it('are many operations long, with dozens without an answer', () => {
    const operations: Operations[number][] = [];
    for (let i = 0; i < 400; i++) {
      operations.push(swap(i * 10, i * 10 + 5, String(i), String(i + 1)), read(i * 10 + 3, i * 10 + 8, String(i + 1)));
      // Each rests on what is gone by then: it cannot have been made.
      if (i % 10 === 0) operations.push(swap(i * 10 + 6, LOST, String(i), `${i}x`));
    }
    const empty = { replaced: new Map<string, string>(), acknowledged: [] };
    assert.deepEqual(checkHistories(new Map([['k', { initial: '0', operations, ...empty }]])), []);
  });
});

describe('a watch during a drill', () => {
  const check = (...events: SeenEvent[]): string => checkWatch(history(), events, '10').join();

  it('shows everything once and in order', () => {
    assert.equal(check(event(11, 'a'), event(12, 'b')), '');
    assert.equal(check(event(11, 'a'), event(12, 'b'), event(13, 'c')), '');
  });

  it('skips nothing that was acknowledged, and nothing in between', () => {
    assert.match(check(event(11, 'a')), /b was acknowledged at 12; the watch shows nothing/);
    assert.match(check(event(12, 'b')), /shows b after initial, not after a/);
    assert.match(check(event(11, 'a'), event(13, 'c')), /shows c after a, not after b/);
  });

  it('repeats nothing, goes never back, and shows no other version or value', () => {
    assert.match(check(event(11, 'a'), event(11, 'a'), event(12, 'b')), /shows 11 after 11/);
    assert.match(check(event(12, 'a'), event(11, 'b')), /shows 11 after 12/);
    assert.match(check(event(11, 'a'), event(14, 'b')), /acknowledged at 12; the watch shows 14/);
    assert.match(check(event(11, 'a'), event(12, 'b'), event(13, 'd')), /d, which nobody wrote/);
    assert.match(check(event(11, 'a'), event(12, 'b', 'DELETED')), /it was deleted/);
  });
});

it('the newest version is the greatest number that was acknowledged of any key', () => {
  const acknowledged = ['9', '10'].map((resourceVersion) => ({ value: 'v', resourceVersion }));
  const [[, one]] = [...history()] as [[string, KeyHistory]];
  assert.equal(
    newestVersion(
      new Map([
        ['k', { ...one, acknowledged }],
        ['l', { ...one, acknowledged: [] }],
      ]),
    ),
    '10',
  );
  assert.equal(newestVersion(new Map()), '0');
});
