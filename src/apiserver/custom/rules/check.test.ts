import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SchemaProps } from '../../../api/structural/schema.ts';
import { rulesProblems } from './check.ts';

type Rule = NonNullable<SchemaProps['x-kubernetes-validations']>[number];

const problems = (schema: SchemaProps): readonly string[] =>
  rulesProblems(schema, 'schema').map(({ field, message }) => `${field}: ${message}`);

const ruled = (schema: SchemaProps, ...rules: (string | Rule)[]): SchemaProps => ({
  ...schema,
  'x-kubernetes-validations': rules.map((rule) => (typeof rule === 'string' ? { rule } : rule)),
});
const spec = (properties: { [name: string]: SchemaProps }, ...rules: (string | Rule)[]): SchemaProps =>
  ruled({ type: 'object', properties }, ...rules);
const text = (maxLength: number): SchemaProps => ({ type: 'string', maxLength });
const list = (maxItems: number | undefined, items: SchemaProps): SchemaProps => ({
  ...{ type: 'array', items },
  ...(maxItems !== undefined && { maxItems }),
});

const HINT =
  '(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)';

test('a rule may cost what upstream lets it, and no more', () => {
  // The longest lists that kube-apiserver takes.
  for (const [maxLength, most] of [
    [16, 909_090],
    [63, 333_333],
    [253, 94_339],
    [1_024, 24_154],
  ] as const) {
    const schema = (maxItems: number): SchemaProps =>
      ruled(list(maxItems, text(maxLength)), "self.all(x, x.contains('gpu'))");
    assert.deepEqual(problems(schema(most)), [], `${maxLength}`);
    assert.deepEqual(problems(schema(most + 10)), [
      `schema.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of ${(((most + 10) * (4 + Math.ceil(maxLength * 0.4)) + 2) / 1e7).toFixed(6)}x ${HINT}`,
    ]);
  }
});

test('a rule counts for each value that an object may have', () => {
  const rule = "self.matches('^[a-z]+$')";
  const path = 'schema.items.items.x-kubernetes-validations[0].rule';
  assert.deepEqual(problems(list(100, list(100, ruled(text(60), rule)))), []);
  assert.match(
    problems(list(1_000, list(1_000, ruled(text(60), rule))))[0]!,
    new RegExp(`^${RegExp.escape(path)}: Forbidden`),
  );
  // Where a list has no bound there are as many as a request has room for.
  assert.match(problems(list(undefined, list(10, ruled(text(60), rule))))[0]!, /estimated rule cost exceeds budget/);
  const wide = spec({ n: { type: 'integer' } }, 'self.n > 0');
  assert.deepEqual(problems(list(undefined, wide)), []);
  assert.deepEqual(problems({ type: 'object', additionalProperties: wide, maxProperties: 50 }), []);
});

test('all rules of a definition share a limit; the dearest are named', () => {
  const items = text(16);
  const rule = "self.all(x, x.contains('gpu'))";
  const properties = Object.fromEntries(
    Array.from({ length: 11 }, (_, i) => [`l${i}`, ruled(list(900_000 - i, items), rule)]),
  );
  const most = (i: number): string => `schema.properties[l${i}].x-kubernetes-validations[0].rule`;
  const contributed =
    'Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema';
  assert.deepEqual(problems({ type: 'object', properties }), [
    ...[0, 1, 2, 3].map((i) => `${most(i)}: ${contributed}`),
    'schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by ' +
      `factor of 1.088994x ${HINT}`,
  ]);
  const { l0: _, ...ten } = properties;
  assert.deepEqual(problems({ type: 'object', properties: ten }), []);
});

test('what a message is worked out from counts too', () => {
  const messageExpression = "self.l.map(a, self.l.map(b, a + b).join(',')).join(',')";
  const found = problems(spec({ l: list(1_000, text(100)) }, { rule: 'self.l.size() > 0', messageExpression }));
  assert.equal(found.length, 3);
  const at = 'schema.x-kubernetes-validations[0].messageExpression: Forbidden: ';
  assert.ok(found[0]!.startsWith(`${at}estimated messageExpression cost exceeds budget by factor of `), found[0]!);
  assert.ok(found[1]!.startsWith(`${at}contributed to estimated rule cost total`), found[1]!);
  const short = { rule: 'self.n < 3', messageExpression: "'it is ' + string(self.n) + ', not less than ' + string(3)" };
  assert.deepEqual(problems(spec({ n: { type: 'integer' } }, short)), []);
});

test('rules of the Gateway API and of cert-manager are within the limits', () => {
  const name = text(253);
  const section = text(253);
  const parent = spec({
    group: name,
    kind: text(63),
    name,
    namespace: text(63),
    sectionName: section,
    port: { type: 'integer' },
  });
  const parents = ruled(
    list(32, parent),
    "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) ? ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))",
    "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && (!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')))",
  );
  const path = spec(
    { type: { type: 'string', enum: ['Exact', 'PathPrefix', 'RegularExpression'] }, value: text(1_024) },
    "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
    "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('//') : true",
    "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/..') : true",
    `(self.type in ['Exact','PathPrefix']) ? self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true`,
  );
  const match = spec({ path });
  const filter = spec(
    { type: text(63), requestMirror: spec({ name }), urlRewrite: spec({ path }) },
    "!(has(self.requestMirror) && self.type != 'RequestMirror')",
    "!(!has(self.requestMirror) && self.type == 'RequestMirror')",
  );
  const filters = ruled(
    list(16, filter),
    "self.filter(f, f.type == 'RequestRedirect').size() <= 1",
    "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
  );
  const routeRules = ruled(
    list(16, spec({ matches: list(64, match), filters })),
    '(self.size() > 0 ? self[0].matches.size() : 0) + (self.size() > 1 ? self[1].matches.size() : 0) <= 128',
  );
  assert.deepEqual(problems(spec({ parentRefs: parents, rules: routeRules })), []);
  const listener = spec({
    name,
    port: { type: 'integer' },
    protocol: text(255),
    hostname: name,
    tls: spec({ mode: text(63) }),
  });
  const listeners = ruled(
    list(64, listener),
    "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
    'self.all(l1, self.exists_one(l2, l1.name == l2.name))',
    'self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))',
  );
  assert.deepEqual(problems(spec({ listeners })), []);
  // Without bounds: names are compared and looked at once.
  const bare: SchemaProps = { type: 'string' };
  const issuer = spec(
    { name: bare, kind: bare },
    'self == oldSelf',
    "self.kind in ['Issuer', 'ClusterIssuer']",
    "self.name != ''",
  );
  assert.deepEqual(
    problems(spec({ issuerRef: issuer, secretName: ruled(bare, 'self == oldSelf', 'self.size() > 0') })),
    [],
  );
});
