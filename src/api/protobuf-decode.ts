// Kubernetes objects out of protobuf, driven by the table of types. The outcome is the JSON value of the same object, for
// decode() to prune and check as it does any other.
import { formatDuration } from '../machinery/time.ts';
import { parseJson, setMember } from './json.ts';
import type { Tables, TypeRow } from './tables.ts';

/** An envelope's contents: the kind, and the object's message still encoded. */
export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Uint8Array;
}

const MAGIC = Buffer.from('k8s\0', 'latin1');
/** Messages nest no deeper; schemas of custom resources go deepest. */
const MAX_DEPTH = 200;

export class ProtobufError extends Error {
  override name = 'ProtobufError';
}

export function hasProtobufPrefix(bytes: Uint8Array): boolean {
  return MAGIC.equals(bytes.subarray(0, MAGIC.length));
}

/** Opens `k8s\0` and runtime.Unknown. Throws ProtobufError. */
export function readEnvelope(bytes: Uint8Array): Envelope {
  if (!hasProtobufPrefix(bytes))
    throw new ProtobufError('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  const unknown = new Reader(bytes.subarray(MAGIC.length));
  const envelope = { apiVersion: '', kind: '', raw: new Uint8Array() as Uint8Array };
  while (!unknown.atEnd) {
    const { number, wire } = unknown.tag();
    if (number === 1) {
      const meta = new Reader(unknown.bytes());
      while (!meta.atEnd) {
        const field = meta.tag();
        if (field.number === 1) envelope.apiVersion = meta.text();
        else if (field.number === 2) envelope.kind = meta.text();
        else meta.skip(field.wire);
      }
    } else if (number === 2) envelope.raw = unknown.bytes();
    else unknown.skip(wire);
  }
  return envelope;
}

/** A message of a type as the JSON value it stands for. Throws ProtobufError for bytes that are no such message. */
export function decodeProtobuf(tables: Tables, typeName: string, bytes: Uint8Array): { [key: string]: unknown } {
  return new Decoder(tables).message(tables.type(typeName), bytes, 0) as { [key: string]: unknown };
}

interface ProtoField {
  readonly name: string;
  readonly code: string;
  /** The message's members belong to the object around it. */
  readonly inline: boolean;
}

const fieldsOf = new WeakMap<TypeRow, Map<number, ProtoField>>();

function protoFields(row: TypeRow): Map<number, ProtoField> {
  let fields = fieldsOf.get(row);
  if (!fields) {
    fields = new Map();
    for (const { name, number, code, inline } of row.declared)
      if (number > 0) fields.set(number, { name, code, inline });
    fieldsOf.set(row, fields);
  }
  return fields;
}

class Decoder {
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  message(row: TypeRow, bytes: Uint8Array, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new ProtobufError('messages nest too deep');
    if (row.leaf !== undefined) return this.#leafMessage(row.leaf, bytes, depth);
    if (row.alias !== undefined) return this.message(this.#tables.type(row.alias.slice(1)), bytes, depth);
    if (row.list !== undefined) return this.#listMessage(row.list, bytes, depth);
    const object: { [key: string]: unknown } = {};
    const fields = protoFields(row);
    const reader = new Reader(bytes);
    while (!reader.atEnd) {
      const { number, wire } = reader.tag();
      const field = fields.get(number);
      if (!field) reader.skip(wire);
      else if (field.inline) Object.assign(object, this.#value(field.code, reader, wire, depth));
      else this.#into(object, field, reader, wire, depth);
    }
    return row.custom === undefined ? object : oneForm(row.custom, object);
  }

  #into(
    object: { [key: string]: unknown },
    { name, code }: ProtoField,
    reader: Reader,
    wire: number,
    depth: number,
  ): void {
    if (code.startsWith('[]')) {
      object[name] ??= [];
      this.#elements(object[name] as unknown[], code.slice(2), reader, wire, depth);
    } else if (code.startsWith('{}')) {
      object[name] ??= {};
      const { key, value } = this.#entry(code.slice(2), reader.bytes(), depth);
      setMember(object[name] as { [key: string]: unknown }, key, value);
    } else {
      object[name] = this.#value(code, reader, wire, depth);
    }
  }

  /** One element, or all of them where numbers are packed. */
  #elements(list: unknown[], code: string, reader: Reader, wire: number, depth: number): void {
    if (wire !== DELIMITED || !PACKABLE.has(code)) {
      list.push(this.#value(code, reader, wire, depth));
      return;
    }
    const packed = new Reader(reader.bytes());
    while (!packed.atEnd) list.push(this.#value(code, packed, code === 'double' ? FIXED64 : VARINT, depth));
  }

  #entry(code: string, bytes: Uint8Array, depth: number): { key: string; value: unknown } {
    const reader = new Reader(bytes);
    let key = '';
    let value: unknown;
    while (!reader.atEnd) {
      const { number, wire } = reader.tag();
      if (number === 1) key = reader.text();
      else if (number === 2) value = this.#value(code, reader, wire, depth);
      else reader.skip(wire);
    }
    return { key, value: value ?? this.#zero(code, depth) };
  }

  /** What an entry without a value holds. */
  #zero(code: string, depth: number): unknown {
    if (code.startsWith('@')) return this.message(this.#tables.type(code.slice(1)), new Uint8Array(), depth + 1);
    if (code === 'string' || code === 'bytes') return '';
    if (code === 'bool') return false;
    return SCALARS.has(code) ? 0 : this.#leafMessage(code, new Uint8Array(), depth + 1);
  }

  #value(code: string, reader: Reader, wire: number, depth: number): unknown {
    const expected = SCALARS.get(code) ?? DELIMITED;
    if (wire !== expected) throw new ProtobufError(`wrong wireType = ${wire} for ${code}`);
    switch (code) {
      case 'string':
        return reader.text();
      case 'bytes':
        return Buffer.from(reader.bytes()).toString('base64');
      case 'bool':
        return reader.varint() !== 0n;
      case 'int32':
        return Number(BigInt.asIntN(32, reader.varint()));
      case 'int64':
        return exact(BigInt.asIntN(64, reader.varint()));
      case 'double':
        return reader.double();
    }
    if (code.startsWith('@')) return this.message(this.#tables.type(code.slice(1)), reader.bytes(), depth + 1);
    return this.#leafMessage(code, reader.bytes(), depth + 1);
  }

  #listMessage(code: string, bytes: Uint8Array, depth: number): unknown[] {
    const list: unknown[] = [];
    const reader = new Reader(bytes);
    while (!reader.atEnd) {
      const { number, wire } = reader.tag();
      if (number === 1) this.#elements(list, code, reader, wire, depth);
      else reader.skip(wire);
    }
    return list;
  }

  #leafMessage(leaf: string, bytes: Uint8Array, depth: number): unknown {
    const { numbers, blobs } = smallMessage(bytes);
    const text = (number: number): string => Buffer.from(blobs.get(number) ?? []).toString('utf8');
    switch (leaf) {
      case 'quantity':
        return text(1);
      case 'time':
      case 'microtime':
        return numbers.size === 0 ? null : timeText(leaf, numbers.get(1) ?? 0n, numbers.get(2) ?? 0n);
      case 'duration':
        return formatDuration(Number(numbers.get(1) ?? 0n));
      case 'intorstring':
        return (numbers.get(1) ?? 0n) === 0n ? Number(BigInt.asIntN(32, numbers.get(2) ?? 0n)) : text(3);
      case 'rawext':
      case 'json':
      case 'fieldsv1':
        return this.#raw(blobs.get(1), depth);
      default:
        throw new ProtobufError(`no protobuf form of ${leaf}`);
    }
  }

  /** An object within an object: JSON text, or an envelope of its own. */
  #raw(bytes: Uint8Array | undefined, depth: number): unknown {
    if (bytes === undefined || bytes.length === 0) return null;
    if (!hasProtobufPrefix(bytes)) {
      try {
        return parseJson(Buffer.from(bytes));
      } catch (error) {
        throw new ProtobufError(`raw value is no JSON: ${(error as Error).message}`, { cause: error });
      }
    }
    const { apiVersion, kind, raw } = readEnvelope(bytes);
    const type = this.#tables.typeOfKind(apiVersion, kind);
    if (type === undefined)
      throw new ProtobufError(
        `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`,
      );
    return { apiVersion, kind, ...(this.message(this.#tables.type(type), raw, depth + 1) as object) };
  }
}

/** JSONSchemaPropsOr…: a schema, or what may stand in its place. */
function oneForm(custom: string, fields: { [key: string]: unknown }): unknown {
  const schema = fields.Schema;
  if (schema !== undefined) return schema;
  if (custom === 'bool|object') return fields.Allows ?? false;
  return fields.JSONSchemas ?? fields.Property ?? [];
}

/** The varints and byte strings of a message that has nothing else. */
function smallMessage(bytes: Uint8Array): { numbers: Map<number, bigint>; blobs: Map<number, Uint8Array> } {
  const numbers = new Map<number, bigint>();
  const blobs = new Map<number, Uint8Array>();
  const reader = new Reader(bytes);
  while (!reader.atEnd) {
    const { number, wire } = reader.tag();
    if (wire === VARINT) numbers.set(number, reader.varint());
    else if (wire === DELIMITED) blobs.set(number, reader.bytes());
    else reader.skip(wire);
  }
  return { numbers, blobs };
}

const MAX_TIME_SECONDS = 253_402_300_799n;
const MIN_TIME_SECONDS = -62_135_596_800n;

function timeText(leaf: string, rawSeconds: bigint, rawNanos: bigint): string | null {
  const seconds = BigInt.asIntN(64, rawSeconds);
  if (seconds === MIN_TIME_SECONDS) return null;
  if (seconds > MAX_TIME_SECONDS || MIN_TIME_SECONDS > seconds)
    throw new ProtobufError(`time is out of range: ${seconds}`);
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  if (leaf === 'time') return `${whole}Z`;
  const micros = String(BigInt.asIntN(32, rawNanos) / 1000n).padStart(6, '0');
  return `${whole}.${micros}Z`;
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** Scalar codes with their wire types; every other code is a message. */
const SCALARS: ReadonlyMap<string, number> = new Map([
  ['string', DELIMITED],
  ['bytes', DELIMITED],
  ['bool', VARINT],
  ['int32', VARINT],
  ['int64', VARINT],
  ['double', FIXED64],
]);
const PACKABLE: ReadonlySet<string> = new Set(['bool', 'int32', 'int64', 'double']);

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  tag(): { number: number; wire: number } {
    const tag = Number(this.varint());
    const number = Math.floor(tag / 8);
    if (number === 0) throw new ProtobufError(`illegal tag ${tag}`);
    return { number, wire: tag % 8 };
  }

  varint(): bigint {
    // Most are small: no bigint arithmetic for one byte.
    const first = this.#bytes[this.#at];
    if (first !== undefined && 0x80 > first) {
      this.#at++;
      return BigInt(first);
    }
    let value = 0n;
    for (let shift = 0n; 70n > shift; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new ProtobufError('unexpected EOF');
      value |= BigInt(byte & 0x7f) << shift;
      if (0x80 > byte) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('integer overflow');
  }

  bytes(): Uint8Array {
    return this.#take(Number(this.varint()));
  }

  text(): string {
    return Buffer.from(this.bytes()).toString('utf8');
  }

  double(): number {
    const bytes = this.#take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  }

  skip(wire: number): void {
    if (wire === VARINT) this.varint();
    else if (wire === FIXED64) this.#take(8);
    else if (wire === DELIMITED) this.bytes();
    else if (wire === FIXED32) this.#take(4);
    else throw new ProtobufError(`illegal wireType ${wire}`);
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new ProtobufError('unexpected EOF');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
