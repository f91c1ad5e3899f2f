// Kubernetes objects into protobuf, driven by the table of types: byte for byte what upstream's generated code writes from the
// same object. Fields go out by number; what is no pointer in Go is always there, zero or not; maps are sorted by key.
import { durationNs } from '../machinery/time.ts';
import { stringifyJson } from './json.ts';
import { DELIMITED, FIXED64, VARINT, Writer } from './protobuf-writer.ts';
import type { Field, Tables, TypeRow } from './tables.ts';

type Members = { readonly [key: string]: unknown };

/** Writes a value, with its length where it has one, but without a tag. Undefined is the type's zero value. */
type Write = (out: Writer, value: unknown) => void;

interface ProtoField {
  readonly name: string;
  readonly tag: number;
  readonly write: Write;
  readonly form: 'one' | 'many' | 'map' | 'inline';
  /** Written when it is not there too. */
  readonly always: boolean;
}

/** The one under way: encoding never waits, and never begins within itself. */
const writer = new Writer();

const EMPTY: Members = {};

/** Whether objects of a type have a protobuf form: tables and custom resources have none. */
export function hasProtobuf(tables: Tables, typeName: string): boolean {
  const row = tables.type(typeName);
  return row.proto !== null && (row.fields !== undefined || row.alias !== undefined);
}

/** An object's message, without envelope, from its JSON value. Throws for a type without a protobuf form. */
export function encodeProtobuf(tables: Tables, typeName: string, object: object): Buffer {
  writer.clear();
  messageFields(tables, tables.type(typeName))(writer, object);
  return writer.take();
}

const MAGIC = Buffer.from('k8s\0', 'latin1');

/** `k8s\0` and runtime.Unknown around a message. */
export function inEnvelope(apiVersion: string, kind: string, message: Buffer): Buffer {
  writer.clear();
  const meta = writer.length;
  writer.text(kind);
  writer.tag(tagOf(2, DELIMITED));
  writer.text(apiVersion);
  writer.tag(tagOf(1, DELIMITED));
  writer.unsigned(writer.length - meta);
  writer.tag(tagOf(1, DELIMITED));
  const typeMeta = writer.take();
  const raw = lengthBefore(tagOf(2, DELIMITED), message.length);
  const bytes = Buffer.allocUnsafeSlow(
    MAGIC.length + typeMeta.length + raw.length + message.length + ENVELOPE_END.length,
  );
  let at = MAGIC.copy(bytes);
  for (const part of [typeMeta, raw, message, ENVELOPE_END]) at += part.copy(bytes, at);
  return bytes;
}

/** contentEncoding and contentType, both empty. */
const ENVELOPE_END = Buffer.from([tagOf(3, DELIMITED), 0, tagOf(4, DELIMITED), 0]);

/** A tag and the length of what follows. */
export function lengthBefore(tag: number, length: number): Buffer {
  writer.clear();
  writer.unsigned(length);
  writer.tag(tag);
  return writer.take();
}

/** Field 2 of every list message: one item. */
export const LIST_ITEM_TAG = tagOf(2, DELIMITED);

/** One frame of a watch: four bytes of length and a bare meta/v1 WatchEvent around an object in its envelope. */
export function watchEventFrame(type: string, object: Buffer): Buffer {
  const inner = lengthBefore(tagOf(1, DELIMITED), object.length);
  writer.clear();
  writer.unsigned(inner.length + object.length);
  writer.tag(tagOf(2, DELIMITED));
  writer.text(type);
  writer.tag(tagOf(1, DELIMITED));
  const head = writer.take();
  const length = head.length + inner.length + object.length;
  const frame = Buffer.allocUnsafeSlow(4 + length);
  let at = frame.writeUInt32BE(length);
  for (const part of [head, inner, object]) at += part.copy(frame, at);
  return frame;
}

function tagOf(number: number, wire: number): number {
  return number * 8 + wire;
}

