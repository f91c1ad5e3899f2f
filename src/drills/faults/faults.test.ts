// Faults as data: who is hit, what is done and what undoes it; journal and watchdog, on a ground that only remembers.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Layout, layoutOf } from '../../cluster/layout.ts';
import { sleep, type Timer } from '../../lib/clock.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { parseObjective } from '../run/objective.ts';
import { healLeftovers } from '../run/session.ts';
import { identify, Journal, journalFile, undo, undoAll } from '../watchdog/journal.ts';
import { watch } from '../watchdog/watchdog.ts';
import { lengthMs } from './drill.ts';
import { describeFault, type Fault } from './fault.ts';
import type { Ground } from './ground.ts';
import { type Operation, planOf, type Situation, targets } from './operations.ts';
import { DRILLS } from './table.ts';

const NEVER = new AbortController().signal;

const SITUATION: Situation = {
  hosts: [
    { name: 'cp-1', role: 'control-plane', address: '172.30.0.11', isOn: true },
    { name: 'cp-2', role: 'control-plane', address: '172.30.0.12', isOn: true },
    { name: 'cp-3', role: 'control-plane', address: '172.30.0.13', isOn: true },
    { name: 'worker-1', role: 'worker', address: '172.30.0.14', isOn: true },
    { name: 'worker-2', role: 'worker', address: '172.30.0.15', isOn: true },
  ],
  etcdLeader: 'cp-2',
  addressHolder: 'cp-1',
  controllers: 'cp-1',
  scheduler: 'cp-3',
};

/** No process of this number began then. */
const DEAD = { pid: process.pid, began: 'another process' };

class Remembering implements Ground {
  readonly done: string[] = [];
  readonly failing: (operation: Operation) => boolean;

  constructor(failing: (operation: Operation) => boolean = () => false) {
    this.failing = failing;
  }

  async perform(operation: Operation): Promise<void> {
    this.done.push('host' in operation ? `${operation.op} ${operation.host}` : operation.op);
    if (this.failing(operation)) throw new Error(`${operation.op} fails`);
  }
}

let directory: string;
let layout: Layout;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsukube-drill-'));
  layout = layoutOf(directory, 'c');
});
after(() => rm(directory, { recursive: true, force: true }));

test('targets are found by what they are now', () => {
  const of = (target: Parameters<typeof targets>[0]) => targets(target, SITUATION).join(' ');
  assert.equal(of({ role: 'etcd-leader' }), 'cp-2');
  assert.equal(of({ role: 'etcd-follower' }), 'cp-3', 'the follower that has not the address');
  assert.equal(of({ role: 'address-holder' }), 'cp-1');
  assert.equal(of({ role: 'control-plane' }), 'cp-2', 'the one with the fewest parts to play, the first of them');
  assert.equal(of({ role: 'worker', count: 'all' }), 'worker-1 worker-2');
  assert.equal(of({ zone: 2 }), 'cp-2 worker-2');
  const off = { ...SITUATION, hosts: SITUATION.hosts.map((host) => ({ ...host, isOn: host.name !== 'cp-2' })) };
  assert.throws(() => targets({ role: 'etcd-leader' }, off), /no host is the etcd-leader now/);
});

test('every drill of the table can be planned, says what it does, and has an objective that can be read', () => {
  const names = new Set(DRILLS.map(({ name }) => name));
  assert.equal(names.size, DRILLS.length);
  for (const drill of DRILLS) {
    assert.ok(parseObjective(drill.objective).length > 0, drill.name);
    assert.ok(lengthMs(drill) <= 20_000, `${drill.name} is short enough to run all of them`);
    for (const { fault, forMs } of drill.steps) {
      const { does, undoes, hit } = planOf(fault, SITUATION);
      assert.ok(does.length > 0 && hit.length > 0, drill.name);
      assert.ok(describeFault(fault).length > 5);
      assert.equal(
        undoes.length > 0,
        forMs !== undefined,
        `${drill.name}: what lasts is undone, what heals itself is not`,
      );
    }
  }
});

test('what undoes is written as data that a file keeps', () => {
  for (const { steps } of DRILLS) {
    for (const { fault } of steps) {
      const { undoes } = planOf(fault, SITUATION);
      assert.deepEqual(JSON.parse(JSON.stringify(undoes)), undoes);
    }
  }
});

test('a partition spares the hosts that are cut off together', () => {
  const fault: Fault = { kind: 'partition', from: { role: 'etcd-leader' }, to: 'others', ports: [2380] };
  const { does, undoes } = planOf(fault, SITUATION);
  assert.deepEqual(does, [{ op: 'partition', from: ['cp-2'], to: ['cp-1', 'cp-3'], oneWay: false, ports: [2380] }]);
  assert.deepEqual(undoes, [{ op: 'heal' }]);
});

test('undoing tries each again and goes on to the others', async () => {
  const ground = new Remembering(({ op }) => op === 'power');
  const failures = await undo([{ op: 'power', host: 'cp-1', on: true }, { op: 'heal' }], ground, NEVER);
  assert.deepEqual(ground.done, ['power cp-1', 'power cp-1', 'power cp-1', 'heal']);
  assert.match(String(failures), /power fails/);
});

test('the journal has what is to be undone before a fault begins, the newest first, and nothing afterwards', async () => {
  const owner = (await identify(process.pid))!;
  const journal = await Journal.open(layout, owner, 's');
  const strike = await journal.add('one', [{ op: 'heal' }]);
  await journal.add('two', [{ op: 'cable', host: 'cp-1', plugged: true }]);
  await journal.add('three', [{ op: 'power', host: 'cp-3', on: true }]);
  await strike();
  const ground = new Remembering();
  assert.deepEqual(await undoAll(layout, ground, NEVER), ['two', 'three']);
  assert.deepEqual(ground.done, ['power cp-3', 'cable cp-1']);
  assert.equal(existsSync(journalFile(layout)), false);
  assert.deepEqual(await undoAll(layout, ground, NEVER), []);
});

