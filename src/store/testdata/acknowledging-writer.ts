// Writes to a store, alone and in crowds, and prints every acknowledgement before it goes on: for a trace of system calls.
import { writeSync } from 'node:fs';
import { silentLog } from '../../lib/log.ts';
import { realClock } from '../../platform/environment.ts';
import { openEmbeddedStore } from '../embedded.ts';

const store = openEmbeddedStore({ directory: process.argv[2]!, clock: realClock, log: silentLog });
const { signal } = new AbortController();
const revisions = new Map<string, number>();

async function write(key: string, i: number): Promise<void> {
  const value = Buffer.from(`${i}`.padEnd((i % 5) * 1_500 + 10));
  const outcome = await store.write({ key, value, expected: revisions.get(key) ?? 0 }, signal);
  if (outcome.kind !== 'committed') throw new Error(outcome.kind);
  revisions.set(key, outcome.revision);
  writeSync(1, `acknowledged ${key} ${i}\n`);
}

for (let i = 1; i <= 15; i++) await write(`/alone/${i % 4}`, i);
await store.compact(await store.revision(signal), signal);
for (let i = 1; i <= 5; i++) await Promise.all(Array.from({ length: 8 }, (_, w) => write(`/crowd/${w}`, i)));
await store.close();
