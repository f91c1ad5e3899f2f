// A client of a service during a drill: HTTP by node port, each request on a connection of its own.
import { get } from 'node:http';
import type { Clock } from '../../lib/clock.ts';
import type { Attempt } from './open-loop.ts';

export interface ServiceProbeOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Asks, and once more when that fails; `retries` says whether it had to. The value is the name of the pod that answered. */
export async function askService(options: ServiceProbeOptions, signal: AbortSignal): Promise<Attempt<string>> {
  let error = '';
  for (let retries = 0; retries < 2 && !signal.aborted; retries++) {
    try {
      return { outcome: 'ok', value: await fetchOnce(options, signal), retries };
    } catch (failure) {
      error = (failure as Error).message;
    }
  }
  return { outcome: 'refused', error, retries: 1 };
}

function fetchOnce({ url, clock, timeoutMs }: ServiceProbeOptions, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.once('error', failed);
      response.once('end', () => {
        timer.cancel();
        if (response.statusCode === 200) resolve(text.trim());
        else reject(new Error(`HTTP ${response.statusCode}`));
      });
    });
    const failed = (error: Error): void => {
      timer.cancel();
      reject(error);
    };
    const timer = clock.timer(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    request.once('error', failed);
  });
}
