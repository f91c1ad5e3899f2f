// From a message to its reply: the cluster's zone from its records, everything else from the host's resolvers.
import dnsPacket from 'dns-packet';
import type { Environment } from '../lib/environment.ts';
import { type Answer, answer, type DnsRecord, type Zone } from './answer.ts';
import type { ClusterRecords } from './cluster-records.ts';
import type { Forwarder, ForwardFailure, Transport } from './forwarder.ts';
import {
  encodeRefusal,
  encodeReply,
  parseQuery,
  type Query,
  type Reply,
  readReply,
  TCP_BYTES,
  udpLimit,
} from './message.ts';
import type { DnsMetrics } from './metrics.ts';

export interface ResponderOptions {
  readonly env: Environment;
  readonly metrics: DnsMetrics;
  readonly records: ClusterRecords;
  readonly zone: Zone;
  readonly forwarder: Forwarder;
}

const RCODE_NAMES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];
const EMPTY = { authoritative: false, answers: [], authorities: [], additionals: [] } as const;

/** What was said, and which part of the server said it (under CoreDNS' names for such parts). */
interface Said {
  readonly reply: Buffer;
  readonly zone: string;
  readonly plugin: string;
}

export class Responder {
  readonly #options: ResponderOptions;

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** The reply to send; undefined when there must be none. Never rejects but for the signal. */
  async respond(
    message: Buffer,
    from: { readonly transport: Transport; readonly family: '1' | '2' },
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { env, metrics } = this.#options;
    const startMs = env.clock.monotonic();
    const parsed = parseQuery(message);
    if (parsed.kind === 'ignored') return undefined;
    if (parsed.kind === 'refused') return encodeRefusal(parsed.id, parsed.opcode, parsed.rcode);
    const { query } = parsed;
    const limit = from.transport === 'udp' ? udpLimit(query) : TCP_BYTES;
    let said: Said;
    try {
      said = await this.#say(message, query, from.transport, limit, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      metrics.failed();
      env.log.error('cannot answer a question', error, { name: query.name, type: query.type });
      said = { reply: this.#refuse(query, 'SERVFAIL', limit), zone: '.', plugin: '' };
    }
    metrics.answered({
      ...from,
      zone: said.zone,
      plugin: said.plugin,
      type: query.type,
      rcode: RCODE_NAMES[said.reply[3]! & 0xf] ?? 'other',
      seconds: (env.clock.monotonic() - startMs) / 1000,
      requestBytes: message.length,
      responseBytes: said.reply.length,
    });
    return said.reply;
  }

  async #say(message: Buffer, query: Query, transport: Transport, limit: number, signal: AbortSignal): Promise<Said> {
    const { records, zone, forwarder } = this.#options;
    if (query.edns && query.edns.version !== 0)
      return { reply: this.#refuse(query, 'BADVERS', limit), zone: '.', plugin: '' };
    if (query.class !== 'IN') return { reply: this.#refuse(query, 'REFUSED', limit), zone: '.', plugin: '' };
    const isOurs = query.name === zone.name || query.name.endsWith(`.${zone.name}`);
    const ours = { zone: `${zone.name}.`, plugin: 'kubernetes' };
    // Before the first list is in, "there is no such name" would be a lie that clients keep.
    if (isOurs && !records.complete) return { reply: this.#refuse(query, 'SERVFAIL', limit), ...ours };
    const found = answer(query, records, zone);
    if (found) return { reply: encodeReply(query, await this.#whole(found, query, signal), limit), ...ours };
    const reply = await forwarder.forward(message, query, transport, signal);
    return {
      reply: typeof reply === 'string' ? this.#failed(query, reply, limit) : reply,
      zone: '.',
      plugin: 'forward',
    };
  }

  /** With what stands behind an alias of a name outside, and with addresses in an order that spreads clients over them. */
  async #whole(found: Answer, query: Query, signal: AbortSignal): Promise<Reply> {
    const behind = found.alias === undefined ? [] : await this.#behind(found.alias, query.type, signal);
    return { ...found, authoritative: true, answers: [...this.#shuffled(found.answers), ...behind] };
  }

  /** The records of a name outside; none when they cannot be had: the client may follow the alias itself. */
  async #behind(name: string, type: string, signal: AbortSignal): Promise<readonly dnsPacket.Answer[]> {
    const questions = [{ name, type: type as dnsPacket.RecordType }];
    const message = dnsPacket.encode({ type: 'query', id: 0, flags: dnsPacket.RECURSION_DESIRED, questions });
    const parsed = parseQuery(message);
    if (parsed.kind !== 'query') return [];
    let reply = await this.#options.forwarder.forward(message, parsed.query, 'udp', signal);
    if (typeof reply !== 'string' && readReply(reply)?.truncated) {
      reply = await this.#options.forwarder.forward(message, parsed.query, 'tcp', signal);
    }
    return typeof reply === 'string' ? [] : (dnsPacket.decode(reply).answers ?? []);
  }

  #shuffled(answers: readonly DnsRecord[]): readonly DnsRecord[] {
    const [first] = answers;
    if (2 > answers.length || (first!.type !== 'A' && first!.type !== 'AAAA')) return answers;
    const mixed = [...answers];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = Math.floor(this.#options.env.random.next() * (i + 1));
      [mixed[i], mixed[j]] = [mixed[j]!, mixed[i]!];
    }
    return mixed;
  }

  #failed(query: Query, failure: ForwardFailure, limit: number): Buffer {
    return this.#refuse(query, failure === 'overloaded' ? 'REFUSED' : 'SERVFAIL', limit);
  }

  #refuse(query: Query, rcode: Reply['rcode'], limit: number): Buffer {
    return encodeReply(query, { ...EMPTY, rcode }, limit);
  }
}
