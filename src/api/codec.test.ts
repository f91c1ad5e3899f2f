import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyByTable, decode, decodeText, serialize } from './codec.ts';
import { parseJson } from './json.ts';
import { Tables } from './tables.ts';

const tables = new Tables();
const CORE = 'io.k8s.api.core.v1';
const POD = `${CORE}.Pod`;

const decoded = (type: string, value: unknown): unknown => decode(tables, type, value).object;
const written = (type: string, value: object): unknown => JSON.parse(serialize(tables, type, value).toString());
const minimalPod = (container: object = {}): { [key: string]: unknown } => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p' },
  spec: { containers: [{ name: 'c', ...container }] },
});

test('structs that are no pointers are present, empty and null members are absent', () => {
  const value = {
    ...minimalPod(),
    metadata: { name: 'p', creationTimestamp: null, labels: {}, generateName: '' },
    spec: { containers: [{ name: 'c', tty: false, args: [] }], hostNetwork: false, terminationGracePeriodSeconds: 0 },
  };
  assert.deepEqual(decoded(POD, value), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', resources: {} }], terminationGracePeriodSeconds: 0 },
    status: {},
  });
});

test('leaves come out in canonical form', () => {
  const container = {
    resources: { limits: { cpu: 0.5, memory: '1024Mi' }, requests: { cpu: '0.1m' } },
    ports: [{ containerPort: 80 }],
    env: [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } }],
  };
  const pod = { ...minimalPod(container), metadata: { creationTimestamp: '2024-01-01T02:00:00+02:00' } };
  assert.deepEqual(decoded(POD, pod), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { creationTimestamp: '2024-01-01T00:00:00Z' },
    spec: {
      containers: [
        {
          name: 'c',
          resources: { limits: { cpu: '500m', memory: '1Gi' }, requests: { cpu: '1m' } },
          ports: [{ containerPort: 80 }],
          env: [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '0' } } }],
        },
      ],
    },
    status: {},
  });
});

test('null in lists and maps is the zero value', () => {
  assert.deepEqual(decoded(`${CORE}.ConfigMap`, { metadata: {}, data: { a: null } }), {
    metadata: {},
    data: { a: '' },
  });
  assert.deepEqual(decoded(POD, { spec: { containers: [null] } }), {
    metadata: {},
    spec: { containers: [{ name: '', resources: {} }] },
    status: {},
  });
});

test('unknown and duplicate fields: reported, refused or ignored', () => {
  const text = JSON.stringify(minimalPod({ foo: 1, ports: [{ containerPort: 1, bar: {} }] })).replace(
    '"name":"p"',
    '"name":"q","name":"p"',
  );
  const problems = [
    'duplicate field "metadata.name"',
    'unknown field "spec.containers[0].foo"',
    'unknown field "spec.containers[0].ports[0].bar"',
  ];
  const warned = decodeText(tables, POD, text);
  assert.deepEqual(warned.problems, problems);
  assert.equal(JSON.stringify(warned.object).includes('foo'), false);
  assert.deepEqual(decodeText(tables, POD, text, { fieldValidation: 'Ignore' }).problems, []);
  assert.throws(() => decodeText(tables, POD, text, { fieldValidation: 'Strict' }), {
    reason: 'BadRequest',
    message: `Pod in version "v1" cannot be handled as a Pod: strict decoding error: ${problems.join(', ')}`,
  });
});

