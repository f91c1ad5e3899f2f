// The OpenAPI v2 document in protobuf, as kubectl asks for it to validate lists and to print: gnostic's message
// openapi.v2.Document. Only what our documents contain is written; extensions and free values go as YAML text, for which
// JSON will do.
import { inSlices } from '../../lib/turns.ts';
import type { Schema } from './openapi-schemas.ts';

export const OPENAPI_2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
/** What the answer is labelled with: '@' is no legal part of a media type. */
export const OPENAPI_2_PROTOBUF_SENT = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const METHODS: readonly (readonly [method: string, field: number])[] = [
  ['get', 2],
  ['put', 3],
  ['post', 4],
  ['delete', 5],
  ['options', 6],
  ['head', 7],
  ['patch', 8],
];

/** The numbers of an operation parameter's fields, which depend on where it stands. */
const PARAMETER_FIELDS = {
  query: { wrapper: 3, type: 6, format: 7, uniqueItems: 20 },
  path: { wrapper: 4, type: 5, format: 6, uniqueItems: 19 },
} as const;

/** A document of `openApiOf` in dialect 2 as protobuf. */
export async function openApi2AsProtobuf(document: Schema): Promise<Buffer> {
  const info = document.info as Schema;
  return message([
    text(1, document.swagger),
    bytes(2, message([text(1, info.title), text(2, info.version)])),
    bytes(8, await namedInSlices(2, document.paths, pathItem)),
    bytes(9, await namedInSlices(1, document.definitions, schema)),
    bytes(13, named(1, document.securityDefinitions, securityDefinition)),
  ]);
}

function pathItem(item: Schema): Buffer {
  return message([
    ...METHODS.filter(([method]) => item[method]).map(([method, field]) =>
      bytes(field, operation(item[method] as Schema)),
    ),
    ...parameters(9, item.parameters),
    ...extensions(10, item),
  ]);
}

function operation(value: Schema): Buffer {
  return message([
    ...texts(1, value.tags),
    text(3, value.description),
    text(5, value.operationId),
    ...texts(6, value.produces),
    ...texts(7, value.consumes),
    ...parameters(8, value.parameters),
    bytes(9, named(1, value.responses, response)),
    ...texts(10, value.schemes),
    ...extensions(13, value),
  ]);
}

/** Each is a ParametersItem that holds a Parameter that holds a body or another parameter. */
function parameters(field: number, list: unknown): Buffer[] {
  return ((list ?? []) as Schema[]).map((one) => bytes(field, bytes(1, parameter(one))));
}

function parameter(value: Schema): Buffer {
  if (value.in === 'body') {
    const fields = [text(2, value.name), text(3, value.in), flag(4, value.required)];
    return bytes(1, message([text(1, value.description), ...fields, bytes(5, schema(value.schema as Schema))]));
  }
  const place = PARAMETER_FIELDS[value.in as 'query' | 'path'];
  const fields = [
    flag(1, value.required),
    text(2, value.in),
    text(3, value.description),
    text(4, value.name),
    text(place.type, value.type),
    text(place.format, value.format),
    flag(place.uniqueItems, value.uniqueItems),
  ];
  return bytes(2, bytes(place.wrapper, message(fields)));
}

function response(value: Schema): Buffer {
  const body = value.schema === undefined ? NOTHING : bytes(2, bytes(1, schema(value.schema as Schema)));
  return bytes(1, message([text(1, value.description), body]));
}

function schema(value: Schema): Buffer {
  const { additionalProperties: additional, items, properties, type } = value;
  return message([
    text(1, value.$ref),
    text(2, value.format),
    text(4, value.description),
    value.default === undefined ? NOTHING : bytes(5, anything(value.default)),
    ...texts(19, value.required),
    ...((value.enum ?? []) as unknown[]).map((one) => bytes(20, anything(one))),
    additional === undefined ? NOTHING : bytes(21, additionalProperties(additional)),
    type === undefined ? NOTHING : bytes(22, text(1, type)),
    items === undefined ? NOTHING : bytes(23, bytes(1, schema(items as Schema))),
    properties === undefined ? NOTHING : bytes(25, named(1, properties, schema)),
    ...extensions(31, value),
  ]);
}

function additionalProperties(value: unknown): Buffer {
  return typeof value === 'boolean' ? flag(2, value) : bytes(1, schema(value as Schema));
}

/** Only API keys occur. */
function securityDefinition(value: Schema): Buffer {
  const fields = [text(1, value.type), text(2, value.name), text(3, value.in), text(4, value.description)];
  return bytes(2, message(fields));
}

function extensions(field: number, value: Schema): Buffer[] {
  return Object.keys(value)
    .filter((name) => name.startsWith('x-'))
    .map((name) => bytes(field, message([text(1, name), bytes(2, anything(value[name]))])));
}

function anything(value: unknown): Buffer {
  return text(2, `${JSON.stringify(value)}\n`);
}

/** A map as a repeated field of names and values. */
function named(field: number, map: unknown, encode: (value: Schema) => Buffer): Buffer {
  const entries = Object.entries((map ?? {}) as { [name: string]: Schema });
  return message(entries.map(([name, value]) => bytes(field, message([text(1, name), bytes(2, encode(value))]))));
}

/** The same for the long ones, in turns of the event loop. */
async function namedInSlices(field: number, map: unknown, encode: (value: Schema) => Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  await inSlices(Object.entries(map as { [name: string]: Schema }), NAMES_PER_SLICE, ([name, value]) => {
    parts.push(bytes(field, message([text(1, name), bytes(2, encode(value))])));
    return 1;
  });
  return message(parts);
}

const NAMES_PER_SLICE = 2;

const NOTHING = Buffer.alloc(0);

function message(parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts);
}

function bytes(field: number, content: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + LENGTH_DELIMITED), varint(content.length), content]);
}

function text(field: number, value: unknown): Buffer {
  return value === undefined || value === '' ? NOTHING : bytes(field, Buffer.from(value as string));
}

function texts(field: number, values: unknown): Buffer[] {
  return ((values ?? []) as string[]).map((value) => bytes(field, Buffer.from(value)));
}

function flag(field: number, value: unknown): Buffer {
  return value === undefined ? NOTHING : Buffer.concat([varint(field * 8 + VARINT), varint(value ? 1 : 0)]);
}

/** Field keys and lengths: below 2^31. */
function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
  return Buffer.from(out);
}
