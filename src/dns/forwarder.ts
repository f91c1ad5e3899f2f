// Questions about names outside the cluster go to the host's resolvers, and their replies back, byte for byte.
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { abortable, isAbort } from '../lib/abort.ts';
import type { Timer } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { type Query, readReply } from './message.ts';
import type { DnsMetrics } from './metrics.ts';
import { ReplyCache } from './reply-cache.ts';
import type { Upstream } from './resolv-conf.ts';

export type Transport = 'udp' | 'tcp';

/** Questions on their way at once; further ones are refused. */
export const MAX_FORWARDED = 1000;
const TRY_TIMEOUT_MS = 2000;
/** Every resolver once, the first again when there is only one. */
const MIN_TRIES = 2;
const MAX_TRIES = 3;
const MAX_TCP_REPLY_BYTES = 65_535;

export type ForwardFailure = 'overloaded' | 'unreachable';

export interface ForwarderOptions {
  readonly env: Environment;
  readonly metrics: DnsMetrics;
  /** Asked before every forwarded question: cheap, and always up to date. */
  readonly upstreams: () => Promise<readonly Upstream[]>;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #cache = new ReplyCache();
  #inFlight = 0;
  /** The resolver that answered last is asked first. */
  #preferred = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** A reply that fits the query (identifier, question), from the cache or a resolver; or why there is none. */
  async forward(
    message: Buffer,
    query: Query,
    transport: Transport,
    signal: AbortSignal,
  ): Promise<Buffer | ForwardFailure> {
    const { env, metrics } = this.#options;
    const key = cacheKey(message, query, transport);
    const cached = this.#cache.get(key, query.id, query.rawQuestion, env.clock.monotonic());
    metrics.cacheUsed(cached !== undefined, this.#cache.size);
    if (cached) return cached;
    if (this.#inFlight >= MAX_FORWARDED) {
      metrics.rejected();
      return 'overloaded';
    }
    this.#inFlight++;
    try {
      const reply = await this.#ask(message, query, transport, signal);
      if (!reply) return 'unreachable';
      this.#cache.put(key, reply, env.clock.monotonic());
      // The identifier towards the resolver was another one.
      const own = Buffer.from(reply);
      own.writeUInt16BE(query.id, 0);
      query.rawQuestion.copy(own, 12);
      return own;
    } finally {
      this.#inFlight--;
    }
  }

  async #ask(message: Buffer, query: Query, transport: Transport, signal: AbortSignal): Promise<Buffer | undefined> {
    const { env, metrics } = this.#options;
    const upstreams = await this.#options.upstreams();
    const tries = upstreams.length === 0 ? 0 : Math.min(MAX_TRIES, Math.max(MIN_TRIES, upstreams.length));
    const first = this.#preferred;
    for (let i = 0; tries > i; i++) {
      const index = (first + i) % upstreams.length;
      const upstream = upstreams[index]!;
      const startMs = env.clock.monotonic();
      try {
        const reply = await this.#once(message, query, upstream, transport, signal);
        this.#preferred = index;
        metrics.forwarded(upstream, readReply(reply)?.rcode ?? 0, (env.clock.monotonic() - startMs) / 1000);
        return reply;
      } catch (error) {
        if (isAbort(error, signal)) throw error;
        metrics.forwardFailed(upstream);
        env.log.debug('a resolver did not answer', { address: upstream.address, error: String(error) });
      }
    }
    return undefined;
  }

  /** A fresh identifier and, by a fresh socket, a fresh port: nobody else can guess what a reply must look like. */
  async #once(
    message: Buffer,
    query: Query,
    upstream: Upstream,
    transport: Transport,
    signal: AbortSignal,
  ): Promise<Buffer> {
    const { clock, random } = this.#options.env;
    const sent = Buffer.from(message);
    random.bytes(2).forEach((byte, i) => {
      sent[i] = byte;
    });
    const isReply = (reply: Buffer): boolean => matchesQuery(reply, sent, query);
    const attempt = transport === 'udp' ? overUdp(sent, upstream, isReply) : overTcp(sent, upstream, isReply);
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = clock.timer(TRY_TIMEOUT_MS, () => reject(new Error(`no answer in ${TRY_TIMEOUT_MS} ms`)));
    });
    try {
      return await abortable(Promise.race([attempt.reply, late]), signal);
    } finally {
      timer?.cancel();
      attempt.close();
    }
  }
}

interface Attempt {
  readonly reply: Promise<Buffer>;
  close(): void;
}

function overUdp(sent: Buffer, upstream: Upstream, isReply: (reply: Buffer) => boolean): Attempt {
  const socket = createSocket(isIPv6(upstream.address) ? 'udp6' : 'udp4');
  let open = true;
  const reply = new Promise<Buffer>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('message', (message) => {
      if (isReply(message)) resolve(message);
    });
    // Without a route it is this callback that is told, not the event; the types do not know that.
    const connected = (error?: Error): void => {
      if (error) reject(error);
      else if (open) socket.send(sent, (failure) => failure && reject(failure));
    };
    // A connected socket takes packets of this resolver only, and hears when nobody listens there.
    socket.connect(upstream.port, upstream.address, connected);
  });
  reply.catch(() => undefined);
  const close = (): void => {
    open = false;
    socket.close();
  };
  return { reply, close };
}

function overTcp(sent: Buffer, upstream: Upstream, isReply: (reply: Buffer) => boolean): Attempt {
  const socket = connect(upstream.port, upstream.address);
  const reply = new Promise<Buffer>((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without a reply')));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (2 > received.length || received.readUInt16BE(0) + 2 > received.length) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      if (MAX_TCP_REPLY_BYTES >= message.length && isReply(message)) resolve(message);
      else reject(new Error('a reply to another question'));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(sent.length);
    socket.write(Buffer.concat([length, sent]));
  });
  reply.catch(() => undefined);
  return { reply, close: () => socket.destroy() };
}

function matchesQuery(reply: Buffer, sent: Buffer, query: Query): boolean {
  if (12 > reply.length || reply.readUInt16BE(0) !== sent.readUInt16BE(0)) return false;
  const question = readReply(reply)?.rawQuestion;
  return question !== undefined && sameQuestion(question, query.rawQuestion);
}

function sameQuestion(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && a.toString('latin1').toLowerCase() === b.toString('latin1').toLowerCase();
}

/** Replies depend on all of this: what is asked, and how large and of which kind the reply may be. */
function cacheKey(message: Buffer, query: Query, transport: Transport): string {
  const { edns, type, name } = query;
  const checkingDisabled = message[3]! & 0x10;
  const size = edns ? `${edns.udpSize} ${edns.dnssecOk}` : 'plain';
  return [name, type, query.class, transport, size, checkingDisabled, query.recursionDesired].join(' ');
}
