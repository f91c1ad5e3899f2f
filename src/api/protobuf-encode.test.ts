import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseJson } from './json.ts';
import { decodeProtobuf, readEnvelope } from './protobuf-decode.ts';
import { encodeProtobuf, hasProtobuf, inEnvelope, watchEventFrame } from './protobuf-encode.ts';
import { Tables } from './tables.ts';
import { Release120Tables } from './test-release-tables.ts';

const tables = new Tables();
const CORE = 'io.k8s.api.core.v1';
const hex = (type: string, value: object): string => encodeProtobuf(tables, `${CORE}.${type}`, value).toString('hex');

/** Made by scripts/protobuf-goldens.ts: what a kube-apiserver 1.20.2 answered for the same object in both forms. */
const goldens = parseJson(readFileSync(new URL('testdata/protobuf-1.20.json', import.meta.url))) as {
  [kind: string]: { json: { apiVersion: string; kind: string }; protobuf: string };
};

test("objects of upstream's own API server, byte for byte", () => {
  const release = new Release120Tables();
  assert.ok(Object.keys(goldens).length >= 40);
  for (const [name, { json, protobuf }] of Object.entries(goldens)) {
    const type = release.typeOfKind(json.apiVersion, json.kind);
    assert.ok(type, name);
    const ours = inEnvelope(json.apiVersion, json.kind, encodeProtobuf(release, type, json));
    assert.equal(ours.toString('hex'), Buffer.from(protobuf, 'base64').toString('hex'), name);
  }
});

test('what is no pointer is there, zero or not; what is one only when it was given', () => {
  assert.equal(hex('ConfigMapKeySelector', { key: 'k' }), '0a020a0012016b');
  assert.equal(hex('ConfigMapKeySelector', { key: 'k', name: 'n', optional: false }), '0a030a016e12016b1800');
  assert.equal(hex('LocalObjectReference', {}), '0a00');
  assert.equal(hex('ContainerStateRunning', {}), '0a00', 'a time that is not set is an empty message');
});

test('numbers of every size', () => {
  const meta = (generation: number | bigint): Buffer => {
    const type = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
    const bytes = encodeProtobuf(tables, type, { generation });
    assert.deepEqual(decodeProtobuf(tables, type, bytes).generation, generation);
    return bytes;
  };
  for (const value of [0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -1, -(2 ** 53) + 1]) meta(value);
  for (const value of [2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)]) meta(value);
  assert.ok(meta(-1).includes(Buffer.from('38ffffffffffffffffff01', 'hex')), 'a negative number takes ten bytes');
});

test('times: seconds before and after 1970, microseconds, and the first instant, which is none', () => {
  const lease = (renewTime: string): string =>
    encodeProtobuf(tables, 'io.k8s.api.coordination.v1.LeaseSpec', { renewTime }).toString('hex');
  assert.equal(lease('1970-01-01T00:00:01.000001Z'), '22050801' + '10e807');
  assert.equal(lease('1969-12-31T23:59:59.500000Z'), '2211' + '08ffffffffffffffffff01' + '1080cab5ee01');
  assert.equal(lease('0001-01-01T00:00:00.000000Z'), '2200');
});

test('maps go out in the order of their bytes', () => {
  const keys = (data: { [key: string]: string }): string[] => {
    const message = encodeProtobuf(tables, `${CORE}.ConfigMap`, { metadata: {}, data });
    return Object.keys(decodeProtobuf(tables, `${CORE}.ConfigMap`, message).data as object);
  };
  assert.deepEqual(keys({ b: '', ä: '', A: '', a: '' }), ['A', 'a', 'b', 'ä']);
  assert.deepEqual(keys({ '\u{1d11e}': '', '\uff5e': '' }), ['\uff5e', '\u{1d11e}'], 'as UTF-8, not as UTF-16');
});

test('long strings, long lists and deep schemas outgrow the buffer and come back', () => {
  const data = { big: 'ä'.repeat(3_000_000), small: 'x' };
  const message = encodeProtobuf(tables, `${CORE}.ConfigMap`, { metadata: {}, data });
  assert.deepEqual(decodeProtobuf(tables, `${CORE}.ConfigMap`, message).data, data);
  const args = Array.from({ length: 5000 }, (_, i) => `argument ${i}`);
  const container = encodeProtobuf(tables, `${CORE}.Container`, { name: 'c', args });
  assert.deepEqual(decodeProtobuf(tables, `${CORE}.Container`, container).args, args);
});

test('a watch frame is a length, a bare WatchEvent, and an object in its envelope', () => {
  const object = inEnvelope('v1', 'Secret', encodeProtobuf(tables, `${CORE}.Secret`, { data: { e: '' } }));
  const frame = watchEventFrame('ADDED', object);
  assert.equal(frame.readUInt32BE(), frame.length - 4);
  const event = decodeProtobuf(tables, 'io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent', frame.subarray(4));
  assert.equal(event.type, 'ADDED');
  const { data, kind } = event.object as { data: unknown; kind: string };
  assert.deepEqual([data, kind], [{ e: '' }, 'Secret']);
  assert.equal(readEnvelope(object).kind, 'Secret');
});

test('what has no protobuf form is known beforehand and refused', () => {
  const table = 'io.k8s.apimachinery.pkg.apis.meta.v1.Table';
  assert.equal(hasProtobuf(tables, table), false);
  assert.equal(hasProtobuf(tables, `${CORE}.Pod`), true);
  assert.throws(() => encodeProtobuf(tables, table, {}), /has no protobuf form/);
});