test('wrong types are refused as Go words it', () => {
  const deployment = (template: object): object => ({ apiVersion: 'apps/v1', kind: 'Deployment', spec: { template } });
  const cases: [string, unknown, string][] = [
    [
      'io.k8s.api.apps.v1.Deployment',
      deployment({ spec: { containers: [{ env: [{ name: 'A', value: 1 }] }] } }),
      'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string',
    ],
    [
      'io.k8s.api.apps.v1.Deployment',
      deployment({ spec: { containers: {} } }),
      'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container',
    ],
    [
      `${CORE}.ConfigMap`,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { labels: { a: true } } },
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    [
      POD,
      minimalPod({ resources: { limits: { cpu: 'lots' } } }),
      `Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
    ],
    [
      POD,
      { ...minimalPod(), spec: { priority: 2 ** 31 } },
      'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32',
    ],
    [
      `${CORE}.Secret`,
      { apiVersion: 'v1', kind: 'Secret', data: { a: 'a$==' } },
      'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 1',
    ],
    [
      `${CORE}.Pod`,
      [],
      'the object provided is unrecognized (must be of type Pod): json: cannot unmarshal array into Go value of type Pod',
    ],
  ];
  for (const [type, value, message] of cases) {
    assert.throws(() => decode(tables, type, value), { reason: 'BadRequest', code: 400, message });
  }
  assert.throws(() => decodeText(tables, POD, '{'), { reason: 'BadRequest', message: /must be of type Pod/ });
});

test('integers beyond 2^53 survive; those beyond int64 are refused', () => {
  const text = '{"kind":"Pod","apiVersion":"v1","metadata":{"generation":9007199254740993}}';
  const pod = decodeText(tables, POD, text).object;
  assert.equal(pod.metadata.generation, 9007199254740993n as unknown as number);
  assert.match(serialize(tables, POD, pod).toString(), /"generation":9007199254740993/);
  const tooLarge = parseJson('{"metadata":{"generation":9223372036854775808}}');
  assert.throws(() => decode(tables, POD, tooLarge), {
    message: /cannot unmarshal number 9223372036854775808 .* int64$/,
  });
});

test('output is in the order of the type, kind and apiVersion first', () => {
  const pod = decode(tables, POD, { status: {}, spec: { containers: [] }, metadata: { uid: 'u', name: 'p' }, apiVersion: 'v1', kind: 'Pod' }); // biome-ignore format: one object
  assert.equal(
    serialize(tables, POD, pod.object).toString(),
    '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","uid":"u"},"spec":{"containers":[]},"status":{}}',
  );
});

test('maps are written in the order of their keys', () => {
  const map = { kind: 'ConfigMap', apiVersion: 'v1', metadata: {}, data: { b: '1', a: '2', __proto__x: '' } };
  assert.match(serialize(tables, `${CORE}.ConfigMap`, map).toString(), /"data":\{"__proto__x":"","a":"2","b":"1"\}/);
});

test('what Go cannot leave out is written', () => {
  assert.deepEqual(written('io.k8s.api.rbac.v1.Role', { metadata: { name: 'r' } }), {
    metadata: { name: 'r' },
    rules: null,
  });
  const event = written(`${CORE}.Event`, { metadata: { name: 'e' } });
  assert.deepEqual(event, {
    metadata: { name: 'e' },
    involvedObject: {},
    source: {},
    firstTimestamp: null,
    lastTimestamp: null,
    eventTime: null,
    reportingComponent: '',
    reportingInstance: '',
  });
});

test('schemas may be booleans, lists and schemas', () => {
  const type = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps';
  const schema = {
    type: 'object',
    properties: { a: { items: { type: 'string' }, additionalProperties: false, default: { x: null } } },
    additionalProperties: { type: 'integer' },
    dependencies: { a: ['b'], c: { type: 'string' } },
  };
  assert.deepEqual(written(type, decode(tables, type, structuredClone(schema)).object), schema);
});

test('a copy holds what the type has, in its order, and shares nothing', () => {
  const pod = Object.freeze({
    metadata: Object.freeze({ name: 'p', labels: Object.freeze({ a: 'b' }) }),
    extra: 1,
    kind: 'Pod',
    spec: { containers: [{ name: 'c', resources: { limits: { cpu: '1000m' } }, foo: undefined }] },
  });
  const copy = copyByTable(tables, POD, pod as unknown as { metadata: { name: string } }) as unknown as typeof pod;
  assert.deepEqual(copy, {
    kind: 'Pod',
    metadata: { name: 'p', labels: { a: 'b' } },
    spec: { containers: [{ name: 'c', resources: { limits: { cpu: '1' } } }] },
    status: {},
  });
  assert.notEqual(copy.metadata.labels, pod.metadata.labels);
});

test('every type of every resource has a plan', () => {
  for (const resource of tables.resources()) {
    const { object } = decode(tables, resource.type, { metadata: {} });
    const first = serialize(tables, resource.type, object);
    const again = decode(tables, resource.type, JSON.parse(first.toString()), { fieldValidation: 'Strict' });
    assert.deepEqual(again.object, object, resource.type);
    assert.deepEqual(serialize(tables, resource.type, again.object), first, resource.type);
  }
});
