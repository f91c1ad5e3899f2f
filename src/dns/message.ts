// DNS messages on the wire (RFC 1035, EDNS of RFC 6891). dns-packet encodes and decodes records; what it does not do is
// here: compressing names, cutting an answer to what the client takes, and changing bytes in place.
import dnsPacket from 'dns-packet';
import type { DnsRecord, Rcode } from './answer.ts';

export interface Query {
  readonly id: number;
  /** Lower case, without a final dot. */
  readonly name: string;
  readonly type: string;
  readonly class: string;
  readonly recursionDesired: boolean;
  /** Undefined: the client does not speak EDNS. */
  readonly edns: { readonly udpSize: number; readonly version: number; readonly dnssecOk: boolean } | undefined;
  /** The question as it was sent, in the client's own letters: answers repeat it. */
  readonly rawQuestion: Buffer;
}

export type Parsed =
  | { readonly kind: 'query'; readonly query: Query }
  /** Answer with this code. */
  | { readonly kind: 'refused'; readonly rcode: Rcode; readonly id: number; readonly opcode: number }
  /** Not a question: answering it might make two servers talk for ever. */
  | { readonly kind: 'ignored' };

export interface Reply {
  readonly rcode: Rcode | 'BADVERS';
  readonly authoritative: boolean;
  readonly answers: readonly (DnsRecord | dnsPacket.Answer)[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

const HEADER_BYTES = 12;
const OPT_BYTES = 11;
/** What every client takes over UDP. */
const PLAIN_UDP_BYTES = 512;
/** What this server sends and takes over UDP at most: fits an IPv6 packet on every link. */
export const UDP_BYTES = 1232;
export const TCP_BYTES = 65_535;
/** A compression pointer has 14 bits. */
const MAX_POINTER = 0x3fff;

const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
const FLAG = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  available: 0x0080,
};

export function parseQuery(message: Buffer): Parsed {
  if (HEADER_BYTES > message.length) return { kind: 'ignored' };
  const flags = message.readUInt16BE(2);
  if (flags & FLAG.response) return { kind: 'ignored' };
  const id = message.readUInt16BE(0);
  const opcode = (flags >> 11) & 0xf;
  if (opcode !== 0) return { kind: 'refused', rcode: 'NOTIMP', id, opcode };
  if (message.readUInt16BE(4) !== 1) return { kind: 'refused', rcode: 'FORMERR', id, opcode };
  try {
    const decoded = dnsPacket.decode(message);
    const question = decoded.questions![0]!;
    const opt = decoded.additionals?.find((record) => record.type === 'OPT');
    const query: Query = {
      id,
      name: question.name.toLowerCase().replace(/\.$/, ''),
      type: question.type,
      class: question.class ?? 'IN',
      recursionDesired: Boolean(flags & FLAG.recursionDesired),
      edns: opt && { udpSize: opt.udpPayloadSize, version: opt.ednsVersion, dnssecOk: opt.flag_do },
      rawQuestion: message.subarray(HEADER_BYTES, nameEnd(message, HEADER_BYTES) + 4),
    };
    return { kind: 'query', query };
  } catch {
    // dns-packet throws where a length or a pointer leads out of the message.
    return { kind: 'refused', rcode: 'FORMERR', id, opcode };
  }
}

/** A reply without a question, to a message that has none that can be repeated. */
export function encodeRefusal(id: number, opcode: number, rcode: Rcode): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(FLAG.response | (opcode << 11) | RCODES[rcode], 2);
  return header;
}

/** The reply in at most `maximumBytes`; answers that do not fit are left out and the reply says that it is truncated. */
export function encodeReply(query: Query, reply: Reply, maximumBytes: number): Buffer {
  const writer = new Writer(query.rawQuestion, maximumBytes - (query.edns ? OPT_BYTES : 0));
  const answers = writer.add(reply.answers);
  const complete = answers === reply.answers.length;
  const authorities = complete ? writer.add(reply.authorities) : 0;
  const additionals = complete ? writer.add(reply.additionals) : 0;
  const header = Buffer.alloc(HEADER_BYTES);
  const code = RCODES[reply.rcode];
  const flags =
    FLAG.response |
    FLAG.available |
    (reply.authoritative ? FLAG.authoritative : 0) |
    (complete ? 0 : FLAG.truncated) |
    (query.recursionDesired ? FLAG.recursionDesired : 0) |
    (code & 0xf);
  const counts = [query.id, flags, 1, answers, authorities, additionals + (query.edns ? 1 : 0)];
  for (const [i, count] of counts.entries()) header.writeUInt16BE(count, i * 2);
  return Buffer.concat([header, query.rawQuestion, ...writer.parts, ...(query.edns ? [optRecord(query, code)] : [])]);
}

