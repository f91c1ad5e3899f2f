// A watch as a stream of frames. A frame is made once for each object and representation, and a batch once for all the
// watchers that receive the same one.
import { stringifyJson } from '../../api/json.ts';
import { watchEventFrame } from '../../api/protobuf-encode.ts';
import { apiVersionOf } from '../../api/tables.ts';
import type { WatchDelivery, WatchSink } from '../contract.ts';
import { statusOf } from './encode.ts';
import type { BodySink } from './exchange.ts';
import type { Accepted } from './media.ts';
import { protobufOf, protobufOfValue } from './protobuf.ts';
import { partialMetadata, type TableContext, tableOf } from './table.ts';
import type { WatchPace } from './watch-pace.ts';

/** A watcher whose client has left this much unread when there is more to send is cut off: it begins again with a list. */
export const WATCH_SEND_BUFFER_BYTES = 16 * 1024 * 1024;

/** Events joined into one buffer at most: beyond it are the first states of a large collection, which nobody shares. */
const MAX_SHARED_EVENTS = 512;

export interface WatchStreamOptions {
  readonly sink: BodySink;
  readonly accepted: Accepted;
  readonly table: TableContext;
  readonly pace: WatchPace;
  /** Called with the number of events of each batch sent. */
  readonly sent: (events: number) => void;
  readonly ended: () => void;
}

/** Sends what it is given until the watch ends. */
export function watchStream(options: WatchStreamOptions): WatchSink {
  const { sink, table, pace, sent, ended } = options;
  const { apiVersion, kind } = { apiVersion: apiVersionOf(table.resource), kind: table.resource.kind };
  const representation = representationOf(options, `${apiVersion}/${kind}`);
  let over = false;
  /** What waits for its time; never more than MAX_SHARED_EVENTS. */
  let held: WatchDelivery[] = [];
  let lastSentMs = Number.NEGATIVE_INFINITY;
  const finish = (how: () => void): void => {
    if (over) return;
    over = true;
    held = [];
    how();
    ended();
  };
  const send = (batch: Batch, first = false): void => {
    if (sink.buffered > WATCH_SEND_BUFFER_BYTES) {
      finish(() => sink.destroy());
      return;
    }
    lastSentMs = pace.now();
    if (batch.length <= MAX_SHARED_EVENTS) sink.write(representation(batch, first));
    else
      for (let i = 0; i < batch.length; i += MAX_SHARED_EVENTS) {
        sink.write(representation(batch.slice(i, i + MAX_SHARED_EVENTS), first));
      }
    sent(batch.length);
  };
  const flush = (): void => {
    const batch = held;
    held = [];
    if (!over && batch.length > 0) send(batch);
  };
  return {
    deliver(batch, first) {
      if (over || batch.length === 0) return;
      if (first) {
        flush();
        if (!over) send(batch, true);
      } else if (held.length + batch.length > MAX_SHARED_EVENTS) {
        flush();
        if (!over) send(batch);
      } else if (held.length > 0) {
        held.push(...batch);
      } else if (pace.now() - lastSentMs >= pace.ms) {
        send(batch);
      } else {
        held = [...batch];
        pace.wait(flush);
      }
    },
    ready: () => sink.drained(),
    end(error) {
      flush();
      finish(() => {
        if (error) sink.write(errorFrame(error, options.accepted));
        sink.end();
      });
    },
  };
}

type Batch = readonly WatchDelivery[];