const plans = new WeakMap<TypeRow, readonly ProtoField[]>();

/** The fields of a message, the last one first: the writer goes backwards. */
function planOf(tables: Tables, row: TypeRow): readonly ProtoField[] {
  let plan = plans.get(row);
  if (!plan) {
    const fields = row.declared.filter((field) => field.number > 0).sort((a, b) => b.number - a.number);
    plan = fields.map((field) => protoField(tables, field));
    plans.set(row, plan);
  }
  return plan;
}

function protoField(tables: Tables, { name, number, code, pointer, inline }: Field): ProtoField {
  const many = code.startsWith('[]');
  const map = code.startsWith('{}');
  const element = many || map ? code.slice(2) : code;
  return {
    name,
    tag: tagOf(number, map ? DELIMITED : wireOf(element)),
    write: map ? mapEntry(tables, element) : writeOf(tables, element),
    form: inline ? 'inline' : many ? 'many' : map ? 'map' : 'one',
    always: !pointer && !many && !map && element !== 'bytes',
  };
}

function wireOf(code: string): number {
  if (code === 'double') return FIXED64;
  return code === 'bool' || code === 'int32' || code === 'int64' ? VARINT : DELIMITED;
}

function writeOf(tables: Tables, code: string): Write {
  switch (code) {
    case 'string':
      return (out, value) => out.text((value ?? '') as string);
    case 'bool':
      return (out, value) => out.tag(value === true ? 1 : 0);
    case 'int32':
    case 'int64':
      return (out, value) => out.integer((value ?? 0) as number | bigint);
    case 'double':
      return (out, value) => out.double(Number(value ?? 0));
    case 'bytes':
      return (out, value) => out.base64((value ?? '') as string);
  }
  const contents = code.startsWith('@') ? contentsOf(tables, tables.type(code.slice(1))) : leafContents(code);
  return (out, value) => {
    const end = out.length;
    contents(out, value);
    out.unsigned(out.length - end);
  };
}

/** What stands in the message of a type, without its length. */
function contentsOf(tables: Tables, row: TypeRow): Write {
  if (row.leaf !== undefined) return leafContents(row.leaf);
  if (row.alias !== undefined) return contentsOf(tables, tables.type(row.alias.slice(1)));
  if (row.list !== undefined) return listContents(tables, row.list);
  const fields = messageFields(tables, row);
  const { custom } = row;
  return custom === undefined ? fields : (out, value) => fields(out, membersOfForm(custom, value));
}

function messageFields(tables: Tables, row: TypeRow): Write {
  if (row.alias !== undefined) return messageFields(tables, tables.type(row.alias.slice(1)));
  if (row.proto === null) throw new Error(`type ${row.name} has no protobuf form`);
  // Types hold themselves: the fields are looked at when the first value comes.
  let plan: readonly ProtoField[] | undefined;
  return (out, value) => {
    plan ??= planOf(tables, row);
    const object = (value ?? EMPTY) as Members;
    for (const field of plan) writeField(out, field, object);
  };
}

function writeField(out: Writer, { name, tag, write, form, always }: ProtoField, object: Members): void {
  const value = form === 'inline' ? object : object[name];
  if (form === 'many') {
    if (!Array.isArray(value)) return;
    for (let i = value.length - 1; i >= 0; i--) {
      write(out, value[i]);
      out.tag(tag);
    }
  } else if (form === 'map') {
    if (typeof value !== 'object' || value === null) return;
    const keys = sortedKeys(value);
    for (let i = keys.length - 1; i >= 0; i--) {
      const key = keys[i]!;
      write(out, [key, (value as Members)[key]]);
      out.tag(tag);
    }
  } else if (always || (value !== undefined && value !== null)) {
    write(out, value);
    out.tag(tag);
  }
}

/** The only characters that UTF-16 and UTF-8 order differently. */
const SURROGATE = /[\ud800-\udfff]/;

