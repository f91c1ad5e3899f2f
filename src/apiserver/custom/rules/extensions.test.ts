import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kubernetesEnvironment } from './library.ts';

const env = kubernetesEnvironment();
const value = (text: string): unknown => env.evaluate(text);

test('strings', () => {
  assert.equal(value("'abc'.charAt(1) + 'abc'.charAt(3)"), 'b');
  assert.throws(() => value("'abc'.charAt(4)"), /index out of range: 4/);
  assert.equal(value("'a.b.c'.replace('.', '-')"), 'a-b-c');
  assert.equal(value("'a.b.c'.replace('.', '-', 1)"), 'a-b.c');
  assert.equal(value("'añb'.reverse()"), 'bña');
  const args = "['x', 3, 2.5, 255, [1, 'a'], {'k': true}]";
  assert.equal(
    value(`'%s is %d, %.2f, 0x%X; %s %s 100%%'.format(${args})`),
    'x is 3, 2.50, 0xFF; [1, a] {k: true} 100%',
  );
  assert.throws(() => value("'%s %s'.format(['one'])"), /index 1 out of range/);
  assert.throws(() => value("'%d'.format(['one'])"), /could not parse formatting clause/);
});

test('sets and lists', () => {
  for (const text of [
    'sets.contains([1, 2, 3], [3, 1]) && !sets.contains([1], [2])',
    'sets.equivalent([1, 2, 1], [2, 1]) && !sets.equivalent([1], [1, 2])',
    'sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [])',
    "[1, 2, 1].distinct() == [1, 2] && ['b', 'a'].sort() == ['a', 'b'] && [1, 2, 3].slice(1, 2) == [2]",
    '[[1], [2, 3]].flatten() == [1, 2, 3] && [1, 2].reverse() == [2, 1]',
  ]) {
    assert.equal(value(text), true, text);
  }
  assert.throws(() => value('[1].slice(0, 2)'), /cannot slice/);
});

test('numbers and quantities', () => {
  for (const text of [
    'math.greatest(1, 3, 2) == 3 && math.least([3, 1, 2]) == 1 && math.greatest(1.5, 0.5) == 1.5',
    'math.abs(-2) == 2 && math.ceil(1.2) == 2.0 && math.floor(-1.2) == -2.0 && math.round(-1.5) == -2.0',
    "quantity('2Gi').sub(quantity('1Gi')).compareTo(quantity('1024Mi')) == 0 && quantity('2k').asInteger() == 2000",
  ]) {
    assert.equal(value(text), true, text);
  }
});

test('networks and versions', () => {
  for (const text of [
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('fd00::/8').prefixLength() == 8 && isCIDR('fd00::/8') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/33')",
    "!cidr('10.0.0.0/8').containsIP('fd00::1')",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))",
    "semver('1.0.0-rc.2').compareTo(semver('1.0.0-rc.10')) == -1 && semver('1.2.3').minor() == 2",
    "isSemver('1.2.3') && !isSemver('v1.2.3') && !isSemver('01.2.3')",
  ]) {
    assert.equal(value(text), true, text);
  }
});
