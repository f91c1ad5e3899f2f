import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeClock, settle } from '../lib/fake-clock.ts';
import { WorkQueue } from './work-queue.ts';

describe('work queue', () => {
  it('keeps each waiting key once, in order', async () => {
    const queue = new WorkQueue(new FakeClock());
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    assert.equal(queue.depth, 3);
    assert.deepEqual([await queue.take(), await queue.take(), await queue.take()], ['a', 'b', 'c']);
  });

  it('never hands a key to two workers: an add meanwhile waits for the work to be done', async () => {
    const queue = new WorkQueue(new FakeClock());
    queue.add('a');
    assert.equal(await queue.take(), 'a');
    queue.add('a');
    queue.add('a');
    let second: string | undefined;
    void queue.take().then((key) => {
      second = key;
    });
    await settle();
    assert.equal(second, undefined);
    queue.done('a');
    await settle();
    assert.equal(second, 'a');
    queue.done('a');
    assert.equal(queue.depth, 0);
  });

  it('backs off a failing key exponentially, and from the start after it succeeded', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue(clock);
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      queue.retry('a');
      waits.push(clock.nextDelayMs ?? -1);
      await clock.advance(clock.nextDelayMs ?? 0);
      queue.done((await queue.take()) ?? '');
    }
    assert.deepEqual(waits, [5, 10, 20, 40, 80]);
    for (let i = 0; i < 30; i++) queue.retry('b');
    assert.equal(queue.failures('b'), 30);
    queue.forget('a');
    queue.retry('a');
    assert.equal(clock.nextDelayMs, 5);
  });

  it('the back-off ends at 1000 s', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue(clock);
    for (let i = 0; i < 40; i++) {
      queue.retry('a');
      await clock.advance(1_000_000);
      queue.done((await queue.take()) ?? '');
    }
    queue.retry('a');
    assert.equal(clock.nextDelayMs, 1_000_000);
  });

  it('of several times for a key the earliest counts', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue(clock);
    queue.addAfter('a', 500);
    queue.addAfter('a', 100);
    queue.addAfter('a', 900);
    queue.addAfter('b', 50);
    await clock.advance(50);
    assert.equal(queue.depth, 1);
    await clock.advance(50);
    assert.equal(queue.depth, 2);
    await clock.advance(10_000);
    assert.equal(queue.depth, 2);
    assert.equal(clock.pending, 0);
  });

  it('says that keys were dropped once there is room again', async () => {
    const queue = new WorkQueue(new FakeClock(), undefined, 4);
    for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(key);
    assert.equal(queue.depth, 4);
    assert.equal(queue.takeOverflow(), false);
    await queue.take();
    await queue.take();
    assert.equal(queue.takeOverflow(), true);
    assert.equal(queue.takeOverflow(), false);
  });

  it('closing lets takers go and leaves no timer', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue(clock);
    const taking = queue.take();
    queue.addAfter('a', 100);
    queue.close();
    assert.equal(await taking, undefined);
    queue.add('b');
    assert.equal(await queue.take(), undefined);
    assert.equal(clock.pending, 0);
  });
});
