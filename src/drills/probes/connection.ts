// HTTPS as kubectl and client-go speak it: one HTTP/2 connection for everything, used until it fails. Apart from the project's
// own client on purpose: what a drill measures must not depend on what it measures.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Access } from '../../client/kubeconfig.ts';
import { type Clock, sleep } from '../../lib/clock.ts';

export interface Answer {
  readonly code: number;
  readonly text: string;
}

export interface Question {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly timeoutMs: number;
}

export interface ConnectionOptions {
  readonly access: Access;
  readonly clock: Clock;
  /** A connection that is not made within this is given up. */
  readonly connectTimeoutMs: number;
  /** A connection that hears nothing for this long is asked by a ping, and given up when it says nothing for as long again. */
  readonly pingMs?: number;
}

/** No answer came, and whether the server did what it was asked is not known. */
export class NoAnswer extends Error {}

/** Certainly not done: there was no connection, or the server said that it has not looked at the request. */
export class NotSent extends Error {}

/** What is read here are single small objects and lists of some dozens. */
const MAX_ANSWER_BYTES = 16 << 20;
const INSIST_MS = 20_000;
const INSIST_APART_MS = 50;

interface Session {
  readonly http2: ClientHttp2Session;
  /** Resolves when it can be used; rejects when it cannot be made. */
  readonly ready: Promise<void>;
  heardMs: number;
}

/** Connects with the first question, and anew with the next one after a failure or a GOAWAY. */
export class Connection {
  readonly #options: ConnectionOptions;
  #current: Session | undefined;
  #servedBy: readonly string[] = [];
  #closed = false;
  /** How often it connected. */
  connects = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** The names in the certificate of the server that answers on this connection: a balancer in between passes it on. */
  get servedBy(): readonly string[] {
    return this.#servedBy;
  }

  /** Leaves the connection, unless it is a later one than the given; the next question is asked on a new one. */
  renew(than = this.connects): void {
    if (than < this.connects) return;
    const left = this.#current;
    this.#current = undefined;
    left?.http2.close();
  }

  close(): void {
    this.#closed = true;
    this.#current?.http2.destroy();
    this.#current = undefined;
  }

  /** Rejects with NotSent or NoAnswer. After a timeout the connection is not used any more. */
  async ask(question: Question, signal: AbortSignal): Promise<Answer> {
    const { clock } = this.#options;
    const overMs = clock.monotonic() + question.timeoutMs;
    const session = await this.#session();
    if (signal.aborted) throw new NotSent('the drill is over');
    if (clock.monotonic() >= overMs) throw new NotSent(`no connection within ${question.timeoutMs} ms`);
    const stream = this.#open(session, question);
    return new Promise((resolve, reject) => {
      let code = 0;
      const parts: Buffer[] = [];
      let bytes = 0;
      const end = (finish: () => void): void => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        finish();
      };
      const onAbort = (): void => {
        end(() => reject(new NoAnswer('the drill is over')));
        stream.close(constants.NGHTTP2_CANCEL);
      };
      const timer = clock.timer(overMs - clock.monotonic(), () => {
        end(() => reject(new NoAnswer(`no answer within ${question.timeoutMs} ms`)));
        stream.close(constants.NGHTTP2_CANCEL);
        if (this.#current === session) this.renew();
      });
      signal.addEventListener('abort', onAbort, { once: true });
      stream.on('response', (headers) => {
        code = Number(headers[':status']);
      });
      stream.on('data', (part: Buffer) => {
        session.heardMs = clock.monotonic();
        bytes += part.length;
        if (bytes > MAX_ANSWER_BYTES) stream.destroy(new Error('the answer is too long'));
        else parts.push(part);
      });
      stream.on('end', () => {
        if (code === 0) return;
        const text = Buffer.concat(parts).toString('utf8');
        // A connection that ends in the middle of an answer ends the answer as well.
        if (code < 300 && !isWhole(text)) end(() => reject(new NoAnswer('the answer was cut off')));
        else end(() => resolve({ code, text }));
      });
      stream.on('error', (error) => end(() => reject(new NoAnswer(error.message, { cause: error }))));
      stream.on('close', () => {
        const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
        const text = 'the connection ended without an answer';
        end(() => reject(refused ? new NotSent('the stream was refused') : new NoAnswer(text)));
      });
    });
  }

