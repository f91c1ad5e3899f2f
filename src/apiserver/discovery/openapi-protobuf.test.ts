import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { Tables } from '../../api/tables.ts';
import { createOpenApi } from './openapi.ts';

/** The fields of a message as they stand on the wire, by number. */
function fieldsOf(message: Buffer): Map<number, (Buffer | number)[]> {
  const found = new Map<number, (Buffer | number)[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const value = varint();
    const isLength = (key & 7) === 2;
    assert.ok(isLength || (key & 7) === 0, `wire type ${key & 7}`);
    const content = isLength ? message.subarray(at, at + value) : value;
    if (isLength) at += value;
    assert.ok(at <= message.length, 'a field ends within its message');
    found.set(key >> 3, [...(found.get(key >> 3) ?? []), content]);
  }
  return found;
}

function inner(message: Buffer, ...path: number[]): Buffer {
  return path.reduce((at, field) => fieldsOf(at).get(field)![0] as Buffer, message);
}

/** The value of a name in a repeated field of names and values. */
function named(message: Buffer, field: number, name: string): Buffer {
  const entries = (fieldsOf(message).get(field) ?? []) as Buffer[];
  const entry = entries.find((one) => inner(one, 1).toString() === name);
  assert.ok(entry, `no ${name}`);
  return inner(entry, 2);
}

const openApi = createOpenApi(new Tables(), 'v1.36.0');
const document = (await openApi.version2Protobuf()).body.plain;

test('the document says the same in protobuf and in JSON', async () => {
  const json = JSON.parse((await openApi.version2()).body.plain.toString());
  assert.equal(inner(document, 1).toString(), '2.0');
  assert.equal(inner(document, 2, 2).toString(), 'v1.36.0');
  assert.equal(fieldsOf(inner(document, 8)).get(2)!.length, Object.keys(json.paths).length);
  assert.equal(fieldsOf(inner(document, 9)).get(1)!.length, Object.keys(json.definitions).length);
});

test('a definition has its type, properties, references and extensions', () => {
  const definitions = inner(document, 9);
  const pod = named(definitions, 1, 'io.k8s.api.core.v1.Pod');
  assert.equal(inner(pod, 22, 1).toString(), 'object');
  assert.equal(inner(named(inner(pod, 25), 1, 'spec'), 1).toString(), '#/definitions/io.k8s.api.core.v1.PodSpec');
  const gvk = inner(named(pod, 31, 'x-kubernetes-group-version-kind'), 2).toString();
  assert.deepEqual(parse(gvk), [{ group: '', version: 'v1', kind: 'Pod' }]);
  const spec = named(definitions, 1, 'io.k8s.api.core.v1.PodSpec');
  assert.deepEqual((fieldsOf(spec).get(19) as Buffer[]).map(String), ['containers']);
  const containers = named(inner(spec, 25), 1, 'containers');
  assert.equal(inner(containers, 23, 1, 1).toString(), '#/definitions/io.k8s.api.core.v1.Container');
  assert.equal(inner(named(containers, 31, 'x-kubernetes-patch-merge-key'), 2).toString(), '"name"\n');
  const labels = named(
    inner(named(definitions, 1, 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'), 25),
    1,
    'labels',
  );
  assert.equal(inner(labels, 21, 1, 22, 1).toString(), 'string');
});

test('an operation has its parameters by place', () => {
  const path = named(inner(document, 8), 2, '/api/v1/namespaces/{namespace}/configmaps/{name}');
  const patch = inner(path, 8);
  const parameters = (fieldsOf(patch).get(8) as Buffer[]).map((one) => inner(one, 1));
  const body = parameters.map((one) => fieldsOf(one).get(1)?.[0] as Buffer | undefined).find((one) => one);
  assert.equal(inner(body!, 2).toString(), 'body');
  assert.equal(fieldsOf(body!).get(4)![0], 1);
  const query = parameters.flatMap((one) => (fieldsOf(one).has(2) ? [inner(one, 2, 3, 4).toString()] : []));
  assert.ok(query.includes('fieldValidation'), query.join());
  const places = (fieldsOf(path).get(9) as Buffer[]).map((one) => inner(one, 1, 2, 4, 4).toString());
  assert.deepEqual(places, ['name', 'namespace']);
});

test('descriptions stand with types and fields, also beside a reference, in both versions', async () => {
  const affinity = 'about affinity';
  const described = createOpenApi(new Tables(), 'v1.36.0', async () => ({
    'io.k8s.api.core.v1.PodSpec': { type: 'about pods', fields: { affinity, hostname: 'about names' } },
  }));
  const v3 = JSON.parse((await described.document('api/v1'))!.body.plain.toString());
  const spec = v3.components.schemas['io.k8s.api.core.v1.PodSpec'];
  assert.deepEqual([spec.description, spec.properties.hostname.description], ['about pods', 'about names']);
  const ref = '#/components/schemas/io.k8s.api.core.v1.Affinity';
  assert.deepEqual(spec.properties.affinity, { allOf: [{ $ref: ref }], description: affinity });
  const v2 = JSON.parse((await described.version2()).body.plain.toString());
  assert.equal(v2.definitions['io.k8s.api.core.v1.PodSpec'].properties.affinity.description, affinity);
});

test('it is made in turns of the event loop, of two definitions at most', async () => {
  const another = createOpenApi(new Tables(), 'v1.36.0');
  let turns = 0;
  let over = false;
  const count = (): void => {
    turns++;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  const { plain } = (await another.version2Protobuf()).body;
  over = true;
  const definitions = fieldsOf(inner(plain, 9)).get(1)!.length;
  const paths = fieldsOf(inner(plain, 8)).get(2)!.length;
  assert.ok(turns >= Math.floor((definitions + paths) / 2), `${turns} turns for ${definitions} and ${paths}`);
});