function errorFrame(error: Error, { encoding }: Accepted): Buffer {
  const status = statusOf(error);
  if (encoding === 'protobuf') return watchEventFrame('ERROR', protobufOfValue(status));
  return Buffer.from(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
}

/** `first`: the batch is of first states, which nobody shares. */
type Representation = (batch: Batch, first: boolean) => Buffer;

function representationOf({ accepted, table }: WatchStreamOptions, gvk: string): Representation {
  if (accepted.encoding === 'protobuf') return protobufFrames(accepted, gvk);
  if (accepted.as === undefined || accepted.as === 'PartialObjectMetadataList')
    return sharedFrames(gvk, (delivery) => objectFrame(delivery, gvk));
  if (accepted.as === 'Table') return tableFrames(table);
  const form = `partial ${accepted.metaVersion}`;
  return sharedFrames(form, (delivery) => partialFrame(delivery, accepted));
}

function sharedFrames(form: string, frame: (delivery: WatchDelivery) => Buffer): Representation {
  return (batch, first) => (first ? Buffer.concat(batch.map(frame)) : sharedBatch(batch, form, frame));
}

type Forms = Map<string, Buffer>;
/** Frames in the forms asked for so far. History keeps deliveries for long: what was made of them is forgotten before. */
let made = new WeakMap<WatchDelivery, Forms>();
/** The last batch that was joined, by its last delivery. */
let joined = new WeakMap<WatchDelivery, { readonly batch: Batch; readonly form: string; readonly buffer: Buffer }>();
/** Bytes of frames and joined batches that are kept at most, for watchers that come to them a little later. */
const SHARED_BYTES = 4 * 1024 * 1024;
let sharedBytes = 0;

function keepShared({ length }: Buffer): void {
  sharedBytes += length;
  if (sharedBytes <= SHARED_BYTES) return;
  sharedBytes = length;
  made = new WeakMap();
  joined = new WeakMap();
}

function sharedFrame(of: WatchDelivery, form: string, make: () => Buffer): Buffer {
  const known = made.get(of)?.get(form);
  if (known) return known;
  const buffer = make();
  keepShared(buffer);
  const forms: Forms = made.get(of) ?? new Map();
  made.set(of, forms.set(form, buffer));
  return buffer;
}

/** The batch as one buffer, shared by every watcher that gets the same deliveries in the same form. */
function sharedBatch(batch: Batch, form: string, frame: (delivery: WatchDelivery) => Buffer): Buffer {
  const shared = (delivery: WatchDelivery): Buffer => sharedFrame(delivery, form, () => frame(delivery));
  if (batch.length === 1) return shared(batch[0]!);
  const last = batch.at(-1)!;
  const known = joined.get(last);
  if (known?.form === form && sameDeliveries(known.batch, batch)) return known.buffer;
  const buffer = Buffer.concat(batch.map(shared));
  keepShared(buffer);
  joined.set(last, { batch, form, buffer });
  return buffer;
}

function sameDeliveries(a: Batch, b: Batch): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function framed(type: string, json: Buffer): Buffer {
  const opening = `{"type":"${type}","object":`;
  const frame = Buffer.allocUnsafe(opening.length + json.length + 2);
  let at = frame.write(opening, 'latin1');
  at += json.copy(frame, at);
  frame.write('}\n', at, 'latin1');
  return frame;
}

function objectFrame(delivery: WatchDelivery, gvk: string): Buffer {
  if (delivery.type === 'BOOKMARK') return bookmark(delivery, gvk);
  return framed(delivery.type, delivery.object.bytes);
}

type Bookmark = Extract<WatchDelivery, { type: 'BOOKMARK' }>;

const INITIAL_EVENTS_END = { 'k8s.io/initial-events-end': 'true' };

function bookmarkMetadata(delivery: Bookmark): object {
  return {
    resourceVersion: String(delivery.revision),
    creationTimestamp: null,
    ...(delivery.initialEventsEnd && { annotations: INITIAL_EVENTS_END }),
  };
}

function bookmarkObject(delivery: Bookmark, gvk: string): object {
  const slash = gvk.lastIndexOf('/');
  return { kind: gvk.slice(slash + 1), apiVersion: gvk.slice(0, slash), metadata: bookmarkMetadata(delivery) };
}

function bookmark(delivery: Bookmark, gvk: string): Buffer {
  return framed('BOOKMARK', Buffer.from(JSON.stringify(bookmarkObject(delivery, gvk))));
}

/** Upstream cannot make a list of one event's object, and sends the object itself. */
function protobufFrames(accepted: Accepted, gvk: string): Representation {
  const partial = accepted.as === 'PartialObjectMetadata';
  const kind = partial ? `meta.k8s.io/${accepted.metaVersion ?? 'v1'}/PartialObjectMetadata` : gvk;
  const frame = (delivery: WatchDelivery): Buffer => {
    if (delivery.type === 'BOOKMARK')
      return watchEventFrame('BOOKMARK', protobufOfValue(bookmarkObject(delivery, kind)));
    const { object, type } = delivery;
    return watchEventFrame(
      type,
      partial ? protobufOfValue(partialMetadata(object.object, accepted)) : protobufOf(object),
    );
  };
  return sharedFrames(`protobuf ${kind}`, frame);
}

function partialFrame(delivery: WatchDelivery, accepted: Accepted): Buffer {
  if (delivery.type === 'BOOKMARK') {
    return bookmark(delivery, `meta.k8s.io/${accepted.metaVersion ?? 'v1'}/PartialObjectMetadata`);
  }
  return framed(delivery.type, Buffer.from(stringifyJson(partialMetadata(delivery.object.object, accepted))));
}

/** Tables are printed for each watcher: its first event carries the columns. */
function tableFrames(table: TableContext): Representation {
  let first = true;
  const frame = (delivery: WatchDelivery): Buffer => {
    const columns = first;
    first = false;
    if (delivery.type !== 'BOOKMARK') {
      const { resourceVersion } = delivery.object.object.metadata;
      const value = tableOf([delivery.object], resourceVersion ? { resourceVersion } : {}, table, columns);
      return framed(delivery.type, Buffer.from(stringifyJson(value)));
    }
    // Upstream's bookmark of a table watch is a table with one row that holds the bare object.
    const { apiVersion, kind } = { apiVersion: apiVersionOf(table.resource), kind: table.resource.kind };
    const row = { cells: [], object: { kind, apiVersion, metadata: bookmarkMetadata(delivery) } };
    const value = { ...tableOf([], { resourceVersion: String(delivery.revision) }, table, columns), rows: [row] };
    return framed('BOOKMARK', Buffer.from(JSON.stringify(value)));
  };
  return (batch) => Buffer.concat(batch.map(frame));
}
