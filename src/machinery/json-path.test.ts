import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileJsonPath, MAX_FOUND, plainMembers } from './json-path.ts';

const object = {
  spec: {
    list: [
      { name: 'a', size: 1 },
      { name: 'b', size: 2 },
      { name: 'c>=d', size: 3 },
    ],
    'dotted.name': 'x',
    map: { a: { v: 1 }, b: { v: 2 } },
  },
};
const find = (path: string): readonly unknown[] => compileJsonPath(path)(object);

test('members, indexes, slices, wildcards, descents and filters find what they name', () => {
  const cases: [string, unknown[]][] = [
    ['.spec.list[0].name', ['a']],
    ['{.spec.list[-1].size}', [3]],
    ['.spec.list[0:2].name', ['a', 'b']],
    ['.spec.list[*].size', [1, 2, 3]],
    ['.spec.dotted\\.name', ['x']],
    ["['spec']['dotted.name']", ['x']],
    ['.spec.map.*.v', [1, 2]],
    ['.spec..v', [1, 2]],
    ['.spec.list[?(@.name=="b")].size', [2]],
    ['.spec.list[?( @.size >= 2 )].name', ['b', 'c>=d']],
    ['.spec.list[?(@.name=="c>=d")].size', [3]],
    ['.spec.list[?(@.none)].size', []],
    ['.spec.none.deeper[3]', []],
    ['.constructor', []],
    ['.spec.__proto__', []],
  ];
  for (const [path, found] of cases) assert.deepEqual(find(path), found, path);
});

test('a path that is none is a SyntaxError', () => {
  for (const path of ['.spec[', '.spec[a]', '.spec.list[?(@.a==)]', '.a b', `.${'a'.repeat(20_000)}`]) {
    assert.throws(() => compileJsonPath(path), SyntaxError, path.slice(0, 30));
  }
  assert.equal(plainMembers('.spec[0]'), undefined);
  assert.deepEqual(plainMembers('.spec.a'), ['spec', 'a']);
});

test('descents beside descents find no more than can be shown, at once', () => {
  let deep: unknown = 1;
  for (let i = 0; i < 200; i++) deep = { a: deep, b: 1 };
  const before = process.cpuUsage();
  assert.ok(compileJsonPath('..*'.repeat(30))(deep).length <= MAX_FOUND);
  assert.ok(compileJsonPath(`.spec.list[?(@.a${' '.repeat(9_000)}==1)]`));
  assert.ok(process.cpuUsage(before).user / 1000 < 3_000);
});
