import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sameJson } from '../../api/json.ts';
import { StatusError } from '../status.ts';
import { applyJsonPatch, MAX_OPERATIONS } from './json.ts';

const patched = (document: object, ...operations: unknown[]): unknown => applyJsonPatch(document, operations);

test('the operations of RFC 6902', () => {
  const doc = { a: { b: [1, 2, { c: 'x' }] }, 'm/n': 1, 'o~p': 2 };
  const cases: [unknown, unknown][] = [
    [
      { op: 'add', path: '/a/d', value: null },
      { ...doc, a: { ...doc.a, d: null } },
    ],
    [
      { op: 'add', path: '/a/b/1', value: 9 },
      { ...doc, a: { b: [1, 9, 2, { c: 'x' }] } },
    ],
    [
      { op: 'add', path: '/a/b/-', value: 9 },
      { ...doc, a: { b: [1, 2, { c: 'x' }, 9] } },
    ],
    [
      { op: 'remove', path: '/a/b/0' },
      { ...doc, a: { b: [2, { c: 'x' }] } },
    ],
    [
      { op: 'remove', path: '/m~1n' },
      { a: doc.a, 'o~p': 2 },
    ],
    [
      { op: 'replace', path: '/o~0p', value: [1] },
      { ...doc, 'o~p': [1] },
    ],
    [
      { op: 'replace', path: '/a/b/2/c', value: 'y' },
      { ...doc, a: { b: [1, 2, { c: 'y' }] } },
    ],
    [
      { op: 'move', from: '/a/b/2', path: '/a/e' },
      { ...doc, a: { b: [1, 2], e: { c: 'x' } } },
    ],
    [
      { op: 'copy', from: '/a/b', path: '/a/e' },
      { ...doc, a: { b: doc.a.b, e: doc.a.b } },
    ],
    [{ op: 'test', path: '/a/b/2', value: { c: 'x' } }, doc],
    [{ op: 'test', path: '/m~1n', value: 1 }, doc],
  ];
  const before = structuredClone(doc);
  for (const [operation, expected] of cases) assert.deepEqual(patched(doc, operation), expected);
  assert.deepEqual(doc, before);
});

test('what cannot be applied is refused with 422 and upstream wording', () => {
  const doc = { a: { b: [1] }, n: null };
  const cases: [unknown, string][] = [
    [{ op: 'add', path: '/x/y', value: 1 }, 'add operation does not apply: doc is missing path: "/x/y": missing value'],
    [
      { op: 'remove', path: '/x' },
      "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
    ],
    [
      { op: 'replace', path: '/a/x', value: 1 },
      'replace operation does not apply: doc is missing key: /a/x: missing value',
    ],
    [
      { op: 'add', path: '/a/b/3', value: 1 },
      "error in add for path: '/a/b/3': Unable to access invalid index: 3: invalid index referenced",
    ],
    [{ op: 'test', path: '/a/b/0', value: 2 }, 'testing value /a/b/0 failed: test failed'],
    [
      { op: 'move', from: '/q/r', path: '/s' },
      'move operation does not apply: doc is missing from path: /q/r: missing value',
    ],
    [
      { op: 'copy', from: '/a', path: '/q/r' },
      'copy operation does not apply: doc is missing destination path: /q/r: missing value',
    ],
    [{ op: 'jump', path: '/a' }, 'Unexpected kind: jump'],
    [{ op: 'add', value: 1 }, 'add operation failed to decode path: operation, missing path field: missing value'],
    [{ op: 'add', path: '', value: 1 }, 'add operation does not apply: doc is missing path: "": missing value'],
  ];
  for (const [operation, message] of cases) {
    assert.throws(
      () => patched(doc, operation),
      (error: StatusError) => {
        assert.deepEqual([error.code, error.reason], [422, 'Invalid']);
        assert.equal(error.message, 'the server rejected our request due to an error in our request');
        // What went wrong is for the log: clients are told no more than this.
        assert.deepEqual(error.status.details, {});
        assert.equal((error.cause as Error).message, message);
        return true;
      },
    );
  }
  assert.deepEqual(patched(doc, { op: 'test', path: '/n', value: null }), doc);
  assert.deepEqual(patched(doc, { op: 'test', path: '/absent', value: null }), doc);
});

