// Writes to a store as quickly as it can and tells its parent of every acknowledged write, until it is killed.
import { silentLog } from '../../lib/log.ts';
import { realClock } from '../../platform/environment.ts';
import { openEmbeddedStore } from '../embedded.ts';

const store = openEmbeddedStore({ directory: process.argv[2]!, clock: realClock, log: silentLog });
process.send!({ opened: true });
const { signal } = new AbortController();

async function write(writer: number): Promise<never> {
  for (let i = 0; ; i++) {
    const key = `/${writer}/${i % 50}`;
    const value = `${process.pid} ${i} `.padEnd(1_000, 'x');
    const { stored } = await store.get(key, signal);
    const outcome = await store.write({ key, value: Buffer.from(value), expected: stored?.revision ?? 0 }, signal);
    if (outcome.kind === 'committed') process.send!({ key, revision: outcome.revision, value });
  }
}

await Promise.all(Array.from({ length: 16 }, (_, writer) => write(writer)));
