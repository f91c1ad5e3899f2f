import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sameJson } from './json.ts';
import { parseYaml, parseYamlAll, stringifyYaml } from './yaml.ts';

test('scalars mean what they mean to Kubernetes', () => {
  const cases: { [text: string]: unknown } = {
    'yes': true, 'Off': false, 'y': true, 'true': true, '"yes"': 'yes', '~': null, '': null, 'null': null,
    '0644': 420, '0o644': 420, '0x1F': 31, '-0b11': -3, '1_000': 1000, '+5': 5, '08': 8, '1:30': '1:30', '22:22': '22:22',
    '1.5': 1.5, '1e3': 1000, '.5': 0.5, '1.': 1, '1.2.3': '1.2.3', '-': '-', '2024-01-01': '2024-01-01',
    '9007199254740993': 9007199254740993n, '20000000000000000000000': 2e22, '!!str 1': '1', '!!int "7"': 7,
    '!own 7': '7', '!!binary YWI=': 'ab', 'a: b': { a: 'b' }, '{a: 1, b: [x, 2]}': { a: 1, b: ['x', 2] },
    '1: a\ntrue: b\n': { 1: 'a', true: 'b' }, '|\n  x\n  y\n': 'x\ny\n', '>-\n  x\n  y\n': 'x y',
  }; // biome-ignore format: a table
  for (const [text, value] of Object.entries(cases)) {
    const read = text === '-' ? parseYaml("'-'") : parseYaml(text);
    assert.ok(sameJson(read, value), `${text}: ${typeof read} ${String(read)}`);
  }
});

test('anchors, aliases and merges', () => {
  const text = 'base: &b {a: 1, b: 2}\nx:\n  <<: *b\n  b: 3\nl: [*b]\nz:\n  <<: [*b, {c: 4}]\n';
  assert.deepEqual(parseYaml(text), {
    base: { a: 1, b: 2 },
    x: { b: 3, a: 1 },
    l: [{ a: 1, b: 2 }],
    z: { a: 1, b: 2, c: 4 },
  });
  assert.throws(() => parseYaml('a: *x\n'), { name: 'YamlError' });
  assert.throws(() => parseYaml('a: &a\n  b: *a\n'), { message: /contains itself/ });
  const bomb = `a: &a [${'x,'.repeat(50)}]\n${[...'bcdefg'].map((c, i) => `${c}: &${c} [${`*${'abcdef'[i]},`.repeat(50)}]`).join('\n')}\n`;
  assert.throws(() => parseYaml(bomb), { message: 'yaml: document contains excessive aliasing' });
});

test('duplicate keys are reported and the last counts', () => {
  const problems: string[] = [];
  assert.deepEqual(parseYaml('a: 1\nb:\n  c: 1\n  c: 2\na: 3\n', problems), { a: 3, b: { c: 2 } });
  assert.deepEqual(problems, ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']);
  assert.deepEqual(parseYaml('{"a":1,"a":2}', problems), { a: 2 });
  assert.equal(problems.length, 3);
});

test('several documents', () => {
  assert.deepEqual(parseYamlAll('---\na: 1\n---\n# nothing\n---\nb: 2\n...\n'), [{ a: 1 }, { b: 2 }]);
  assert.deepEqual(parseYamlAll(''), []);
  assert.throws(() => parseYaml('a: 1\n---\nb: 2\n'), { name: 'YamlError' });
});

test('errors name their line', () => {
  assert.throws(() => parseYaml('a: 1\nb: [1\n'), { name: 'YamlError', message: /^yaml: line \d+: / });
  assert.throws(() => parseYaml('a: .inf\n'), { name: 'YamlError' });
});

test('what is written is read back', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom('yes', 'no', '0644', '1e3', 'null', '~', '1:30', '2024-01-01', '<<', ' x', '- a', '08'),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      word,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      tie('list'),
      tie('map'),
    ),
    list: fc.array(tie('value'), { maxLength: 3 }),
    map: fc.dictionary(word, tie('value'), { maxKeys: 3 }),
  }));
  fc.assert(
    fc.property(value, (v) => {
      const text = stringifyYaml(v);
      assert.ok(sameJson(parseYaml(text), v), text);
    }),
    { numRuns: 300 },
  );
});
