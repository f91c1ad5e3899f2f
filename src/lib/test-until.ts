// For tests that wait for sockets, disks and processes, whose time no fake clock knows.
import { settle } from './fake-clock.ts';

/** How long a test waits for what must come. Generous: it is there to end a test that hangs, not to measure. */
const LIMIT_MS = 60_000;

type Truthy<T> = Exclude<T, undefined | null | false | 0 | ''>;

/** Waits, turn by turn of the event loop, until `check` gives something other than undefined, false, null, 0 or ''. */
export async function until<T>(what: string, check: () => T | Promise<T>): Promise<Truthy<T>> {
  const end = performance.now() + LIMIT_MS;
  for (;;) {
    const result = await check();
    if (result) return result as Truthy<T>;
    if (performance.now() > end) throw new Error(`not within ${LIMIT_MS / 1000} s: ${what}`);
    await settle();
  }
}
