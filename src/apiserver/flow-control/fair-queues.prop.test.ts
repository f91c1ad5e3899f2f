import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairQueues, type Ticket } from './fair-queues.ts';
import { flowHash } from './shuffle-shard.ts';

const flow = (name: string): number => flowHash('s', name);
const take = <T>(queues: FairQueues<T>): Ticket<T> | undefined => {
  const ticket = queues.first();
  if (ticket) queues.dispatch(ticket);
  return ticket;
};

test('each request comes out once, in its flow’s order when it has one queue; what is removed never does', () => {
  const step = fc.record({
    flow: fc.integer({ min: 0, max: 5 }),
    seats: fc.integer({ min: 1, max: 10 }),
    op: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const queues = new FairQueues<number>({ queues: 7, handSize: 1, queueLengthLimit: 20 });
      const naive = new Map<number, number[]>();
      const tickets = new Map<number, Ticket<number>>();
      const running: Ticket<number>[] = [];
      for (const [id, { flow: of, seats, op }] of steps.entries()) {
        if (op <= 1) {
          const ticket = queues.enqueue(of, seats, id);
          const queue = of % 7;
          const list = naive.get(queue) ?? [];
          assert.equal(ticket === undefined, list.length >= 20);
          if (!ticket) continue;
          tickets.set(id, ticket);
          naive.set(queue, [...list, id]);
        } else if (op === 2) {
          const ticket = take(queues);
          const heads = [...naive.values()].flatMap((list) => list.slice(0, 1));
          assert.equal(ticket === undefined, heads.length === 0);
          if (!ticket) continue;
          assert.ok(heads.includes(ticket.item), 'the first of some queue');
          for (const [queue, list] of naive)
            naive.set(
              queue,
              list.filter((one) => one !== ticket.item),
            );
          running.push(ticket);
        } else {
          const running1 = running.shift();
          if (running1) queues.done(running1, (id % 50) / 10);
          const waiting = running1 ? undefined : [...naive.values()].flat().at(-1);
          if (waiting === undefined) continue;
          queues.remove(tickets.get(waiting)!);
          queues.remove(tickets.get(waiting)!);
          for (const [queue, list] of naive)
            naive.set(
              queue,
              list.filter((one) => one !== waiting),
            );
        }
        assert.equal(queues.length, [...naive.values()].flat().length);
      }
    }),
  );
});

test('flows that always wait get the same time, whatever their requests take', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 2, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 6, maxLength: 6 }),
      (seconds, widths) => {
        const queues = new FairQueues<number>({ queues: 16, handSize: 1, queueLengthLimit: 5 });
        const had = seconds.map(() => 0);
        for (let i = 0; i < seconds.length; i++) queues.enqueue(i, widths[i]!, i);
        for (let round = 0; round < 2000; round++) {
          const ticket = take(queues)!;
          const i = ticket.item;
          queues.enqueue(i, widths[i]!, i);
          queues.done(ticket, seconds[i]!);
          had[i]! += seconds[i]! * widths[i]!;
        }
        // The one that was served last is ahead by one request at most.
        const longest = Math.max(...seconds.map((one, i) => one * widths[i]!)) + 0.003 * 5;
        assert.ok(Math.max(...had) - Math.min(...had) <= 2 * longest, JSON.stringify(had));
      },
    ),
    { numRuns: 30 },
  );
});

test('one that comes to a full level is before the next of every flow that waits longer', () => {
  const queues = new FairQueues<string>({ queues: 128, handSize: 6, queueLengthLimit: 50 });
  let refused = 0;
  for (let i = 0; i < 1000; i++) if (!queues.enqueue(flow('flood'), 1, 'flood')) refused++;
  assert.equal(queues.length, 300, 'a flow has no more than its hand');
  assert.equal(refused, 700);
  for (let i = 0; i < 100; i++) queues.done(take(queues)!, 0.1);
  queues.enqueue(flow('other'), 1, 'other');
  const order = Array.from({ length: 12 }, () => take(queues)!.item);
  assert.ok(order.indexOf('other') >= 0 && order.indexOf('other') <= 6, order.join());
});

test('who asked for nothing saves nothing up', () => {
  const queues = new FairQueues<string>({ queues: 2, handSize: 1, queueLengthLimit: 50 });
  for (let i = 0; i < 100; i++) {
    queues.enqueue(0, 1, 'busy');
    queues.done(take(queues)!, 0.1);
  }
  for (let i = 0; i < 20; i++) {
    queues.enqueue(0, 1, 'busy');
    queues.enqueue(1, 1, 'idle');
  }
  const served = Array.from({ length: 10 }, () => {
    const ticket = take(queues)!;
    queues.done(ticket, 0.1);
    return ticket.item;
  });
  assert.ok(served.filter((item) => item === 'busy').length >= 3, served.join());
});
