import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget, CallLimitExceeded, PER_CALL_LIMIT } from './budget.ts';
import { kubernetesEnvironment, MATCHES } from './library.ts';
import { charge, type Meter } from './meter.ts';
import { meteredProgram } from './metered-program.ts';

const env = kubernetesEnvironment().registerVariable('self', 'dyn');

/** As the budgets of others, and tells what was counted. */
class Counting extends Budget implements Meter {
  counted = 0;
  override count(cost: number): boolean {
    this.counted += cost;
    return super.count(cost);
  }
}

function run(
  text: string,
  self: unknown,
): { readonly value?: unknown; readonly error?: unknown; readonly cost: number } {
  const program = meteredProgram(env.parse(text.replaceAll('.matches(', `.${MATCHES}(`)));
  const budget = new Counting();
  try {
    return { value: budget.spend(() => program({ self })), cost: budget.counted };
  } catch (error) {
    return { error, cost: budget.counted };
  }
}

const listMap = [
  { k: 'a1', v: 'b1' },
  { k: 'a2', v: 'b2' },
  { k: 'a3', v: 'b3', v2: 'z' },
];

test('what names, members, operators, texts and loops cost is what upstream says', () => {
  const self = {
    n: 1n,
    text: 'Rook takes 👑',
    list: [1n, 2n, 3n],
    val: { b: 1n, d: 2n },
    listMap,
    bin: Buffer.from('AB'),
  };
  // From upstream's tests of the stability of costs.
  for (const [text, cost] of Object.entries({
    'self.n == self.n': 5,
    "self.text.startsWith('Rook')": 4,
    "!self.text.startsWith('knight')": 5,
    "self.text.replace(' ', 'x') == 'Rookxtakesx👑'": 7,
    "self.text.substring(5) == 'takes 👑'": 5,
    "self.text.upperAscii() == 'ROOK TAKES 👑'": 6,
    '1 in self.list': 5,
    'self.list[1] in self.list': 8,
    '!(0 in self.list)': 6,
    'has(self.val.b)': 2,
    '!has(self.val.a)': 3,
    '(self.n + 1) * 2 - 1 > 0': 6,
  })) {
    assert.deepEqual(run(text, self), { value: true, cost }, text);
  }
  // Ours do a little more in each round, and list the keys of maps.
  for (const [text, cost] of Object.entries({
    'self.val.all(k, self.val[k] > 0)': 17,
    'self.val.exists_one(k, self.val[k] == 2)': 14,
    'size(self.val.filter(k, self.val[k] > 1)) == 1': 26,
    "self.listMap.all(m, m.k.startsWith('a'))": 21,
    "self.listMap.all(m, !has(m.v2) || m.v2 == 'z')": 21,
    "self.listMap.exists(m, m.k.endsWith('1'))": 13,
    "!self.listMap.exists(m, m.v == 'x')": 25,
    "self.listMap.exists_one(m, m.k == 'a3')": 15,
    "self.listMap.map(m, m.v).exists(v, v == 'b1')": 55,
    "self.text.matches('^[^0-9]*$')": 8,
    'size(self.text) == 12': 4,
  })) {
    const { value, cost: own } = run(text, self);
    assert.equal(value, true, text);
    assert.ok(own >= cost * 0.7 && own <= cost * 1.5 + 60, `${text}: ${own}, upstream ${cost}`);
  }
});

