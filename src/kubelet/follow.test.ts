// How soon a kubelet sees its pods again after its watch broke.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../api/object.ts';
import type { ResourceClient } from '../client/contract.ts';
import { sleep } from '../lib/clock.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { realEnvironment } from '../platform/environment.ts';
import { follow } from './follow.ts';

const BACKOFF = { initialMs: 50, maximumMs: 1_000, factor: 2, jitter: 0 };

/** When the watch was asked for, while each of them breaks after `lastsMs` without an event. */
async function asked(lastsMs: readonly number[]): Promise<readonly number[]> {
  const clock = new FakeClock();
  const stop = new AbortController();
  const times: number[] = [];
  const client = {
    list: async () => ({ items: [], resourceVersion: '1' }),
    // biome-ignore lint/correctness/useYield: nothing happens on a quiet node.
    async *watch(_: object, signal: AbortSignal) {
      const ms = lastsMs[times.length];
      times.push(clock.monotonic());
      if (ms === undefined) stop.abort();
      else if (ms > 0) await sleep(clock, ms, signal);
      throw new Error('the connection broke');
    },
  } as unknown as ResourceClient<KubeObject>;
  const nothing = { replaced: () => undefined, changed: () => undefined, deleted: () => undefined };
  const env = { ...realEnvironment('silent'), clock };
  let isOver = false;
  const following = follow(client, {}, nothing, { env, backoff: BACKOFF }, stop.signal).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(10);
  }
  await following;
  return times.map((time, i) => time - (times[i - 1] ?? 0) - (lastsMs[i - 1] ?? 0)).slice(1);
}

test('it waits longer after each failure, but never longer than the policy says', async () => {
  const waits = await asked(Array.from({ length: 8 }, () => 0));
  const wanted = [50, 100, 200, 400, 800, 1_000, 1_000, 1_000];
  for (const [i, wait] of waits.entries()) assert.ok(Math.abs(wait - wanted[i]!) <= 20, `${i}: ${wait}`);
});

test('a watch that went well for long begins anew, though nothing was heard on it', async () => {
  const waits = await asked([0, 0, 0, 0, 130_000, 0]);
  assert.ok(waits[3]! > 350, String(waits));
  assert.ok(waits[4]! <= 70 && waits[5]! <= 120, String(waits));
});
