// What the row with the paused leader makes is gone when it fails half-way: its ReplicaSet, its watch, its connections.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import type { Question } from '../probes/connection.ts';
import { Fence } from './fence.ts';
import { clearing } from './repetition.ts';
import { ROWS, type Scene } from './rows.ts';

const ROW = ROWS.find(({ id }) => id === 'leaders-paused')!;

/** Makes the ReplicaSet, and two of its pods are seen at once. */
class Place {
  readonly clock = new FakeClock();
  readonly asked: string[] = [];
  open = 0;
  watches = 0;
  made = 201;

  readonly stage = {
    env: { clock: this.clock },
    image: 'web',
    hosts: {
      pause: async (host: string) => void this.asked.push(`pause ${host}`),
      resume: async (host: string) => void this.asked.push(`resume ${host}`),
    },
    connect: async () => this.#connect(),
  };

  readonly scene = {
    stage: this.stage,
    load: { leave: async () => undefined },
    status: { hosts: [{ name: 'cp-1', role: 'control-plane' }], leases: [{ holder: 'cp-1_x' }] },
    signal: new AbortController().signal,
  } as unknown as Scene;

  #connect() {
    let isOpen = true;
    this.open++;
    return {
      insist: async ({ method, path }: Question) => {
        this.asked.push(`${method} ${path.split('?')[0]!.split('/').at(-1)}`);
        const code = method === 'POST' ? this.made : 200;
        return { code, text: JSON.stringify({ metadata: { resourceVersion: '1' } }) };
      },
      lines: (_: string, signal: AbortSignal) => this.#lines(signal),
      renew: () => undefined,
      close: () => {
        if (isOpen) this.open--;
        isOpen = false;
      },
    };
  }

  async *#lines(signal: AbortSignal): AsyncGenerator<string> {
    this.watches++;
    try {
      for (const name of ['a', 'b']) {
        yield JSON.stringify({ type: 'ADDED', object: { metadata: { name, resourceVersion: '2' } } });
      }
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      this.watches--;
    }
  }
}

async function passing<T>(work: Promise<T>, clock: FakeClock): Promise<T> {
  let isOver = false;
  work.then(
    () => (isOver = true),
    () => (isOver = true),
  );
  while (!isOver) await clock.advance(10);
  return work;
}

test('a failure that breaks off leaves neither ReplicaSet nor watch, and its leader goes on', async () => {
  const place = new Place();
  const broken = clearing(
    async () => {
      await ROW.prepare!(place.scene);
      assert.deepEqual([place.open, place.watches], [1, 1]);
      await place.stage.hosts.pause('cp-1');
      throw new Error('it breaks off');
    },
    async () => ROW.clear!(place.scene),
  );
  await assert.rejects(passing(broken, place.clock), { message: 'it breaks off' });
  assert.deepEqual(place.asked, ['POST replicasets', 'pause cp-1', 'resume cp-1', 'DELETE fence']);
  await place.clock.advance(100);
  assert.deepEqual([place.open, place.watches], [0, 0]);
});

test('what was removed, or never made, is not removed again', async () => {
  const place = new Place();
  await passing(ROW.prepare!(place.scene), place.clock);
  await ROW.clear!(place.scene);
  await ROW.clear!(place.scene);
  assert.deepEqual(place.asked, ['POST replicasets', 'resume cp-1', 'DELETE fence']);
  const none = new Place();
  await ROW.clear!(none.scene);
  assert.deepEqual(none.asked, []);
});

test('a ReplicaSet that cannot be made leaves no connection', async () => {
  const place = new Place();
  place.made = 403;
  const { stage, signal } = place.scene;
  await assert.rejects(Fence.make(stage, 'cp-1', signal), /cannot make ReplicaSet fence: 403/);
  assert.equal(place.open, 0);
});

test('what cannot be removed is told, with what went wrong before', async () => {
  const fail = (text: string) => async () => {
    throw new Error(text);
  };
  await assert.rejects(clearing(fail('first'), fail('second')), {
    message: 'first; and what it left cannot be removed: second',
  });
  await assert.rejects(
    clearing(async () => 1, fail('second')),
    { message: 'second' },
  );
});