test('the work of functions is paid for by what they are given, and what they make', () => {
  const grows = (text: string, small: object, big: object, factor: number): void => {
    const [a, b] = [run(text, small).cost, run(text, big).cost];
    assert.ok(b >= a * factor, `${text}: ${a}, then ${b}`);
  };
  const texts = [
    { a: 'x'.repeat(1_000), b: 'y'.repeat(1_000) },
    { a: 'x'.repeat(20_000), b: 'y'.repeat(20_000) },
  ] as const;
  for (const text of [
    "self.a.contains('y')", "self.a.find('y') == ''", "self.a.split(',').size() == 1", "self.a.replace('x', 'z') == 'z'",
    'self.a.lowerAscii() == "x"', 'self.a + self.b == self.a', 'self.a == self.b', 'self.a < self.b', 'size(self.a) > 0',
    "self.a.findAll('y').size() > 0", 'self.a.reverse() == self.b', "self.a.matches('^x+$')", "'%s'.format([self.a]) == ''",
    "[self.a, self.b].join(',') == self.a", 'bytes(self.a) == b"x"', 'isQuantity(self.a)', 'isIP(self.a)', 'isCIDR(self.a)',
    'isURL(self.a)', "self.a.indexOf('y') == 0", 'self.a.trim() == self.a', "'abc'.replace('b', self.a) == self.a",
  ]) grows(text, ...texts, 8); // biome-ignore format: a list
  const list = (size: number): bigint[] => Array.from({ length: size }, (_, i) => BigInt(i));
  const lists = [
    { a: list(100), b: list(100) },
    { a: list(1_000), b: list(1_000) },
  ] as const;
  for (const text of [
    '5000 in self.a', 'self.a == self.b', 'self.a + self.b == self.a', 'self.a.sum() > 0', 'self.a.isSorted()',
    'self.a.sort() == self.a', 'self.a.indexOf(-1) == -1', '[self.a, self.b].flatten() == self.a',
  ]) grows(text, ...lists, 5); // biome-ignore format: a list
  for (const text of [
    'sets.contains(self.a, self.b)',
    'sets.equivalent(self.a, self.b)',
    'self.a.distinct() == self.b',
  ]) {
    grows(text, ...lists, 30);
  }
  const map = (size: number): object => Object.fromEntries(list(size).map((i) => [`k${i}`, 'v']));
  const maps = [
    { a: map(100), b: map(100) },
    { a: map(1_000), b: map(1_000) },
  ] as const;
  for (const text of ['self.a == self.b', "'x' in self.a", 'self.a.exists(k, true)', 'self.a.exists(k, v, true)']) {
    grows(text, ...maps, 5);
  }
});

test('an expression that would take too long ends soon, whatever makes it long', () => {
  const text = 'x'.repeat(100_000);
  const list = Array.from({ length: 5_000 }, (_, i) => BigInt(i));
  const map = Object.fromEntries(list.map((i) => [`k${i}`, 'v']));
  const self = { text, list, map, digits: '1'.repeat(3_000), items: list.map((i) => ({ i, labels: { a: 'b' } })) };
  for (const [expression, much] of [
    // Texts that double, and texts of texts.
    [
      `cel.bind(t1, self.text + self.text, cel.bind(t2, t1 + t1, cel.bind(t3, t2 + t2, cel.bind(t4, t3 + t3, t4 == ''))))`,
    ],
    ["self.list.map(i, self.text + string(i)).join(',').size() > 0"],
    ['self.text.replace("", self.text).size() > 0', 2e9],
    ["self.list.map(i, 'x').join(self.text).size() > 0", 2e9],
    // A pattern that is short, but large when it is written out.
    ["self.text.matches('((x?){100}x{100}){3}y')", 2e9],
    ["self.list.all(i, self.text.matches('^(x+x+)+y$') || true)"],
    ['self.list.all(i, self.list.all(j, i + j >= 0))'],
    ['self.list.exists(i, self.list.exists(j, i + j < 0))'],
    ['self.list.all(i, j, self.list.exists(k, l, k + l < 0 || true))'],
    ['self.list.all(i, self.list.all(j, 1 / 0 == 1))'],
    ['self.list.all(i, v, self.list.all(j, 1 / 0 == 1))'],
    ['self.list.map(i, self.list.filter(j, i == j)).size() > 0'],
    ['self.list.all(i, string(i) in self.map || true)'],
    ['self.list.all(i, self.map == self.map || true)'],
    ['self.items.all(i, self.items.all(j, i == j || true))'],
    ['self.items.distinct().size() > 0'],
    ["self.list.all(i, timestamp('2024-01-01T00:00:00Z').getHours('Europe/Berlin') >= 0)"],
    ["self.list.all(i, self.list.all(j, cidr('10.0.0.0/8').containsIP('10.1.2.3')))"],
  ] as const) {
    const start = process.cpuUsage();
    const { error, cost } = run(expression, self);
    const { user } = process.cpuUsage(start);
    assert.ok(error instanceof Error, expression);
    assert.match(error.message, /actual cost limit exceeded$|running out of cost budget/, expression);
    // The call that is too much is told of before it is made: nothing is done for it.
    assert.ok(cost > PER_CALL_LIMIT && cost < (much ?? 5 * PER_CALL_LIMIT), `${expression}: ${cost}`);
    // Far more than it takes: this is a bound against runaways, on machines that do other things too.
    assert.ok(user / 1_000 < 500, `${expression}: ${user / 1_000} ms`);
  }
});

test('a loop ends with the round in which all is spent', () => {
  const many = Array.from({ length: 300_000 }, () => 1n);
  for (const text of [
    'self.all(i, true)',
    'self.exists(i, false)',
    'self.all(i, v, true)',
    'self.exists(i, v, false)',
    'self.all(i, self.nope)',
    'self.all(i, v, self.nope)',
  ]) {
    const { error, cost } = run(text, many);
    assert.ok(error instanceof CallLimitExceeded, text);
    // The range of a loop with two variables is paid for at once.
    assert.ok(cost < PER_CALL_LIMIT + (text.includes('v,') ? many.length : 0) + 300, `${text}: ${cost}`);
  }
});