test('what is no patch is a bad request, and patches have limits', () => {
  assert.throws(() => applyJsonPatch({}, {}), { reason: 'BadRequest' });
  assert.throws(() => applyJsonPatch({}, [1]), { reason: 'BadRequest' });
  const many = Array.from({ length: MAX_OPERATIONS + 1 }, () => ({ op: 'test', path: '/a', value: null }));
  assert.throws(() => applyJsonPatch({}, many), { code: 413 });
  const doc = { a: ['x'.repeat(1000)] };
  const grow = Array.from({ length: 20 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/${i % 2}` }));
  assert.throws(
    () => applyJsonPatch(doc, grow),
    (error: StatusError) => /accumulated size increase of copy/.test((error.cause as Error).message),
  );
});

test('a patch can be applied again: it shares nothing with the result', () => {
  const patch = [
    { op: 'add', path: '/a', value: { list: [1] } },
    { op: 'add', path: '/a/list/-', value: 2 },
  ];
  assert.deepEqual(applyJsonPatch({}, patch), { a: { list: [1, 2] } });
  assert.deepEqual(applyJsonPatch({}, patch), { a: { list: [1, 2] } });
});

test('members named like inherited ones are members', () => {
  const result = patched(
    {},
    { op: 'add', path: '/__proto__', value: { x: 1 } },
    { op: 'add', path: '/constructor', value: 2 },
  );
  assert.equal(JSON.stringify(result), '{"__proto__":{"x":1},"constructor":2}');
  assert.throws(() => patched({}, { op: 'add', path: '/__proto__/x', value: 1 }), StatusError);
});

/** A deliberately simple twin: the document as a whole is rebuilt for every operation. */
function naive(doc: unknown, op: { op: string; path: string; value?: unknown }): unknown {
  const [, head, ...rest] = op.path.split('/');
  const key = head!.replaceAll('~1', '/').replaceAll('~0', '~');
  const inner = rest.length > 0;
  if (Array.isArray(doc)) {
    const at = key === '-' ? doc.length : Number(key);
    if (!Number.isInteger(at) || at > doc.length || (at === doc.length && (inner || op.op !== 'add')))
      throw new Error('index');
    const deeper = inner
      ? [naive(doc[at], { ...op, path: `/${rest.join('/')}` })]
      : op.op === 'remove'
        ? []
        : [op.value];
    return [...doc.slice(0, at), ...deeper, ...doc.slice(op.op === 'add' && !inner ? at : at + 1)];
  }
  if (typeof doc !== 'object' || doc === null) throw new Error('scalar');
  const members = new Map(Object.entries(doc));
  if (!members.has(key) && (inner || op.op !== 'add')) throw new Error('missing');
  if (inner) members.set(key, naive(members.get(key), { ...op, path: `/${rest.join('/')}` }));
  else if (op.op === 'remove') members.delete(key);
  else members.set(key, op.value);
  return Object.fromEntries(members);
}

test('add, remove and replace agree with the simple twin', () => {
  const key = fc.constantFrom('a', 'b', '~', '/');
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: 'small' }, fc.integer(), tie('list'), tie('map')),
    list: fc.array(tie('value'), { maxLength: 3 }),
    map: fc.dictionary(key, tie('value'), { maxKeys: 3 }),
  }));
  const token = fc.constantFrom('a', 'b', '~0', '~1', '0', '1', '2', '-');
  const operation = fc.record({
    op: fc.constantFrom('add', 'remove', 'replace'),
    path: fc.array(token, { minLength: 1, maxLength: 3 }).map((tokens) => tokens.map((t) => `/${t}`).join('')),
    value: value as fc.Arbitrary<unknown>,
  });
  const attempt = (f: () => unknown): unknown => {
    try {
      return { result: f() };
    } catch {
      return 'refused';
    }
  };
  fc.assert(
    fc.property(fc.dictionary(key, value), fc.array(operation, { maxLength: 4 }), (doc, operations) => {
      const before = structuredClone(doc);
      const expected = attempt(() => operations.reduce<unknown>(naive, doc));
      assert.ok(
        sameJson(
          attempt(() => applyJsonPatch(doc, operations)),
          expected,
        ),
      );
      assert.ok(sameJson(doc, before));
    }),
    { numRuns: 1000 },
  );
});
