// Whatever bytes a client sends: an answer that says what is wrong with them, and never anything else. `npm run fuzz` runs
// these for as long as one likes; what it finds is kept below as explicit cases.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeText } from '../../api/codec.ts';
import { parseJson, stringifyJson } from '../../api/json.ts';
import { decodeProtobuf, ProtobufError, readEnvelope } from '../../api/protobuf-decode.ts';
import { Tables } from '../../api/tables.ts';
import { parseYaml, YamlError } from '../../api/yaml.ts';
import { applyJsonPatch } from '../../machinery/patch/json.ts';
import { applyMergePatch } from '../../machinery/patch/merge.ts';
import { applyStrategicPatch } from '../../machinery/patch/strategic.ts';
import { canonicalQuantity, compareQuantities, parseQuantity, QuantityError } from '../../machinery/quantity.ts';
import { parseFieldSelector, parseLabelSelector } from '../../machinery/selector-parse.ts';
import { StatusError } from '../../machinery/status.ts';
import { negotiate } from './media.ts';
import { deleteOptions, listOptions, watchOptions, writeOptions } from './query-options.ts';
import { requestInfo } from './request-info.ts';

const tables = new Tables();
const POD = 'io.k8s.api.core.v1.Pod';
const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment';
const CRD = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition';

/** What `npm run fuzz` sets: how long each property is tried, and from which seed. */
const minutes = Number(process.env.FUZZ_MINUTES ?? 0);
const seed = process.env.FUZZ_SEED === undefined ? undefined : Number(process.env.FUZZ_SEED);
const settings = {
  ...(seed !== undefined && { seed }),
  ...(minutes > 0 ? { numRuns: 100_000_000, interruptAfterTimeLimit: minutes * 60_000 } : { numRuns: 300 }),
};

/** Runs `work`; a failure is one of these, or a client's mistake (a Status below 500). */
function answers<T>(work: () => T, ...refusals: (new (...values: never[]) => Error)[]): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof StatusError && error.code < 500) return undefined;
    if (refusals.some((kind) => error instanceof kind)) return undefined;
    throw error;
  } finally {
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  }
}

const WORDS = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'metadata', 'name', 'labels', 'annotations', 'finalizers'],
  ...['spec', 'containers', 'env', 'ports', 'containerPort', 'template', 'data', 'ownerReferences', 'uid', 'polluted'],
  ...['$patch', '$retainKeys', '$setElementOrder/containers', '$deleteFromPrimitiveList/finalizers', '-', '0', '1'],
];
const word = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...WORDS) }, fc.string({ maxLength: 5 }));
const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, '', 'delete', 'replace', 'merge', 1e300, -1, 0, 12345678901234567890n),
  fc.string(),
  fc.integer(),
  word,
);
const value = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5 },
    scalar,
    fc.array(tie('node'), { maxLength: 4 }),
    fc.array(fc.tuple(word, tie('node')), { maxLength: 5 }).map((pairs) => {
      const texts = pairs.map(([key, member]) => `${JSON.stringify(key)}:${stringifyJson(member)}`);
      return parseJson(`{${texts.join(',')}}`);
    }),
  ),
})).node;

const document = (): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', labels: { a: 'b' }, finalizers: ['x/y', 'z/w'] },
  spec: {
    containers: [
      { name: 'a', image: 'i', env: [{ name: 'E', value: 'v' }] },
      { name: 'b', image: 'i' },
    ],
  },
});

test('JSON: any text', () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom('{', '}', '[', ']', ':', ',', '"', '\\', '1e9', 'null'),
      word.map((w) => `"${w}"`),
    ),
  );
  const text = fc.oneof(
    pieces.map((p) => p.join('')),
    value.map((v) => stringifyJson(v)),
    fc.string(),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(POD, DEPLOYMENT, CRD), (source, type) => {
      const read = answers(() => decodeText(tables, type, source));
      if (read) answers(() => decodeText(tables, type, stringifyJson(read.object)));
    }),
    settings,
  );
});

test('YAML: any text', () => {
  const pieces = [
    'a: ',
    '- ',
    '\n',
    '  ',
    '&a ',
    '*a',
    '<<: ',
    '{',
    '}',
    '[',
    ']',
    '|\n',
    '? ',
    ': ',
    '!!int ',
    '"',
    "'",
    '---\n',
    '#',
    '%',
    '\t',
  ];
  const text = fc.oneof(
    fc.array(fc.oneof(fc.constantFrom(...pieces), word)).map((p) => p.join('')),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (source) => {
      answers(() => stringifyJson(parseYaml(source)), YamlError);
    }),
    settings,
  );
});

test('protobuf: any bytes, and a message with some bytes changed', () => {
  const pod = Buffer.from(
    '0a160a016112001a0022002a0032003800420052060a016212016312170a0012130a016312016932003a006a007200a20100ba0100',
    'hex',
  );
  const changed = fc
    .array(fc.tuple(fc.nat(pod.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const bytes = Buffer.from(pod);
      for (const [at, byte] of changes) bytes[at] = byte;
      return new Uint8Array(bytes);
    });
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 100 }), changed);
  fc.assert(
    fc.property(bytes, fc.constantFrom(POD, DEPLOYMENT, CRD), (message, type) => {
      answers(() => readEnvelope(Buffer.concat([Buffer.from('k8s\0'), message])), ProtobufError);
      const read = answers(() => decodeProtobuf(tables, type, message), ProtobufError);
      if (read) answers(() => decodeText(tables, type, stringifyJson(read)));
    }),
    settings,
  );
});

