import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget, OutOfBudget } from '../../custom/rules/budget.ts';
import { checkingEnvironment } from './environment.ts';
import { type Bindings, expressionOf, expressionProblem, variablesOf } from './expressions.ts';
import { appliedConfiguration, jsonPatchOperations } from './messages.ts';

const none: Bindings = { object: null, oldObject: null, request: {}, namespaceObject: null, params: null };
const run = (text: string, more: object = {}, budget = new Budget()): unknown =>
  expressionOf(text).run({ ...none, ...more }, budget);

test('once the budget is spent nothing is said, whatever an expression ended with', () => {
  const list = Array.from({ length: 100 }, (_, i) => BigInt(i));
  const budget = new Budget(1_000);
  assert.equal(run('object.all(a, a >= 0)', { object: list }, budget), true);
  for (const text of ['object.exists(a, a == 99)', 'object.all(a, a >= 0) || true', 'object.map(a, a).size() == 100']) {
    assert.throws(() => [1, 2, 3].map(() => run(text, { object: list }, budget)), OutOfBudget, text);
  }
});

test('one expression may not take all of it, and loops within loops end at once', () => {
  const list = Array.from({ length: 4_000 }, (_, i) => BigInt(i));
  const budget = new Budget();
  const limit = /^Error: expression .* resulted in error: operation cancelled: actual cost limit exceeded$/;
  assert.throws(() => run('object.all(a, object.all(b, a + b >= 0))', { object: list }, budget), limit);
  assert.throws(() => run('object.map(a, object.filter(b, a == b)).size() >= 0', { object: list }, budget), limit);
  assert.equal(run('1 + 1', {}, budget), 2n, 'the next one may go on');
});

test('a variable is worked out once, when it is asked for; its error says which', () => {
  const budget = new Budget();
  const bindings: { [name: string]: unknown } = { ...none, object: { a: 1n } };
  const variables = [
    { name: 'good', expression: expressionOf('object.a + 1') },
    { name: 'bad', expression: expressionOf('object.b') },
  ];
  bindings.variables = variablesOf(variables, () => bindings, budget);
  const value = (text: string): unknown => expressionOf(text).run(bindings, budget);
  assert.equal(value('variables.good == 2 && variables.good < 3'), true);
  assert.equal(value('variables.bad == 1 || true'), true);
  const why = /resulted in error: composited variable "bad" fails to evaluate: no such key: b$/;
  assert.throws(() => value('variables.bad == 1'), why);
});

test('what an expression may evaluate to, and upstream’s words for what it may not', () => {
  const env = checkingEnvironment({ params: false, authorizer: true, messages: true, variables: { n: 'int' } });
  const problem = (text: string, ...wanted: string[]): string | undefined => expressionProblem(env, text, wanted);
  assert.equal(problem('object.a > 1 && variables.n == 2', 'bool'), undefined);
  assert.equal(problem('oldObject == null || namespaceObject != null', 'bool'), undefined);
  assert.equal(problem("has(object.metadata.labels['a'].b) && has(object.list[0].c)", 'bool'), undefined);
  assert.equal(problem('object.a', 'bool'), 'must evaluate to bool but got dyn');
  assert.equal(problem('[1]', 'bool'), 'must evaluate to bool but got list(int)');
  assert.equal(problem('1', 'string', 'null'), 'must evaluate to one of [string null_type] but got int');
  assert.equal(
    problem('1 == 1\n  && request.nope', 'bool'),
    "compilation failed: ERROR: <input>:2:13: undefined field 'nope'\n |   && request.nope\n | ............^",
  );
  assert.match(problem('params.a == 1', 'bool')!, /undeclared reference to 'params' \(in container ''\)/);
  assert.equal(problem('Object{spec: Object.spec{replicas: 1}}', 'Object'), undefined);
  assert.equal(problem("[JSONPatch{op: 'remove', path: '/a'}]", 'list<JSONPatch>'), undefined);
  assert.equal(problem('{"a": 1}', 'Object'), 'must evaluate to Object but got map(string, int)');
});

test('messages as JSON: integers exact, optional fields that are not there left out, names checked', () => {
  const object = { big: 9007199254740993n, small: 3n };
  const text =
    'Object{spec: Object.spec{n: object.small, ?no: object.?nope, ?yes: object.?small, l: [Object.spec.l{big: object.big}]}}';
  assert.deepEqual(appliedConfiguration(run(text, { object })), {
    spec: { n: 3, yes: 3, l: [{ big: 9007199254740993n }] },
  });
  const wrong =
    /type mismatch: unexpected type name "Object.wrong", expected "Object.spec", which matches field name path/;
  assert.throws(() => appliedConfiguration(run('Object{spec: Object.wrong{a: 1}}')), wrong);
  const patch =
    "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b~/c'), value: {'x': [1, Object.spec{a: 1.5}]}}]";
  assert.deepEqual(jsonPatchOperations(run(patch)), [{ op: 'add', path: '/a/b~0~1c', value: { x: [1, { a: 1.5 }] } }]);
});

test('has() of any expression', () => {
  const object = { list: [{ a: 1n }], map: { 'x.y': { a: null } } };
  assert.equal(
    run("has(object.list[0].a) && !has(object.list[0].b) && !has(object['map']['x.y'].b)", { object }),
    true,
  );
  assert.equal(run('has(object.list.filter(x, x.a == 1)[0].a)', { object }), true);
  assert.throws(() => run('has(object.list[1].a)', { object }), /resulted in error/);
});