  /** For what a drill needs, not for what it measures. */
  insist(asked: Question, signal: AbortSignal): Promise<Answer> {
    return insist(this, asked, { clock: this.#options.clock, withinMs: INSIST_MS, apartMs: INSIST_APART_MS }, signal);
  }

  /** The lines of an answer as they come, until the server ends it, the connection fails or the signal aborts. */
  async *lines(path: string, signal: AbortSignal): AsyncGenerator<string> {
    const session = await this.#session();
    // Nobody would end the stream any more.
    if (signal.aborted) return;
    const stream = this.#open(session, { method: 'GET', path });
    const stop = (): void => stream.close(constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', stop, { once: true });
    let rest = '';
    try {
      stream.setEncoding('utf8');
      for await (const part of stream as AsyncIterable<string>) {
        session.heardMs = this.#options.clock.monotonic();
        const all = (rest + part).split('\n');
        rest = all.pop()!;
        yield* all.filter((line) => line !== '');
      }
      // A refusal is one object without a line's end; an event that was cut off is none.
      if (isWhole(rest)) yield rest;
    } finally {
      signal.removeEventListener('abort', stop);
      stop();
    }
  }

  #open(session: Session, { method, path, body }: Omit<Question, 'timeoutMs'>): ClientHttp2Stream {
    const text = body && JSON.stringify(body);
    try {
      const stream = session.http2.request(
        {
          ':method': method,
          ':path': path,
          accept: 'application/json',
          ...(text && { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' }),
        },
        { endStream: text === undefined },
      );
      stream.on('error', () => undefined);
      if (text !== undefined) stream.end(text);
      return stream;
    } catch (error) {
      throw new NotSent(String(error), { cause: error });
    }
  }

  async #session(): Promise<Session> {
    if (this.#closed) throw new NotSent('the drill is over');
    // A session that was destroyed says that it is closed only when its socket is.
    const isUsable = this.#current && !this.#current.http2.destroyed && !this.#current.http2.closed;
    const session = isUsable ? this.#current! : this.#connect();
    await session.ready;
    return session;
  }

  #connect(): Session {
    const { access, clock, connectTimeoutMs } = this.#options;
    this.connects++;
    const { ca, certificate: cert, key } = access;
    const http2 = connect(access.servers[0]!, { ca, cert, key });
    const leave = (): void => {
      if (this.#current?.http2 === http2) this.#current = undefined;
    };
    const ready = new Promise<void>((resolve, reject) => {
      const timer = clock.timer(connectTimeoutMs, () =>
        http2.destroy(new Error(`no connection in ${connectTimeoutMs} ms`)),
      );
      http2.once('connect', (_, socket) => {
        timer.cancel();
        this.#servedBy = namesOf(socket as TLSSocket);
        resolve();
      });
      http2.on('error', (error) => reject(new NotSent(error.message, { cause: error })));
      http2.once('close', () => {
        timer.cancel();
        leave();
        reject(new NotSent('the connection was closed before it was made'));
      });
    });
    ready.catch(() => undefined);
    http2.once('goaway', leave);
    const session: Session = { http2, ready, heardMs: clock.monotonic() };
    this.#current = session;
    if (this.#options.pingMs !== undefined) this.#keepAsking(session, this.#options.pingMs);
    return session;
  }

  #keepAsking(session: Session, pingMs: number): void {
    const { clock } = this.#options;
    const { http2 } = session;
    http2.once('connect', () => {
      const look = (): void => {
        if (http2.destroyed) return;
        const silentMs = clock.monotonic() - session.heardMs;
        if (silentMs > 2 * pingMs) {
          http2.destroy(new Error('the connection is silent'));
          return;
        }
        if (silentMs > pingMs && !http2.closed) {
          http2.ping(() => {
            session.heardMs = clock.monotonic();
          });
        }
        clock.timer(pingMs / 2, look);
      };
      session.heardMs = clock.monotonic();
      look();
    });
  }
}

/** Asks until something other than a failure of the server is answered, each time on a new connection: maybe to another server. */
export async function insist(
  connection: Pick<Connection, 'ask' | 'connects' | 'renew'>,
  asked: Question,
  { clock, withinMs, apartMs }: { readonly clock: Clock; readonly withinMs: number; readonly apartMs: number },
  signal: AbortSignal,
): Promise<Answer> {
  const overMs = clock.monotonic() + withinMs;
  for (;;) {
    const connects = connection.connects;
    const answer = await connection.ask(asked, signal).catch((error: Error) => error);
    if (!(answer instanceof Error) && answer.code < 500 && answer.code !== 429) return answer;
    signal.throwIfAborted();
    if (clock.monotonic() > overMs) {
      if (answer instanceof Error) throw answer;
      throw new Error(`${asked.method} ${asked.path}: ${answer.code} ${answer.text}`);
    }
    connection.renew(connects);
    await sleep(clock, apartMs, signal);
  }
}

function isWhole(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function namesOf(socket: TLSSocket): readonly string[] {
  const { subjectaltname = '' } = socket.getPeerCertificate();
  return [...subjectaltname.matchAll(/DNS:([^,\s]+)/g)].map(([, name]) => name!);
}
