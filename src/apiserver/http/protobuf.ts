// Answers in protobuf. An object's message is made when it is first asked for and kept with the object; envelopes, lists and
// watch frames are put around it.
import { encodeProtobuf, hasProtobuf, inEnvelope, LIST_ITEM_TAG, lengthBefore } from '../../api/protobuf-encode.ts';
import { apiVersionOf, type Resource, Tables } from '../../api/tables.ts';
import { inSlices } from '../../lib/turns.ts';
import type { CachedObject } from '../contract.ts';

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
/** What has a protobuf form is built in, and the same for every server: custom resources have none. */
let builtIn: Tables | undefined;

function facts(): Tables {
  builtIn ??= new Tables();
  return builtIn;
}

interface Typed {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
}

function typeOf({ apiVersion, kind }: Typed): string | undefined {
  // The list of the legacy group's resources says no version.
  return facts().typeOfKind((apiVersion ?? 'v1') as string, (kind ?? '') as string);
}

const served = new WeakMap<Resource, boolean>();

/** Whether a resource's objects can be had in protobuf. */
export function servesProtobuf(resource: Resource): boolean {
  let answer = served.get(resource);
  if (answer === undefined) {
    const type = facts().typeOfKind(apiVersionOf(resource), resource.kind);
    answer = type !== undefined && hasProtobuf(facts(), type);
    served.set(resource, answer);
  }
  return answer;
}

/** Any object of a known kind, in its envelope. */
export function protobufOfValue(value: object): Buffer {
  const { apiVersion, kind } = value as Typed;
  return inEnvelope((apiVersion ?? '') as string, kind as string, messageOf(value));
}

function messageOf(value: object): Buffer {
  const type = typeOf(value as Typed);
  if (type === undefined) throw new Error(`no protobuf form of kind ${String((value as Typed).kind)}`);
  return encodeProtobuf(facts(), type, value);
}

/** An object's message, kept with the object. */
function messageOfItem(item: CachedObject): Buffer {
  return item.derived('protobuf', ({ object }) => messageOf(object));
}

/** An object in its envelope. */
export function protobufOf(item: CachedObject): Buffer {
  const { apiVersion = '', kind = '' } = item.object;
  return inEnvelope(apiVersion, kind, messageOfItem(item));
}

/** What making or copying one item may take together in one slice: a pod that has to be parsed and encoded is about 100 µs. */
const SLICE_MICROSECONDS = 1500;
const NEW_ITEM_COST = 60;
const METADATA_TAG = 10;

/** A list in its envelope, from the JSON of its kind, apiVersion and metadata. */
export async function protobufList(
  head: string,
  items: readonly CachedObject[],
  message: (item: CachedObject) => Buffer = messageOfItem,
): Promise<Buffer> {
  const { kind, apiVersion, metadata } = JSON.parse(head) as { kind: string; apiVersion: string; metadata: object };
  const meta = encodeProtobuf(facts(), `${META}.ListMeta`, metadata);
  const parts: Buffer[] = [lengthBefore(METADATA_TAG, meta.length), meta];
  await inSlices(items, SLICE_MICROSECONDS, (item) => {
    const one = message(item);
    parts.push(lengthBefore(LIST_ITEM_TAG, one.length), one);
    return NEW_ITEM_COST;
  });
  return inEnvelope(apiVersion, kind, Buffer.concat(parts));
}

/** The message of an item's metadata alone, kept with the item. */
export function partialMessage(item: CachedObject): Buffer {
  return item.derived('protobuf metadata', ({ object }) =>
    encodeProtobuf(facts(), `${META}.PartialObjectMetadata`, { metadata: object.metadata }),
  );
}
