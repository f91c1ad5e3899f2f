import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cloneJson, duplicateKeys, parseJson, sameJson, stringifyJson } from './json.ts';

test('integers beyond 2^53 survive, other numbers stay numbers', () => {
  const text = '{"a":9007199254740993,"b":[-9223372036854775808],"c":1.2345678901234567,"d":9007199254740991,"e":1e30}';
  const value = parseJson(text) as { [key: string]: unknown };
  assert.deepEqual(value, {
    a: 9007199254740993n,
    b: [-9223372036854775808n],
    c: 1.2345678901234567,
    d: 9007199254740991,
    e: 1e30,
  });
  assert.equal(stringifyJson(value), text.replace('1e30', '1e+30'));
});

test('a long integer is found wherever it stands', () => {
  for (let before = 0; before < 40; before++) {
    for (const digits of ['9007199254740993', '90071992547409931', '-9007199254740993']) {
      const text = `${' '.repeat(before)}${digits}`;
      assert.equal(parseJson(text), BigInt(digits));
      assert.equal(parseJson(`${text} `), BigInt(digits));
    }
    assert.equal(parseJson(`${' '.repeat(before)}900719925474099`), 900719925474099);
  }
});

test('digits inside strings change nothing', () => {
  assert.deepEqual(parseJson(Buffer.from('{"a":"12345678901234567890"}')), { a: '12345678901234567890' });
});

test('stringify reports cycles as JSON.stringify does', () => {
  const loop: { self?: unknown } = {};
  loop.self = loop;
  assert.throws(() => stringifyJson(loop), TypeError);
});

test('any JSON value survives the round trip', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }), (value, big) => {
      const doc = JSON.parse(JSON.stringify({ value })) as { value: unknown };
      // A double beyond 2^53 is not the integer that its shortest text names.
      fc.pre(!/\d{16}/.test(JSON.stringify(doc)));
      assert.ok(sameJson(parseJson(stringifyJson({ ...doc, big })), { ...doc, big }));
      assert.ok(sameJson(cloneJson(doc), doc));
      assert.deepEqual(duplicateKeys(JSON.stringify(doc, null, 1), doc), []);
    }),
  );
});

test('duplicate keys are found with their paths', () => {
  const text = '{"a":1,"s":{"c":[{"n\\"":":","x":"\\\\","x":[]},{}]},"a":{"b":null,"b":2},"a":3}';
  assert.deepEqual(duplicateKeys(text, JSON.parse(text)), ['s.c[0].x', 'a', 'a.b']);
});

test('a member named __proto__ is a member', () => {
  const value = parseJson('{"__proto__":{"x":1}}');
  assert.equal(stringifyJson(cloneJson(value)), '{"__proto__":{"x":1}}');
  assert.equal(sameJson(value, {}), false);
});
