// Replies of upstream resolvers, kept for as long as their records live, and not longer than a bound.
import { readReply, type WireFacts } from './message.ts';

interface Kept {
  readonly reply: Buffer;
  readonly ttls: WireFacts['ttls'];
  readonly storedMs: number;
  readonly expiresMs: number;
}

export const MAX_CACHED_REPLIES = 2000;
/** As CoreDNS is usually set up: no record from outside is older than this. */
export const MAX_CACHED_MS = 30_000;
const HEADER_BYTES = 12;
const NOERROR = 0;
const NXDOMAIN = 3;

/** Times are of a clock that never goes back. At the bound the reply that was unused for longest goes. */
export class ReplyCache {
  readonly #kept = new Map<string, Kept>();

  get size(): number {
    return this.#kept.size;
  }

  /** Keeps a reply if it may be kept: a whole one, that says what there is or that there is nothing. */
  put(key: string, reply: Buffer, nowMs: number): void {
    const facts = readReply(reply);
    if (!facts || facts.truncated || (facts.rcode !== NOERROR && facts.rcode !== NXDOMAIN)) return;
    // A negative reply lives as long as its SOA record; one without any record says nothing about its life.
    if (facts.ttls.length === 0) return;
    const livesMs = Math.min(MAX_CACHED_MS, ...facts.ttls.map((ttl) => ttl.seconds * 1000));
    if (livesMs <= 0) return;
    this.#kept.delete(key);
    this.#kept.set(key, { reply, ttls: facts.ttls, storedMs: nowMs, expiresMs: nowMs + livesMs });
    if (this.#kept.size > MAX_CACHED_REPLIES) this.#kept.delete(this.#kept.keys().next().value!);
  }

  /** The reply with this query's identifier and letters, its records' lives shortened by its age. */
  get(key: string, id: number, rawQuestion: Buffer, nowMs: number): Buffer | undefined {
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    this.#kept.delete(key);
    if (nowMs >= kept.expiresMs) return undefined;
    this.#kept.set(key, kept);
    const reply = Buffer.from(kept.reply);
    reply.writeUInt16BE(id, 0);
    rawQuestion.copy(reply, HEADER_BYTES);
    const ageSeconds = Math.floor((nowMs - kept.storedMs) / 1000);
    for (const { offset, seconds } of kept.ttls) reply.writeUInt32BE(Math.max(0, seconds - ageSeconds), offset);
    return reply;
  }
}
