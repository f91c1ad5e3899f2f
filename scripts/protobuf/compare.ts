// Asks an API server for the same thing in JSON and in protobuf, encodes the JSON, and compares the bytes.
import { request } from 'node:https';
import { isJsonObject, parseJson } from '../../src/api/json.ts';
import { decodeProtobuf, hasProtobufPrefix, readEnvelope } from '../../src/api/protobuf-decode.ts';
import { encodeProtobuf, inEnvelope, watchEventFrame } from '../../src/api/protobuf-encode.ts';
import type { Tables } from '../../src/api/tables.ts';
import type { Access } from '../bench/contestant.ts';

export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export function ask(access: Access, path: string, accept: string): Promise<Answer> {
  const { port, ca, certificate: cert, key } = access;
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, ca, cert, key, headers: { accept }, agent: false };
    const req = request(options, (res) => {
      const pieces: Buffer[] = [];
      res.on('data', (piece: Buffer) => pieces.push(piece));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(pieces) }));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end();
  });
}

export type Outcome =
  | { readonly kind: 'same'; readonly bytes: number; readonly json: unknown; readonly protobuf: Buffer }
  | { readonly kind: 'different'; readonly ours: Buffer; readonly theirs: Buffer; readonly json: unknown }
  | { readonly kind: 'unknown'; readonly why: string; readonly json?: unknown };

const ATTEMPTS = 5;

/** `parameters`: of both media types, as ";as=PartialObjectMetadata;…". */
export async function compare(tables: Tables, access: Access, path: string, parameters = ''): Promise<Outcome> {
  let outcome: Outcome = { kind: 'unknown', why: 'not asked' };
  // What changes between the two questions is asked again.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const json = await ask(access, path, `application/json${parameters}`);
    const theirs = (await ask(access, path, PROTOBUF + parameters)).body;
    if (!hasProtobufPrefix(theirs)) return { kind: 'unknown', why: `no protobuf: ${theirs.subarray(0, 80)}` };
    const value = parseJson(json.body);
    const ours = encoded(tables, value);
    if (!ours) return { kind: 'unknown', why: `kind ${kindOf(value)}` };
    if (ours.equals(theirs)) return { kind: 'same', bytes: ours.length, json: value, protobuf: theirs };
    outcome = { kind: 'different', ours, theirs, json: value };
  }
  if (outcome.kind !== 'different' || !isFinerThanJson(tables, outcome.theirs, outcome.ours)) return outcome;
  const why = 'nanoseconds, which JSON does not have and later releases cut off';
  return { kind: 'unknown', why, json: outcome.json };
}

/** Whether the only difference is in what a MicroTime has below microseconds. */
function isFinerThanJson(tables: Tables, theirs: Buffer, ours: Buffer): boolean {
  const { apiVersion, kind, raw } = readEnvelope(theirs);
  const type = tables.typeOfKind(apiVersion, kind);
  if (type === undefined || !/^(Event|Lease)/.test(kind) || Math.abs(theirs.length - ours.length) > 40) return false;
  return inEnvelope(apiVersion, kind, encodeProtobuf(tables, type, decodeProtobuf(tables, type, raw))).equals(ours);
}

function kindOf(value: unknown): string {
  const { apiVersion, kind } = value as { apiVersion?: string; kind?: string };
  return `${apiVersion} ${kind}`;
}

export function encoded(tables: Tables, value: unknown): Buffer | undefined {
  if (!isJsonObject(value)) return undefined;
  const { apiVersion = '', kind = '' } = value as { apiVersion?: string; kind?: string };
  const type = tables.typeOfKind(apiVersion || 'v1', kind);
  return type === undefined ? undefined : inEnvelope(apiVersion, kind, encodeProtobuf(tables, type, value));
}

/** The first states of a watch, frame by frame. */
export async function compareWatch(tables: Tables, access: Access, path: string): Promise<Outcome> {
  const query = `${path}?watch=true&resourceVersion=0&timeoutSeconds=1`;
  const json = await ask(access, query, 'application/json');
  if (json.status !== 200) return { kind: 'unknown', why: `cannot be watched: ${json.status}` };
  const lines = json.body
    .toString()
    .split('\n')
    .filter((line) => line !== '');
  const events = lines.map((line) => parseJson(line) as { type: string; object: unknown });
  const theirs = (await ask(access, query, `${PROTOBUF};stream=watch`)).body;
  const frames: Buffer[] = [];
  for (const { type, object } of events) {
    const bytes = encoded(tables, object);
    if (!bytes) return { kind: 'unknown', why: `kind ${kindOf(object)}` };
    frames.push(watchEventFrame(type, bytes));
  }
  // The first states come in no order.
  const ours = Buffer.concat(frames.sort(Buffer.compare));
  const sorted = Buffer.concat(framesOf(theirs).sort(Buffer.compare));
  if (ours.equals(sorted)) return { kind: 'same', bytes: ours.length, json: events, protobuf: theirs };
  if (path.endsWith('/events') || path.endsWith('/leases')) return { kind: 'unknown', why: 'nanoseconds' };
  return { kind: 'different', ours, theirs: sorted, json: events };
}

function framesOf(stream: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 4 + stream.readUInt32BE(at);
    frames.push(stream.subarray(at, end));
    at = end;
  }
  return frames;
}
