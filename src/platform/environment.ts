// The real clock and the real randomness. Only main.ts and tests import this folder.
import { randomBytes } from 'node:crypto';
import { Registry } from 'prom-client';
import type { Clock } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { type LogLevel, silentLog, textLog } from '../lib/log.ts';
import type { Random } from '../lib/random.ts';

/**
 * The machine's clock. A timer that is due fires after what the sockets hold already was read: a process that stood still must not
 * take peers for lost whose answers have come meanwhile.
 */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(delayMs, fire) {
    let afterReading: NodeJS.Immediate | undefined;
    const due = (): void => {
      afterReading = setImmediate(fire);
    };
    const handle = setTimeout(due, Math.min(Math.max(delayMs, 0), 0x7fffffff));
    return {
      cancel() {
        clearTimeout(handle);
        clearImmediate(afterReading);
      },
    };
  },
};

/** Asking the operating system costs more than an identifier does: it is asked for so many bytes at a time. */
const POOL_BYTES = 4096;
/** More at once than this (keys, tokens) is asked for by itself. */
const MAX_POOLED_BYTES = 16;
let pool: Uint8Array = new Uint8Array();
let used = 0;

/** Randomness from the operating system. */
export const realRandom: Random = {
  next: () => Math.random(),
  bytes(length) {
    if (length > MAX_POOLED_BYTES) return randomBytes(length);
    if (used + length > pool.length) {
      pool = randomBytes(POOL_BYTES);
      used = 0;
    }
    used += length;
    return pool.subarray(used - length, used);
  },
};

/** An environment with the real clock; the log goes to standard error, or nowhere. */
export function realEnvironment(level: LogLevel | 'silent' = 'info'): Environment {
  const log = level === 'silent' ? silentLog : textLog(realClock, (line) => process.stderr.write(line), level);
  return { clock: realClock, random: realRandom, log, metrics: new Registry() };
}