test('errors cost, and rounds with two variables, and each place that a pattern finds', () => {
  const list = [1n, 2n, 3n];
  assert.ok(run('self.all(i, 1 / 0 == i)', list).cost > 600);
  assert.ok(run('self.all(i, (1 / 0 == i) || true)', list).cost > 600);
  assert.ok(run('self.all(i, v, 1 / 0 == i)', list).cost > 600);
  const [two, ten] = [2, 10].map((size) => run('self.all(i, v, true)', Array(size).fill(1n)).cost);
  assert.ok(ten! - two! >= 8 * 12, `${two} ${ten}`);
  const found = (text: string): number => run("self.findAll('x').size() >= 0", text).cost;
  assert.ok(found('x'.repeat(90)) - found('y'.repeat(90)) >= 90 * 50);
});

test('what an expression asks for while it runs is a part of it', () => {
  const budget = new Budget();
  const most = (cost: number): number =>
    budget.spend(() => {
      charge(cost);
      return cost;
    });
  assert.equal(most(PER_CALL_LIMIT), PER_CALL_LIMIT);
  assert.equal(
    budget.spend(() => most(PER_CALL_LIMIT / 2) + most(PER_CALL_LIMIT / 2)),
    PER_CALL_LIMIT,
  );
  assert.throws(() => budget.spend(() => most(PER_CALL_LIMIT / 2) + most(PER_CALL_LIMIT / 2 + 1)), CallLimitExceeded);
  assert.equal(most(1), 1, 'the next one may go on');
});

test('a text that is no duration is refused in linear time', () => {
  const start = process.cpuUsage();
  const { error } = run('duration(self.text) > duration("1s")', { text: '1'.repeat(10_000) });
  assert.match(String(error), /time: invalid duration "1+…"/);
  assert.ok(process.cpuUsage(start).user < 500_000);
  for (const text of ['1h2m3.5s', '-1.5h', '.5s', '100ms', '1us', '1µs', '1ns', '1.s']) {
    assert.equal(run('duration(self) == duration(self)', text).value, true, text);
  }
  for (const text of ['', '1', '1x', 's', '1s2', '1h 2m', '..5s', '1..5s']) {
    assert.ok(run('duration(self) == duration(self)', text).error, text);
  }
});

test('rules as the Gateway API, cert-manager and policies of pods have them pass on the largest objects that they allow', () => {
  const listeners = Array.from({ length: 64 }, (_, i) => ({
    ...{ name: `listener-${i}`, port: BigInt(8_000 + i), protocol: 'HTTPS', hostname: `host-${i}.example.com` },
    tls: { mode: 'Terminate' },
  }));
  const containers = Array.from({ length: 50 }, (_, i) => ({
    ...{ name: `c${i}`, image: `registry.example.com/team/app:${i}` },
    securityContext: { runAsNonRoot: true, capabilities: { drop: ['ALL'] } },
    resources: { limits: { memory: '512Mi', cpu: '1' }, requests: { memory: '256Mi' } },
  }));
  const self = { listeners, containers, dnsNames: Array.from({ length: 200 }, (_, i) => `name-${i}.example.com`) };
  for (const text of [
    'self.listeners.all(l1, self.listeners.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && ' +
      '(has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))',
    'self.listeners.all(l1, self.listeners.exists_one(l2, l1.name == l2.name))',
    "self.listeners.all(l, l.protocol in ['HTTPS', 'TLS'] ? has(l.tls) : true)",
    "self.listeners.all(l, l.hostname.matches('^(\\\\*\\\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))",
    'self.containers.all(c, has(c.securityContext) && has(c.securityContext.runAsNonRoot) && c.securityContext.runAsNonRoot)',
    "self.containers.all(c, c.image.startsWith('registry.example.com/') && !c.image.endsWith(':latest'))",
    "self.containers.all(c, c.securityContext.capabilities.drop.exists(d, d == 'ALL'))",
    "self.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('1Gi')))",
    'self.dnsNames.all(a, self.dnsNames.exists_one(b, a == b))',
    'self.containers.map(c, c.name).isSorted() || self.containers.map(c, c.name).distinct().size() == self.containers.size()',
  ]) {
    const { value, cost, error } = run(text, self);
    if (text.includes('dnsNames')) {
      // As a warning of what does not: two hundred of two hundred are more than one expression may look at.
      assert.ok(error instanceof CallLimitExceeded, text);
    } else assert.equal(value, true, `${text}: ${cost} ${String(error)}`);
  }
});