/** In the order of their bytes. */
function sortedKeys(map: object): string[] {
  const keys = Object.keys(map);
  if (1 >= keys.length) return keys;
  return keys.some((key) => SURROGATE.test(key))
    ? keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    : keys.sort();
}

function mapEntry(tables: Tables, code: string): Write {
  const write = writeOf(tables, code);
  const tag = tagOf(2, wireOf(code));
  return (out, entry) => {
    const [key, value] = entry as [string, unknown];
    const end = out.length;
    if (code !== 'bytes' || (value !== undefined && value !== null)) {
      write(out, value);
      out.tag(tag);
    }
    out.text(key);
    out.tag(tagOf(1, DELIMITED));
    out.unsigned(out.length - end);
  };
}

function listContents(tables: Tables, code: string): Write {
  const write = writeOf(tables, code);
  const tag = tagOf(1, wireOf(code));
  return (out, value) => {
    const list = (value ?? []) as readonly unknown[];
    for (let i = list.length - 1; i >= 0; i--) {
      write(out, list[i]);
      out.tag(tag);
    }
  };
}

/** A schema, or what may stand in its place, as the members of the message that has a field for each. */
function membersOfForm(custom: string, value: unknown): Members {
  if (typeof value === 'boolean') return { Allows: value };
  if (Array.isArray(value)) return custom === 'object|array' ? { JSONSchemas: value } : { Property: value };
  if (value === undefined || value === null) return EMPTY;
  return { Schema: value, ...(custom === 'bool|object' && { Allows: true }) };
}

const ONE_VARINT = tagOf(1, VARINT);
const TWO_VARINT = tagOf(2, VARINT);
const ONE_DELIMITED = tagOf(1, DELIMITED);
const THREE_DELIMITED = tagOf(3, DELIMITED);

/** The contents of the message that a leaf is in protobuf. */
function leafContents(leaf: string): Write {
  switch (leaf) {
    case 'quantity':
      return (out, value) => {
        out.text(String(value ?? '0'));
        out.tag(ONE_DELIMITED);
      };
    case 'time':
    case 'microtime':
      return writeTime;
    case 'duration':
      return (out, value) => {
        out.integer(BigInt(value === undefined || value === null ? 0 : durationNs(String(value))));
        out.tag(ONE_VARINT);
      };
    case 'intorstring':
      return writeIntOrString;
    case 'rawext':
    case 'json':
    case 'fieldsv1':
      return (out, value) => {
        if (value === undefined || value === null) return;
        out.text(stringifyJson(value));
        out.tag(ONE_DELIMITED);
      };
    default:
      throw new Error(`no protobuf form of ${leaf}`);
  }
}

function writeIntOrString(out: Writer, value: unknown): void {
  const isText = typeof value === 'string';
  out.text(isText ? value : '');
  out.tag(THREE_DELIMITED);
  out.integer(isText ? 0 : ((value ?? 0) as number));
  out.tag(TWO_VARINT);
  out.integer(isText ? 1 : 0);
  out.tag(ONE_VARINT);
}

/** The first instant that Go knows, which stands for none. */
const ZERO_TIME_MS = -62_135_596_800_000;
const MICROSECONDS = /\.(\d{1,6})/;

/** Seconds, and nanoseconds where the JSON form has a fraction; nothing for a time that is not set. */
function writeTime(out: Writer, value: unknown): void {
  if (typeof value !== 'string') return;
  const ms = Date.parse(value);
  if (Number.isNaN(ms) || ms === ZERO_TIME_MS) return;
  const fraction = MICROSECONDS.exec(value)?.[1] ?? '';
  out.integer(fraction === '' ? 0 : Number(fraction.padEnd(9, '0')));
  out.tag(TWO_VARINT);
  out.integer(Math.floor(ms / 1000));
  out.tag(ONE_VARINT);
}
