// Protocol buffers for the few messages of etcd's API: messages are described as data, read and written by one interpreter.

/**
 * How a field is written. int: a varint that fits 2^53 (revisions, counts, enums). id: 64 bits, as a bigint (members, leases).
 * A message's own fields for a nested one. Fields with their default value are left out, as proto3 does.
 */
export type FieldType = 'bytes' | 'text' | 'int' | 'id' | 'bool' | MessageType;

export interface Field {
  readonly number: number;
  readonly type: FieldType;
  readonly repeated: boolean;
}

export interface MessageType {
  readonly fields: readonly (Field & { readonly name: string })[];
  readonly byNumber: readonly ((Field & { readonly name: string }) | undefined)[];
}

/** A message: by field name; absent is the default. */
export type Message = { [name: string]: unknown };

export class WireError extends Error {
  override name = 'WireError';
}

/** Describes a message: field name → [number, type], or [number, type, 'repeated']. */
export function message(
  described: Readonly<
    Record<string, readonly [number: number, type: FieldType] | readonly [number, FieldType, 'repeated']>
  >,
): MessageType {
  const fields = Object.entries(described).map(([name, [number, type, repeated]]) => ({
    name,
    number,
    type,
    repeated: repeated === 'repeated',
  }));
  fields.sort((a, b) => a.number - b.number);
  const byNumber: MessageType['byNumber'][number][] = [];
  for (const field of fields) byNumber[field.number] = field;
  return { fields, byNumber };
}

const VARINT = 0;
const DELIMITED = 2;
const EMPTY = Buffer.alloc(0);

/** Writes from the end to the start, so that a nested message's length is known when it is written. */
class Writer {
  #bytes = Buffer.allocUnsafeSlow(16_384);
  #at = 16_384;

  /** What was written, behind `head` free bytes, as memory of its own. */
  take(head: number): Buffer {
    const length = this.#bytes.length - this.#at;
    const out = Buffer.allocUnsafe(head + length);
    this.#bytes.copy(out, head, this.#at);
    this.#at = this.#bytes.length;
    // One big request does not keep its memory for good.
    if (this.#bytes.length > KEPT_BYTES) {
      this.#bytes = Buffer.allocUnsafeSlow(16_384);
      this.#at = 16_384;
    }
    return out;
  }

  /** Forgets what was written before an encoding that threw. */
  reset(): void {
    this.#at = this.#bytes.length;
  }

  message(type: MessageType, value: Message): void {
    for (let i = type.fields.length - 1; i >= 0; i--) {
      const field = type.fields[i]!;
      const member = value[field.name];
      if (member === undefined) continue;
      if (!field.repeated) this.#field(field, member);
      else {
        const list = member as readonly unknown[];
        for (let k = list.length - 1; k >= 0; k--) this.#field(field, list[k], true);
      }
    }
  }

  #field({ number, type }: Field, value: unknown, element = false): void {
    if (typeof type === 'object') {
      const end = this.#at;
      const size = this.#bytes.length;
      this.message(type, value as Message);
      // The buffer may have grown at its front meanwhile.
      this.#varint(end + this.#bytes.length - size - this.#at);
      this.#varint((number << 3) | DELIMITED);
      return;
    }
    switch (type) {
      case 'bytes':
      case 'text': {
        const length = type === 'text' ? Buffer.byteLength(value as string) : (value as Buffer).length;
        if (length === 0 && !element) return;
        this.#reserve(length);
        this.#at -= length;
        if (type === 'text') this.#bytes.write(value as string, this.#at, length, 'utf8');
        else (value as Buffer).copy(this.#bytes, this.#at);
        this.#varint(length);
        this.#varint((number << 3) | DELIMITED);
        return;
      }
      case 'int':
        if (value === 0) return;
        this.#varint(value as number);
        break;
      case 'id':
        if (value === 0n) return;
        this.#bigVarint(value as bigint);
        break;
      case 'bool':
        if (!value) return;
        this.#varint(1);
    }
    this.#varint((number << 3) | VARINT);
  }

