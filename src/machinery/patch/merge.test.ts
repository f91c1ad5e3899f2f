import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cloneJson, sameJson } from '../../api/json.ts';
import { applyMergePatch } from './merge.ts';

test('the examples of RFC 7386', () => {
  const cases: [object, object, object][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [document, patch, expected] of cases) assert.deepEqual(applyMergePatch(document, patch), expected);
});

test('a patch that is no object is a bad request', () => {
  for (const patch of [[], 'a', 1, null]) {
    assert.throws(() => applyMergePatch({}, patch), { reason: 'BadRequest', message: 'Invalid JSON Patch' });
  }
});

/** The pseudo-code of the RFC, word for word. */
function rfc(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result = (typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {}) as {
    [k: string]: unknown;
  };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = rfc(result[name], value);
  }
  return result;
}

test('agrees with the RFC, and changes neither document nor patch', () => {
  const map = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 3 });
  const nested = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.oneof(map, fc.jsonValue({ maxDepth: 1 })), {
    maxKeys: 3,
  });
  fc.assert(
    fc.property(nested, nested, (document, patch) => {
      const [d, p] = [cloneJson(document), cloneJson(patch)];
      const result = applyMergePatch(document, patch);
      assert.ok(sameJson(result, rfc(cloneJson(document), patch)));
      assert.ok(sameJson(document, d) && sameJson(patch, p));
    }),
  );
});
