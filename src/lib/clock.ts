/**
 * Time as the program sees it. The only real clock is made in src/platform; tests and the simulator hand in their own.
 */
export interface Clock {
  /** Wall time in milliseconds since the epoch. May jump. */
  now(): number;
  /** Milliseconds since an arbitrary start. Never goes back: use it for every duration. */
  monotonic(): number;
  /** Runs `fire` once after `delayMs`. Cancelling twice, or after it fired, does nothing. */
  timer(delayMs: number, fire: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Waits `delayMs`; rejects with the signal's reason as soon as it aborts. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = clock.timer(delayMs, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** The second last written: one second has many times. */
let lastSecond = Number.NaN;
let lastText = '';

/** An RFC 3339 time with whole seconds, as metav1.Time is written. */
export function rfc3339(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastText = `${new Date(second * 1000).toISOString().slice(0, 19)}Z`;
    lastSecond = second;
  }
  return lastText;
}

/** An RFC 3339 time with six fraction digits, as metav1.MicroTime is written. */
export function rfc3339Micro(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}