/** How large a reply over UDP may be. */
export function udpLimit(query: Query): number {
  return query.edns ? Math.min(Math.max(query.edns.udpSize, PLAIN_UDP_BYTES), UDP_BYTES) : PLAIN_UDP_BYTES;
}

function optRecord(query: Query, code: number): Buffer {
  const record = Buffer.alloc(OPT_BYTES);
  record.writeUInt16BE(41, 1);
  record.writeUInt16BE(UDP_BYTES, 3);
  record.writeUInt8(code >> 4, 5);
  record.writeUInt16BE(query.edns?.dnssecOk ? 0x8000 : 0, 7);
  return record;
}

/** Writes records one after the other; a record's name is written as a pointer to where its end was written before. */
class Writer {
  readonly parts: Buffer[] = [];
  readonly #written = new Map<string, number>();
  readonly #maximum: number;
  #length: number;

  constructor(rawQuestion: Buffer, maximum: number) {
    this.#maximum = maximum;
    this.#length = HEADER_BYTES + rawQuestion.length;
    this.#note(readLabels(rawQuestion), HEADER_BYTES);
  }

  /** Adds records while they fit; returns how many did. */
  add(records: readonly (DnsRecord | dnsPacket.Answer)[]): number {
    let count = 0;
    for (const record of records) {
      const labels = record.name === '' || record.name === '.' ? [] : record.name.split('.');
      const name = this.#compress(labels);
      // The rest of the record, as dns-packet writes it behind an empty name in an empty message.
      const anonymous = { ...record, name: '.' } as dnsPacket.Answer;
      const rest = dnsPacket.encode({ type: 'response', answers: [anonymous] }).subarray(HEADER_BYTES + 1);
      if (this.#length + name.length + rest.length > this.#maximum) return count;
      this.#note(labels, this.#length);
      this.parts.push(name, rest);
      this.#length += name.length + rest.length;
      count++;
    }
    return count;
  }

  #compress(labels: readonly string[]): Buffer {
    const bytes: Buffer[] = [];
    for (let i = 0; labels.length > i; i++) {
      const pointer = this.#written.get(labels.slice(i).join('.').toLowerCase());
      if (pointer !== undefined) return Buffer.concat([...bytes, Buffer.from([0xc0 | (pointer >> 8), pointer & 0xff])]);
      const label = Buffer.from(labels[i]!);
      bytes.push(Buffer.from([label.length]), label);
    }
    return Buffer.concat([...bytes, Buffer.from([0])]);
  }

  #note(labels: readonly string[], offset: number): void {
    let at = offset;
    for (let i = 0; labels.length > i && MAX_POINTER > at; i++) {
      const suffix = labels.slice(i).join('.').toLowerCase();
      if (this.#written.has(suffix)) return;
      this.#written.set(suffix, at);
      at += 1 + Buffer.byteLength(labels[i]!);
    }
  }
}

function readLabels(raw: Buffer): readonly string[] {
  const labels: string[] = [];
  for (let at = 0; raw[at]!; at += 1 + raw[at]!) labels.push(raw.toString('utf8', at + 1, at + 1 + raw[at]!));
  return labels;
}

/** Where the name at `offset` ends. Throws RangeError when the message ends before. */
function nameEnd(message: Buffer, offset: number): number {
  for (let at = offset; ; at += 1 + message[at]!) {
    const length = message.readUInt8(at);
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return at + 2;
  }
}

export interface WireFacts {
  readonly rcode: number;
  readonly truncated: boolean;
  readonly answerCount: number;
  /** Where the records' lives are written, and how long they are; the OPT record has none. */
  readonly ttls: readonly { readonly offset: number; readonly seconds: number }[];
  readonly rawQuestion: Buffer;
}

/** What a cache must know of an upstream's reply; undefined when it is not a well-formed reply to one question. */
export function readReply(message: Buffer): WireFacts | undefined {
  try {
    const flags = message.readUInt16BE(2);
    const counts = [4, 6, 8, 10].map((offset) => message.readUInt16BE(offset));
    if (!(flags & FLAG.response) || counts[0] !== 1) return undefined;
    const questionEnd = nameEnd(message, HEADER_BYTES) + 4;
    const ttls: { offset: number; seconds: number }[] = [];
    let at = questionEnd;
    for (let left = counts[1]! + counts[2]! + counts[3]!; left > 0; left--) {
      at = nameEnd(message, at);
      if (message.readUInt16BE(at) !== 41) ttls.push({ offset: at + 4, seconds: message.readUInt32BE(at + 4) });
      at += 10 + message.readUInt16BE(at + 8);
    }
    if (at > message.length) return undefined;
    return {
      rcode: flags & 0xf,
      truncated: Boolean(flags & FLAG.truncated),
      answerCount: counts[1]!,
      ttls,
      rawQuestion: message.subarray(HEADER_BYTES, questionEnd),
    };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