  #varint(value: number): void {
    if (!Number.isSafeInteger(value) || 0 > value) throw new WireError(`${value} cannot be written`);
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++;
    this.#reserve(length);
    this.#at -= length;
    let at = this.#at;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.#bytes[at++] = (rest % 128) | 0x80;
    this.#bytes[at] = rest;
  }

  #bigVarint(value: bigint): void {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#bytes.set(bytes, this.#at);
  }

  #reserve(length: number): void {
    if (this.#at >= length) return;
    const used = this.#bytes.length - this.#at;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, used + length * 2));
    this.#bytes.copy(grown, grown.length - used, this.#at);
    this.#at = grown.length - used;
    this.#bytes = grown;
  }
}

const KEPT_BYTES = 1 << 20;
const writer = new Writer();

/** A message's bytes behind `head` bytes that the caller fills in. */
export function encode(type: MessageType, value: object, head = 0): Buffer {
  writer.reset();
  writer.message(type, value as Message);
  return writer.take(head);
}

/**
 * A message out of its bytes. Every field is there: with its default where the bytes had none (undefined for a nested message).
 * Bytes members are views of `bytes`. Throws WireError for bytes that are no such message.
 */
export function decode(type: MessageType, bytes: Buffer): Message {
  return new Reader(bytes).message(type, bytes.length);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  message(type: MessageType, end: number): Message {
    const value = blank(type);
    while (end > this.#at) {
      const tag = this.#varint();
      const wire = tag & 7;
      const field = type.byNumber[tag >>> 3];
      if (!field) {
        this.#skip(wire);
        continue;
      }
      const wanted = field.type === 'int' || field.type === 'id' || field.type === 'bool' ? VARINT : DELIMITED;
      if (wire !== wanted) throw new WireError(`field ${field.name} has wire type ${wire}`);
      const member = this.#value(field.type);
      if (field.repeated) (value[field.name] as unknown[]).push(member);
      else value[field.name] = member;
    }
    if (this.#at !== end) throw new WireError('a message ends within a field');
    return value;
  }

  #value(type: FieldType): unknown {
    switch (type) {
      case 'int':
        return this.#varint();
      case 'id':
        return this.#bigVarint();
      case 'bool':
        return this.#varint() !== 0;
    }
    const start = this.#delimited();
    if (typeof type === 'object') return this.message(type, this.#at + start);
    const from = this.#at;
    this.#at += start;
    return type === 'text' ? this.#bytes.toString('utf8', from, this.#at) : this.#bytes.subarray(from, this.#at);
  }

  #delimited(): number {
    const length = this.#varint();
    if (this.#at + length > this.#bytes.length) throw new WireError('a field is longer than its message');
    return length;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; 10 > i; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (0x80 > byte) return value;
      scale *= 128;
    }
    throw new WireError('a number is too long');
  }

  #bigVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; 70n > shift; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (0x80 > byte) return BigInt.asUintN(64, value);
    }
    throw new WireError('a number is too long');
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new WireError('a message is cut short');
    return byte;
  }

  #skip(wire: number): void {
    if (wire === VARINT) while (this.#byte() >= 0x80);
    else if (wire === DELIMITED) {
      const length = this.#delimited();
      this.#at += length;
    } else if (wire === 1) this.#at += 8;
    else if (wire === 5) this.#at += 4;
    else throw new WireError(`wire type ${wire}`);
  }
}

function blank(type: MessageType): Message {
  const value: Message = {};
  for (const { name, type: t, repeated } of type.fields) {
    if (repeated) value[name] = [];
    else if (t === 'int') value[name] = 0;
    else if (t === 'bool') value[name] = false;
    else if (t === 'text') value[name] = '';
    else if (t === 'id') value[name] = 0n;
    else value[name] = t === 'bytes' ? EMPTY : undefined;
  }
  return value;
}
