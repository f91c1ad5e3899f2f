import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  EVERYTHING,
  labelSelectorFromObject,
  NOTHING,
  parseFieldSelector,
  parseLabelSelector,
  selectorFromLabels,
} from './selector-parse.ts';

type Labels = { [key: string]: string };

const matches = (text: string, labels: Labels | undefined): boolean => parseLabelSelector(text).matches(labels);

test('label selectors match as documented', () => {
  const labels = { app: 'web', tier: 'front', n: '5', in: 'x', empty: '' };
  for (const text of [
    '', 'app=web', 'app==web', 'app!=db', 'app in (web, db)', 'app notin (db)', 'app', '!gone', 'gone!=x', 'n>4', 'n<6',
    'in=x', 'app in (web),tier', 'empty=', 'empty in ()', 'empty in (,a)', ' app = web , tier ', 'in in (x)', 'gone notin (a)',
  ]) assert.ok(matches(text, labels), text); // biome-ignore format: a table
  for (const text of ['app=db', 'gone', '!app', 'app notin (web)', 'n>5', 'app>1', 'gone in (a)', 'constructor'])
    assert.ok(!matches(text, labels), text);
  assert.ok(matches('!a', undefined));
});

test('a selector is written canonically', () => {
  const text = (s: string): string => parseLabelSelector(s).toString();
  assert.equal(text('x in (c,a) , !b, a==1'), 'a==1,!b,x in (a,c)');
  assert.equal(text('y notin (z),a>1'), 'a>1,y notin (z)');
  assert.deepEqual(parseLabelSelector('a=b').requirements, [{ key: 'a', operator: 'In', values: ['b'] }]);
});

test('refusals carry the wording of upstream', () => {
  const cases: Labels = {
    'a,': "found '', expected: identifier after ','",
    '=a': "found '=', expected: !, identifier, or 'end of string'",
    'a b': "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    'a in b': "unable to parse requirement: found 'b' expected: '('",
    'a=b c': "found 'c', expected: ',' or 'end of string'",
    'a in (b': "unable to parse requirement: found '', expected: ',' or ')'",
  };
  for (const [text, message] of Object.entries(cases)) {
    assert.throws(() => parseLabelSelector(text), { reason: 'BadRequest', code: 400, message }, text);
  }
  assert.throws(() => parseLabelSelector('a$b'), {
    message: /^unable to parse requirement: <nil>: Invalid value: "a\$b": name part must consist of/,
  });
  assert.throws(() => parseLabelSelector('app=-x'), {
    message: /^unable to parse requirement: values\[0\]\[app\]: Invalid value: "-x": a valid label must be/,
  });
});

test('LabelSelector objects', () => {
  assert.equal(labelSelectorFromObject(undefined), NOTHING);
  assert.equal(labelSelectorFromObject({}), EVERYTHING);
  const selector = labelSelectorFromObject({
    matchLabels: { app: 'web' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['a', 'b'] },
      { key: 'gone', operator: 'DoesNotExist' },
    ],
  });
  assert.ok(selector.matches({ app: 'web', tier: 'a' }));
  assert.ok(!selector.matches({ app: 'web', tier: 'c' }));
  assert.ok(!selector.matches({ app: 'web', tier: 'a', gone: '' }));
  assert.equal(selector.toString(), 'app=web,!gone,tier in (a,b)');
  const bad = { matchExpressions: [{ key: 'a', operator: 'Near' }] };
  assert.throws(() => labelSelectorFromObject(bad), { message: '"Near" is not a valid label selector operator' });
  assert.ok(selectorFromLabels({ a: '1' }).matches({ a: '1', b: '2' }));
  assert.ok(!selectorFromLabels({ a: '1' }).matches({}));
});

test('field selectors', () => {
  const fields = { 'metadata.name': 'a', 'status.phase': 'Running', odd: 'x,y=z\\' };
  assert.ok(parseFieldSelector('').empty);
  for (const text of [
    'metadata.name=a',
    'metadata.name==a,status.phase!=Failed',
    'spec.nodeName=',
    'odd=x\\,y\\=z\\\\',
  ]) {
    assert.ok(parseFieldSelector(text).matches(fields), text);
    assert.ok(parseFieldSelector(parseFieldSelector(text).toString()).matches(fields), text);
  }
  assert.ok(!parseFieldSelector('metadata.name=b').matches(fields));
  assert.throws(() => parseFieldSelector('metadata.name'), {
    message: "invalid selector: 'metadata.name'; can't understand 'metadata.name'",
  });
  assert.throws(() => parseFieldSelector('a=b=c'), { reason: 'BadRequest' });
  assert.throws(() => parseFieldSelector('a=\\x'), { reason: 'BadRequest' });
});

test('a selector reads its own text', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9]{0,4}$/);
  const requirement = fc.oneof(
    word,
    word.map((k) => `!${k}`),
    fc.tuple(word, fc.constantFrom('=', '==', '!='), word).map((t) => t.join('')),
    fc
      .tuple(word, fc.constantFrom(' in ', ' notin '), fc.array(word, { maxLength: 3 }))
      .map(([k, op, v]) => `${k}${op}(${v.join(',')})`),
  );
  fc.assert(
    fc.property(fc.array(requirement), fc.dictionary(word, word), (parts, labels) => {
      const selector = parseLabelSelector(parts.join(','));
      const again = parseLabelSelector(selector.toString());
      assert.equal(again.toString(), selector.toString());
      assert.equal(again.matches(labels), selector.matches(labels));
      assert.equal(
        selector.matches(labels),
        parts.every((p) => parseLabelSelector(p).matches(labels)),
      );
    }),
  );
});
