import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../lib/log.ts';
import { nextTurn } from '../lib/turns.ts';
import { SimulatedProcess } from './process.ts';
import { VirtualClock } from './virtual-clock.ts';

test('time moves on only when promises have settled and no turn is in flight, one timer after the other', async () => {
  const clock = new VirtualClock(0);
  const log: string[] = [];
  const work = async (name: string): Promise<void> => {
    for (let i = 0; i < 50; i++) await nextTurn();
    for (let i = 0; i < 50; i++) await undefined;
    log.push(`${name} at ${clock.monotonic()}`);
  };
  clock.timer(20, () => log.push(`late at ${clock.monotonic()}`));
  clock.timer(10, () => void work('first'));
  clock.timer(10, () => void work('second'));
  const cancelled = clock.timer(15, () => log.push('cancelled'));
  cancelled.cancel();
  await clock.run(() => log.length === 3);
  assert.deepEqual(log, ['first at 10', 'second at 10', 'late at 20']);
  await assert.rejects(
    clock.run(() => false),
    /stuck/,
  );
});

test('a stopped process gets nothing until it is continued, then everything in order; a killed one gets nothing any more', async () => {
  const clock = new VirtualClock(0);
  const program = new SimulatedProcess({ seed: 1, clock, log: silentLog, lives: new Map() }, 'one');
  const log: string[] = [];
  program.env.clock.timer(10, () => log.push(`timer at ${clock.monotonic()}`));
  program.stop();
  clock.timer(20, () => program.receive(() => log.push(`message at ${clock.monotonic()}`)));
  clock.timer(30, () => program.continue());
  program.env.clock.timer(40, () => log.push('after its end'));
  clock.timer(35, () => program.kill());
  let over = false;
  clock.timer(50, () => {
    over = true;
  });
  await clock.run(() => over);
  assert.deepEqual(log, ['timer at 30', 'message at 30']);
  assert.ok(program.signal.aborted);
});

test('a process that starts again draws other numbers', () => {
  const world = { seed: 1, clock: new VirtualClock(0), log: silentLog, lives: new Map<string, number>() };
  const draw = (): number => new SimulatedProcess(world, 'one').env.random.next();
  assert.notEqual(draw(), draw());
});