test('what cannot be undone stays written down', async () => {
  const journal = await Journal.open(layout, (await identify(process.pid))!, 's');
  await journal.add('one', [{ op: 'heal' }]);
  await assert.rejects(undoAll(layout, new Remembering(() => true), NEVER), /heal fails/);
  await journal.close();
  assert.equal(existsSync(journalFile(layout)), true);
  assert.deepEqual(await undoAll(layout, new Remembering(), NEVER), ['one']);
});

test('of two drills that begin at the same time on one cluster one runs, and the other is refused', async () => {
  const owner = (await identify(process.pid))!;
  const opened = await Promise.allSettled(['a', 'b', 'c'].map((session) => Journal.open(layout, owner, session)));
  const [journal, ...more] = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  assert.equal(more.length, 0);
  const refused = opened.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []));
  const why = `Error: another drill runs on this cluster (process ${process.pid})`;
  assert.deepEqual(refused, [why, why]);
  await assert.rejects(healLeftovers({ layout, ground: new Remembering(), clock: new FakeClock() }, NEVER), {
    message: `a drill runs on this cluster (process ${process.pid})`,
  });
  await journal!.close();
  assert.deepEqual(await readdir(dirname(journalFile(layout))), []);
});

test('whoever comes after a dead drill waits until its watchdog has undone everything', async () => {
  const journal = await Journal.open(layout, DEAD, 's');
  await journal.add('fault', [{ op: 'heal' }]);
  await journal.watchedBy((await identify(process.pid))!);
  const clock = new FakeClock();
  const ground = new Remembering();
  const healing = healLeftovers({ layout, ground, clock }, NEVER);
  const removed = sleep(clock, 1_000, NEVER).then(() => rm(journalFile(layout)));
  assert.deepEqual(await over(healing, clock), []);
  await removed;
  assert.deepEqual(ground.done, []);
});

test('without a watchdog it undoes by itself', async () => {
  const journal = await Journal.open(layout, DEAD, 's');
  await journal.add('fault', [{ op: 'heal' }]);
  await journal.watchedBy(DEAD);
  const ground = new Remembering();
  assert.deepEqual(await healLeftovers({ layout, ground, clock: new FakeClock() }, NEVER), ['fault']);
  assert.deepEqual(ground.done, ['heal']);
});

test('the watchdog undoes twice what a dead drill has left, and leaves the journal of another alone', async () => {
  const journal = await Journal.open(layout, DEAD, 's');
  await journal.add('fault', [{ op: 'cable', host: 'cp-1', plugged: true }]);
  const clock = new FakeClock();
  const ground = new Remembering();
  const said: string[] = [];
  const of = { layout, clock, drill: DEAD, session: 's' };
  await over(watch({ ...of, ground, say: (text) => said.push(text) }, NEVER), clock);
  assert.deepEqual(ground.done, ['cable cp-1', 'cable cp-1']);
  assert.match(said.join('\n'), /has died; undoing: fault/);
  assert.equal(existsSync(journalFile(layout)), false);

  const other = await Journal.open(layout, DEAD, 'another');
  const strike = await other.add('fault', [{ op: 'heal' }]);
  const idle = new Remembering();
  await watch({ ...of, ground: idle, say: () => undefined }, NEVER);
  assert.deepEqual(idle.done, []);
  await strike();
  await other.close();
  assert.equal(existsSync(journalFile(layout)), false);
});

test('the watchdog of a process that lives on undoes nothing while its drill runs, and ends with it', async () => {
  const alive = (await identify(process.pid))!;
  const journal = await Journal.open(layout, alive, 's');
  const strike = await journal.add('fault', [{ op: 'heal' }]);
  const clock = new Counting();
  const ground = new Remembering();
  const watching = watch({ layout, ground, clock, drill: alive, session: 's', say: () => undefined }, NEVER);
  // Each look is followed by a rest. One that undoes would rest as well, once: there would be no third.
  await passing(clock, () => clock.timers >= 3 || ground.done.length > 0);
  assert.deepEqual(ground.done, []);
  await strike();
  await journal.close();
  await over(watching, clock);
  assert.deepEqual(ground.done, []);
});

test('what a drill could not undo before it ended, its watchdog undoes', async () => {
  const alive = (await identify(process.pid))!;
  const journal = await Journal.open(layout, alive, 's');
  await journal.add('fault', [{ op: 'heal' }]);
  await journal.close();
  const ground = new Remembering();
  const clock = new FakeClock();
  await over(watch({ layout, ground, clock, drill: alive, session: 's', say: () => undefined }, NEVER), clock);
  assert.deepEqual(ground.done, ['heal', 'heal']);
  assert.equal(existsSync(journalFile(layout)), false);
});

/** Says how often somebody began to wait. */
class Counting extends FakeClock {
  timers = 0;

  override timer(delayMs: number, fire: () => void): Timer {
    this.timers++;
    return super.timer(delayMs, fire);
  }
}

/** Lets time pass until it is done. */
async function over<T>(work: Promise<T>, clock: FakeClock): Promise<T> {
  let isOver = false;
  const settled = work.finally(() => {
    isOver = true;
  });
  settled.catch(() => undefined);
  await passing(clock, () => isOver);
  return work;
}

/** Lets time pass until then. */
async function passing(clock: FakeClock, isThen: () => boolean): Promise<void> {
  while (!isThen()) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(100);
  }
}
