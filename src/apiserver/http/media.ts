// Content negotiation: what the client can read and what it sent.
import { StatusError } from '../../machinery/status.ts';

export type Encoding = 'json' | 'yaml';
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
  ['*/*', 'json'],
  ['application/*', 'json'],
]);

interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const known = new Map<string, Accepted | undefined>();
/** Accept headers remembered; clients send few different ones. */
const KNOWN_LIMIT = 256;

/** The best representation that an Accept header allows; as a table only `printable` things. Throws NotAcceptable. */
export function negotiate(accept: string | undefined, printable = true): Accepted {
  if (accept === undefined || accept === '' || accept === JSON_TYPE || accept === '*/*') return PLAIN_JSON;
  let chosen = known.get(accept);
  if (!chosen) {
    chosen = choose(parseMediaRanges(accept), true);
    if (known.size >= KNOWN_LIMIT) known.clear();
    known.set(accept, chosen);
  }
  if (chosen?.as === 'Table' && !printable) chosen = choose(parseMediaRanges(accept), false);
  if (!chosen) {
    throw new StatusError('NotAcceptable', `only the following media types are accepted: ${JSON_TYPE}, ${YAML_TYPE}`);
  }
  return chosen;
}

function choose(ranges: readonly MediaRange[], printable: boolean): Accepted | undefined {
  for (const { type, parameters } of ranges) {
    const encoding = ENCODINGS.get(type);
    if (!encoding) continue;
    const contentType = encoding === 'json' ? JSON_TYPE : YAML_TYPE;
    const as = parameters.get('as');
    if (as === undefined) return { encoding, contentType };
    const metaVersion = parameters.get('v');
    if (parameters.get('g') !== 'meta.k8s.io' || (metaVersion !== 'v1' && metaVersion !== 'v1beta1')) continue;
    if (as === 'Table' && !printable) continue;
    if (as === 'Table' || as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') {
      return { encoding, as, metaVersion, contentType };
    }
  }
  return undefined;
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
  // Stable: of equal quality the first named wins, as upstream.
  return ranges.filter((range) => range.quality > 0).sort((a, b) => b.quality - a.quality);
}

/** What a request body may be in. Answers are never protobuf: clients that send it read JSON too. */
export type BodyEncoding = Encoding | 'protobuf';

/** The encoding of a request body. Throws UnsupportedMediaType. */
export function bodyEncoding(contentType: string | undefined): BodyEncoding {
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