test('patches: any value, and neither document nor patch changes', () => {
  const path = fc.array(word, { maxLength: 4 }).map((tokens) => tokens.map((token) => `/${token}`).join(''));
  const operation = fc.record(
    { op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'x'), path, from: path, value },
    { requiredKeys: ['op'] },
  );
  const jsonPatch = fc.oneof(fc.array(operation, { maxLength: 6 }), value);
  fc.assert(
    fc.property(jsonPatch, value, (operations, patch) => {
      const [before, after] = [document(), document()];
      const texts = [stringifyJson(operations), stringifyJson(patch)];
      for (const result of [
        answers(() => applyJsonPatch(before, operations)),
        answers(() => applyMergePatch(before, patch)),
        answers(() => applyStrategicPatch(tables, POD, before, patch)),
      ]) {
        if (result) answers(() => decodeText(tables, POD, stringifyJson(result)));
      }
      assert.deepEqual(before, after);
      assert.deepEqual([stringifyJson(operations), stringifyJson(patch)], texts);
    }),
    settings,
  );
});

test('selectors and quantities: any text', () => {
  const pieces = [
    'a',
    'b.c/d',
    ' in ',
    ' notin ',
    '(',
    ')',
    ',',
    '=',
    '==',
    '!=',
    '!',
    '>',
    '<',
    '1',
    ' ',
    '\\',
    '\\,',
    '__proto__',
  ];
  const text = fc.oneof(
    fc.array(fc.constantFrom(...pieces)).map((p) => p.join('')),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (source) => {
      for (const parse of [parseLabelSelector, parseFieldSelector]) {
        const selector = answers(() => parse(source));
        selector?.matches({ a: '1' });
        selector?.matches(undefined);
        // A field selector's terms are in the order of their texts as they came, "==" and all: it need not read the same.
        const written = selector && parse(selector.toString());
        if (parse === parseLabelSelector) assert.equal(written?.toString(), selector?.toString());
      }
      answers(() => canonicalQuantity(source), QuantityError);
    }),
    settings,
  );
  const digits = fc.tuple(
    fc.stringMatching(/^[+-]?[0-9]{0,30}\.?[0-9]{0,30}$/),
    fc.constantFrom('', 'm', 'Ki', 'Ei', 'e9', 'E-30', 'n', 'k'),
  );
  fc.assert(
    fc.property(digits, ([number, suffix]) => {
      const canonical = answers(() => canonicalQuantity(number + suffix), QuantityError);
      if (canonical === undefined) return;
      // The same amount; a whole number that was binary reads as a decimal one: 187.5Ki is 192000, and that is 192k.
      const again = parseQuantity(canonicalQuantity(canonical));
      assert.equal(compareQuantities(again, parseQuantity(canonical)), 0);
    }),
    settings,
  );
});

test('requests: any method, path, query and Accept header', () => {
  const part = fc.oneof(
    fc.constantFrom(
      'api',
      'apis',
      'v1',
      'apps',
      'namespaces',
      'pods',
      'default',
      'watch',
      '',
      '..',
      '%2f',
      '%',
      'proxy',
      'a:b:c:d',
    ),
    word,
  );
  const path = fc.array(part, { maxLength: 9 }).map((parts) => `/${parts.join('/')}`);
  const names = [
    'limit',
    'continue',
    'watch',
    'timeoutSeconds',
    'labelSelector',
    'fieldSelector',
    'resourceVersion',
    'dryRun',
    'propagationPolicy',
    'fieldValidation',
    'gracePeriodSeconds',
    'fieldManager',
  ];
  const query = fc.array(fc.tuple(fc.oneof(fc.constantFrom(...names), word), fc.string()), { maxLength: 5 });
  const method = fc.oneof(fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'), word);
  fc.assert(
    fc.property(
      method,
      path,
      query,
      fc.oneof(word, fc.constantFrom('a/b;q=x', ';;', ',', '*/*;q=2')),
      (verb, where, pairs, accept) => {
        const parameters = new URLSearchParams(pairs);
        const info = answers(() => requestInfo(verb, where, parameters));
        for (const text of Object.values(info ?? {})) assert.ok(['string', 'boolean'].includes(typeof text));
        for (const read of [listOptions, watchOptions]) answers(() => read(parameters));
        answers(() => writeOptions(parameters, 'PatchOptions'));
        answers(() => deleteOptions(parameters, undefined));
        assert.ok(['json', 'yaml', undefined].includes(answers(() => negotiate(accept))?.encoding));
      },
    ),
    settings,
  );
});

test('what was found', () => {
  const none = new URLSearchParams();
  for (const name of ['constructor', '__proto__', 'toString']) {
    assert.equal(requestInfo(name, '/api/v1/namespaces/default/pods', none).verb, '');
    assert.equal(
      answers(() => negotiate(name)),
      undefined,
    );
  }
});
