import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode, serialize } from './codec.ts';
import typeData from './data/types.json' with { type: 'json' };
import { type Node, planOf } from './plan.ts';
import { decodeProtobuf, readEnvelope } from './protobuf-decode.ts';
import { encodeProtobuf, inEnvelope } from './protobuf-encode.ts';
import { Tables } from './tables.ts';
import { structFor } from './test-arbitrary.ts';

const tables = new Tables();

/** Everything that 64 bits hold, as the codecs have it: a number where that is exact. */
const LIMIT = 2n ** 63n;
const INTEGERS = fc
  .oneof(
    fc.bigInt({ min: -LIMIT, max: LIMIT - 1n }),
    fc.constantFrom(-LIMIT, LIMIT - 1n, 2n ** 53n + 1n, 0n, 1n, 127n, 128n),
  )
  .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value));

const TYPES = Object.keys(typeData).filter((name) => {
  const row = tables.type(name);
  return row.proto !== null && row.fields !== undefined;
});

test('JSON, protobuf and JSON again: every type, with integers of 64 bits', () => {
  assert.ok(TYPES.length > 600, `${TYPES.length} types`);
  for (const type of TYPES) {
    const root = { plan: planOf(tables, type) } as Node;
    const property = fc.property(structFor(root, 4, { integers: INTEGERS, inMessages: true }), (value) => {
      const { object } = decode(tables, type, value);
      const bytes = encodeProtobuf(tables, type, object);
      const again = decode(tables, type, decodeProtobuf(tables, type, bytes)).object;
      const text = serialize(tables, type, object).toString();
      assert.equal(serialize(tables, type, again).toString(), text, type);
      assert.ok(encodeProtobuf(tables, type, again).equals(bytes), `${type}: ${text}`);
    });
    fc.assert(property, { numRuns: 8 });
  }
});

test('an envelope is opened to what was put in', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.uint8Array({ maxLength: 400 }), (apiVersion, kind, message) => {
      const { raw, ...meta } = readEnvelope(inEnvelope(apiVersion, kind, Buffer.from(message)));
      assert.deepEqual(meta, { apiVersion: wellFormed(apiVersion), kind: wellFormed(kind) });
      assert.deepEqual([...raw], [...message]);
    }),
  );
});

function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}
