// Content negotiation: what the client can read and what it sent.
import { StatusError } from '../../machinery/status.ts';

export type Encoding = 'json' | 'yaml' | 'protobuf';
export type Transform = 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';

/** The representation chosen for a response. */
export interface Accepted {
  readonly encoding: Encoding;
  readonly as?: Transform;
  /** Version of meta.k8s.io asked for with `as`. */
  readonly metaVersion?: 'v1' | 'v1beta1';
  readonly contentType: string;
}

export const JSON_TYPE = 'application/json';
export const YAML_TYPE = 'application/yaml';
export const PROTOBUF_TYPE = 'application/vnd.kubernetes.protobuf';
export const PLAIN_JSON: Accepted = { encoding: 'json', contentType: JSON_TYPE };

const ENCODINGS: ReadonlyMap<string, Encoding> = new Map([
  ['application/json', 'json'],
  ['application/yaml', 'yaml'],
  ['text/yaml', 'yaml'],
  [PROTOBUF_TYPE, 'protobuf'],
  ['*/*', 'json'],
  ['application/*', 'json'],
]);
const CONTENT_TYPES: { readonly [E in Encoding]: string } = {
  json: JSON_TYPE,
  yaml: YAML_TYPE,
  protobuf: PROTOBUF_TYPE,
};

/** Which of the representations there are. */
export interface Offer {
  /** As a table. */
  readonly table: boolean;
  /** In protobuf as it is: custom resources cannot. Their metadata alone can. */
  readonly protobuf: boolean;
}

/** What has neither columns nor metadata of an object: discovery, refusals. */
export const PLAIN_OFFER: Offer = { table: false, protobuf: true };

interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const known = new Map<string, Accepted | undefined>();
/** Accept headers remembered; clients send few different ones. */
const KNOWN_LIMIT = 256;

export function wantsPlainJson(accept: string | undefined): boolean {
  return accept === undefined || accept === '' || accept === JSON_TYPE || accept === '*/*';
}

/** The best representation that an Accept header allows, of those offered. Throws NotAcceptable. */
export function negotiate(accept: string | undefined, offer: Offer = { table: true, protobuf: true }): Accepted {
  if (accept === undefined || wantsPlainJson(accept)) return PLAIN_JSON;
  const key = `${offer.table ? 't' : ''}${offer.protobuf ? 'p' : ''} ${accept}`;
  let chosen = known.get(key);
  if (!chosen) {
    chosen = choose(parseMediaRanges(accept), offer);
    if (known.size >= KNOWN_LIMIT) known.clear();
    known.set(key, chosen);
  }
  if (!chosen) throw notAcceptable([JSON_TYPE, YAML_TYPE, ...(offer.protobuf ? [PROTOBUF_TYPE] : [])]);
  return chosen;
}

export function notAcceptable(types: readonly string[]): StatusError {
  return new StatusError('NotAcceptable', `only the following media types are accepted: ${types.join(', ')}`);
}

/** YAML cannot be told apart into events. Throws NotAcceptable. */
export function checkWatchable({ encoding }: Accepted, offer: Offer): void {
  if (encoding !== 'yaml') return;
  throw notAcceptable([JSON_TYPE, ...(offer.protobuf ? [PROTOBUF_TYPE] : [])].map((type) => `${type};stream=watch`));
}

/** The Content-Type of a watch. */
export function watchContentType({ encoding, contentType }: Accepted): string {
  return encoding === 'json' ? contentType : `${contentType};stream=watch`;
}

function choose(ranges: readonly MediaRange[], offer: Offer): Accepted | undefined {
  for (const { type, parameters } of ranges) {
    const encoding = ENCODINGS.get(type);
    if (!encoding) continue;
    const stream = parameters.get('stream');
    if (stream !== undefined && stream !== '' && (stream !== 'watch' || encoding === 'yaml')) continue;
    const contentType = CONTENT_TYPES[encoding];
    const as = parameters.get('as');
    if (as === undefined) {
      if (encoding === 'protobuf' && !offer.protobuf) continue;
      return { encoding, contentType };
    }
    const metaVersion = parameters.get('v');
    if (parameters.get('g') !== 'meta.k8s.io' || (metaVersion !== 'v1' && metaVersion !== 'v1beta1')) continue;
    if (!isOffered(as, encoding, metaVersion, offer)) continue;
    return { encoding, as: as as Transform, metaVersion, contentType };
  }
  return undefined;
}

/** Tables have no protobuf form; the old version of lists of metadata has one that nobody asks for any more. */
function isOffered(as: string, encoding: Encoding, metaVersion: string, offer: Offer): boolean {
  if (as === 'Table') return offer.table && encoding !== 'protobuf';
  if (as === 'PartialObjectMetadataList') return encoding !== 'protobuf' || metaVersion === 'v1';
  return as === 'PartialObjectMetadata';
}

export function parseMediaRanges(header: string): MediaRange[] {
  const ranges = header.split(',').map((part): MediaRange => {
    const [type = '', ...rest] = part.split(';').map((piece) => piece.trim());
    const parameters = new Map(
      rest.map((pair): [string, string] => {
        const equals = pair.indexOf('=');
        return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
      }),
    );
    const quality = Number(parameters.get('q') ?? 1);
    return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 1 : quality };
  });
  return byPreference(ranges.filter((range) => range.quality > 0));
}

/** Better quality first, a whole type before a wildcard, else as named: upstream's order, which is no strict one. */
function byPreference(ranges: MediaRange[]): MediaRange[] {
  const before = (a: MediaRange, b: MediaRange): boolean =>
    a.quality > b.quality || (!a.type.endsWith('/*') && b.type.endsWith('/*'));
  for (let i = 1; i < ranges.length; i++) {
    for (let j = i; j > 0 && before(ranges[j]!, ranges[j - 1]!); j--) {
      [ranges[j - 1], ranges[j]] = [ranges[j]!, ranges[j - 1]!];
    }
  }
  return ranges;
}

/** The encoding of a request body. Throws UnsupportedMediaType. */
export function bodyEncoding(contentType: string | undefined): Encoding {
  const type = mediaType(contentType);
  if (type === '' || type === JSON_TYPE) return 'json';
  if (type === PROTOBUF_TYPE) return 'protobuf';
  const encoding = type.includes('*') ? undefined : ENCODINGS.get(type);
  if (encoding) return encoding;
  throw unsupported([JSON_TYPE, YAML_TYPE, PROTOBUF_TYPE]);
}

/** A Content-Type without its parameters. */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';')[0]!.trim().toLowerCase();
}

export function unsupported(accepted: readonly string[]): StatusError {
  return new StatusError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
}
