import assert from 'node:assert/strict';
import { appendFile, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Timer } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { realClock } from '../platform/environment.ts';
import { keepLogsBounded } from './log-bound.ts';

test('a log beyond its bound is begun anew under its writer; a shorter one and one that is not there are let be', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'log-bound-'));
  t.after(() => rm(directory, { recursive: true }));
  const [long, short, none] = ['long.log', 'short.log', 'none.log'].map((name) => join(directory, name));
  const writer = await open(long!, 'a');
  await writer.write('x'.repeat(101));
  await appendFile(short!, 'y'.repeat(100));
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
  const stop = new AbortController();
  // The wait after the first look is where the test goes on.
  const looked = Promise.withResolvers<void>();
  const timer = (): Timer => {
    looked.resolve();
    return { cancel: () => undefined };
  };
  const clock = { ...realClock, timer };
  const keeping = keepLogsBounded([long!, short!, none!], { clock, log }, stop.signal, 100);
  await looked.promise;
  await writer.write('after');
  stop.abort();
  await keeping;
  await writer.close();
  assert.equal(await readFile(long!, 'utf8'), 'after');
  assert.equal((await readFile(`${long}.1`, 'utf8')).length, 101);
  assert.equal((await readFile(short!, 'utf8')).length, 100);
  assert.deepEqual(warnings, []);
});
