import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { METHODS } from './messages.ts';
import { decode, encode, message, WireError } from './protobuf.ts';

const INNER = message({ text: [1, 'text'], bytes: [2, 'bytes'] });
const NARROW = message({ int: [1, 'int'], inner: [5, INNER] });
const WIDE = message({
  int: [1, 'int'],
  id: [2, 'id'],
  bool: [3, 'bool'],
  text: [4, 'text'],
  inner: [5, INNER],
  many: [11, INNER, 'repeated'],
  words: [300, 'text', 'repeated'],
});

const inner = fc.record(
  {
    text: fc.string({ unit: 'binary' }),
    bytes: fc.uint8Array({ maxLength: 40_000 }).map((b) => Buffer.from(b)),
  },
  { noNullPrototype: true },
);
const wide = fc.record(
  {
    int: fc.maxSafeNat(),
    id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    bool: fc.boolean(),
    text: fc.string({ unit: 'binary' }),
    inner: fc.option(inner, { nil: undefined }),
    many: fc.array(inner, { maxLength: 5 }),
    words: fc.array(fc.string({ unit: 'binary' })),
  },
  { noNullPrototype: true },
);

test('what is written is read again, and fields that are not known are left out', () => {
  fc.assert(
    fc.property(wide, fc.nat(8), (value, head) => {
      const bytes = encode(WIDE, value, head).subarray(head);
      assert.deepEqual(decode(WIDE, bytes), value);
      assert.deepEqual(decode(NARROW, bytes), { int: value.int, inner: value.inner });
    }),
  );
});

test('bytes that are no message are refused, whatever they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decode(WIDE, Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
  );
});

test("requests are etcd's, byte for byte", () => {
  const put = { key: 'k', value: Buffer.from('v'), lease: 300n };
  const compare = [{ key: 'k', target: 2, modRevision: 7 }];
  const bytes = encode(METHODS.txn.request, { compare, success: [{ put }], failure: [{ range: { key: 'k' } }] });
  // As protoc writes it: compare {target: MOD, key, mod_revision}, success {request_put}, failure {request_range}.
  assert.equal(bytes.toString('hex'), '0a0710021a016b3007' + '120b12090a016b12017618ac02' + '1a050a030a016b');
});
