import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../../lib/fake-clock.ts';
import { type Attempt, runOpenLoop, type Sample } from './open-loop.ts';
import { longestGap, percentile, summarize } from './outage.ts';

const sample = (ended: number, outcome: Attempt['outcome'] = 'ok', more: Partial<Sample> = {}): Sample => ({
  scheduled: ended - 1,
  began: ended - 1,
  ended,
  outcome,
  ...more,
});

test('questions are asked at their times, however long answers take', async () => {
  const clock = new FakeClock();
  const start = clock.monotonic();
  const stop = new AbortController();
  const waiting: ((attempt: Attempt) => void)[] = [];
  const asked: number[] = [];
  const running = runOpenLoop(
    {
      clock,
      perSecond: 10,
      maxInFlight: 3,
      ask: () => {
        asked.push(clock.monotonic() - start);
        return new Promise<Attempt>((resolve) => waiting.push(resolve));
      },
    },
    stop.signal,
  );
  for (let i = 0; i < 5; i++) {
    await settle();
    await clock.advance(100);
  }
  await settle();
  assert.deepEqual(asked, [0, 100, 200], 'no more than may be under way');
  stop.abort();
  for (const answer of waiting) answer({ outcome: 'ok' });
  const samples = await running;
  assert.deepEqual(
    samples.map((one) => [one.scheduled - start, one.outcome]),
    [
      [0, 'ok'],
      [100, 'ok'],
      [200, 'ok'],
      [300, 'refused'],
      [400, 'refused'],
      [500, 'refused'],
    ],
  );
  assert.equal(samples[0]!.ended - samples[0]!.scheduled, 500, 'latency counts from the time it was to be asked');
});

test('what a question throws is an unknown outcome, at once or later', async () => {
  for (const throws of [() => Promise.reject(new Error('reset')), raise]) {
    const stop = new AbortController();
    const ask = (): Promise<Attempt> => {
      stop.abort();
      return throws();
    };
    const samples = await runOpenLoop({ clock: new FakeClock(), perSecond: 1, maxInFlight: 1, ask }, stop.signal);
    assert.deepEqual([samples.length, samples[0]!.outcome, samples[0]!.error], [1, 'unknown', 'Error: reset']);
  }
});

function raise(): never {
  throw new Error('reset');
}

test('the longest gap is between good answers, and reaches to the ends of the window', () => {
  const samples = [sample(10), sample(30, 'refused'), sample(100), sample(120, 'unknown'), sample(130)];
  assert.deepEqual(longestGap(samples, 0, 140), { ms: 90, from: 10, to: 100 });
  assert.deepEqual(longestGap(samples, 0, 400), { ms: 270, from: 130, to: 400 });
  assert.deepEqual(longestGap([], 5, 25), { ms: 20, from: 5, to: 25 });
});

test('a summary counts outcomes, retries and errors', () => {
  const summary = summarize([
    sample(10, 'ok', { scheduled: 0, retries: 1 }),
    sample(30, 'ok', { scheduled: 0 }),
    sample(30, 'refused', { error: '503' }),
    sample(31, 'refused', { error: '503' }),
    sample(40, 'unknown', { error: 'timeout' }),
  ]);
  const { errors, ...numbers } = summary;
  assert.deepEqual(numbers, { asked: 5, ok: 2, refused: 2, unknown: 1, retried: 1, p50: 10, p99: 30, worst: 30 });
  assert.deepEqual(
    [...errors],
    [
      ['503', 2],
      ['timeout', 1],
    ],
  );
  assert.equal(percentile([], 0.5), 0);
});
