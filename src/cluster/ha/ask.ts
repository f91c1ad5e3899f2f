// One HTTPS request to one host, with a deadline: how status and membership ask etcd's JSON gateway and the API servers.
import { request } from 'node:https';
import type { Clock } from '../../lib/clock.ts';

export interface Question {
  readonly url: string;
  /** POSTed as JSON; absent: a GET. */
  readonly body?: object;
  readonly tls: { readonly ca: string; readonly certificate: string; readonly key: string };
  readonly timeoutMs: number;
}

export interface Answer {
  readonly code: number;
  readonly text: string;
}

/** What is asked here answers in some hundred bytes; a whole membership in some thousand. */
const MAX_ANSWER_BYTES = 1 << 20;

/** Rejects when there is no answer within the time, or an endless one. */
export function ask(question: Question, clock: Clock, signal: AbortSignal): Promise<Answer> {
  const { url, body, tls, timeoutMs } = question;
  return new Promise((resolve, reject) => {
    const text = body && JSON.stringify(body);
    const sent = request(url, {
      method: text === undefined ? 'GET' : 'POST',
      ca: tls.ca,
      cert: tls.certificate,
      key: tls.key,
      agent: false,
      signal,
    });
    const timer = clock.timer(timeoutMs, () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    const failed = (error: Error): void => {
      timer.cancel();
      reject(error);
    };
    // There may be more than one: what nobody listens for ends the process.
    sent.on('error', failed);
    sent.once('response', (response) => {
      let received = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        received += part;
        if (received.length > MAX_ANSWER_BYTES) sent.destroy(new Error('the answer is too long'));
      });
      response.on('error', failed);
      response.once('end', () => {
        timer.cancel();
        resolve({ code: response.statusCode ?? 0, text: received });
      });
    });
    sent.end(text);
  });
}
