import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import type { CachedObject, WatchDelivery } from '../contract.ts';
import { PLAIN_JSON } from './media.ts';
import { WatchPace } from './watch-pace.ts';
import { watchStream } from './watch-stream.ts';

test('all that wait are flushed together, within the pace, and once', async () => {
  const clock = new FakeClock(0);
  const pace = new WatchPace(clock, 10);
  const flushed: string[] = [];
  pace.wait(() => flushed.push('first'));
  await clock.advance(6);
  pace.wait(() => flushed.push('second'));
  await clock.advance(3);
  assert.equal(flushed.join(), '');
  await clock.advance(1);
  assert.equal(flushed.join(), 'first,second');
  pace.wait(() => flushed.push('third'));
  await clock.advance(10);
  assert.equal(flushed.join(), 'first,second,third');
});

test('the more clients wait at once the longer they do, up to a limit, and no longer than that lasts', async () => {
  const clock = new FakeClock(0);
  const pace = new WatchPace(clock, 10);
  const round = async (clients: number): Promise<number> => {
    let flushed = 0;
    for (let i = 0; i < clients; i++) pace.wait(() => flushed++);
    let ms = 0;
    for (; flushed === 0; ms++) await clock.advance(1);
    assert.equal(flushed, clients);
    return ms;
  };
  assert.deepEqual([await round(200), await round(200)], [10, 20]);
  assert.deepEqual([await round(5000), await round(5000)], [20, 30]);
  assert.deepEqual([await round(1), await round(1)], [30, 10]);
  const none = new WatchPace(clock, 0);
  for (let i = 0; i < 500; i++) none.wait(() => undefined);
  await clock.advance(1);
  assert.equal(none.ms, 0);
});

const resource = new Tables().resource('', 'v1', 'configmaps')!;

function change(n: number): WatchDelivery {
  return {
    type: 'MODIFIED',
    object: { bytes: Buffer.from(`{"n":${n}}`) } as CachedObject,
    revision: BigInt(n) as never,
  };
}

function recorded(clock: FakeClock) {
  const writes: Buffer[] = [];
  const stream = watchStream({
    sink: {
      write: (chunk) => writes.push(chunk) > 0,
      buffered: 0,
      drained: () => Promise.resolve(),
      end: () => void writes.push(Buffer.from('end')),
      destroy: () => undefined,
    },
    accepted: PLAIN_JSON,
    table: { printer: {} as never, resource, accepted: PLAIN_JSON, include: 'None' },
    pace: new WatchPace(clock, 10),
    sent: () => undefined,
    ended: () => undefined,
  });
  const numbers = (): string[] =>
    writes.map(
      (write) =>
        String(write)
          .match(/\d+|end/g)
          ?.join('+') ?? '',
    );
  return { stream, numbers };
}

test('a first event goes out at once, those after it together, and an end sends what waits first', async () => {
  const clock = new FakeClock(0);
  const { stream, numbers } = recorded(clock);
  stream.deliver([change(1)]);
  assert.deepEqual(numbers(), ['1']);
  stream.deliver([change(2)]);
  stream.deliver([change(3), change(4)]);
  assert.deepEqual(numbers(), ['1']);
  await clock.advance(10);
  assert.deepEqual(numbers(), ['1', '2+3+4']);
  stream.deliver([change(5)]);
  stream.end();
  assert.deepEqual(numbers(), ['1', '2+3+4', '5', 'end']);
  await clock.advance(50);
  assert.equal(numbers().length, 4);
});

test('more than is kept goes out at once, in order', () => {
  const { stream, numbers } = recorded(new FakeClock(0));
  stream.deliver([change(1)]);
  stream.deliver([change(2)]);
  stream.deliver(Array.from({ length: 600 }, (_, i) => change(i + 3)));
  const all = numbers().join('+').split('+').map(Number);
  assert.deepEqual(
    all,
    Array.from({ length: 602 }, (_, i) => i + 1),
  );
});
