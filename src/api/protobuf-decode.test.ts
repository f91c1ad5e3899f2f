import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeProtobuf, ProtobufError, readEnvelope } from './protobuf-decode.ts';
import { Tables } from './tables.ts';

const tables = new Tables();
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const varint = (value: bigint): Buffer => {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
};
const field = (number: number, ...contents: Uint8Array[]): Buffer => {
  const body = Buffer.concat(contents);
  return Buffer.concat([varint(BigInt(number * 8 + 2)), varint(BigInt(body.length)), body]);
};
const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));
const int = (number: number, value: bigint): Buffer => Buffer.concat([varint(BigInt(number * 8)), varint(value)]);

test('an object in its envelope, as upstream writes it', () => {
  const bytes = hex(`6b387300 0a0f 0a027631 1209436f6e6669674d6170 121b
    0a11 0a0161 1200 1a00 2200 2a00 3200 3800 4200 1206 0a016b 120176 1a00 2200`);
  const { apiVersion, kind, raw } = readEnvelope(bytes);
  assert.deepEqual([apiVersion, kind], ['v1', 'ConfigMap']);
  const object = decodeProtobuf(tables, 'io.k8s.api.core.v1.ConfigMap', raw);
  assert.deepEqual(object.data, { k: 'v' });
  const metadata = object.metadata as { name: string; creationTimestamp: unknown };
  assert.equal(metadata.name, 'a');
  assert.equal(metadata.creationTimestamp, null);
});

test('lists, numbers, inline structs and leaves', () => {
  const port = field(6, int(3, 80n));
  const request = field(2, text(1, 'cpu'), field(2, text(1, '100m')));
  const readHttp = field(1, field(2, text(1, '/ok'), field(2, int(1, 1n), text(3, 'web'))));
  const container = field(2, text(1, 'c'), port, field(8, request), field(11, readHttp, int(2, 5n)));
  const spec = field(2, container, int(4, 30n), int(25, -5n));
  const pod = decodeProtobuf(tables, 'io.k8s.api.core.v1.Pod', spec);
  assert.deepEqual(pod.spec, {
    containers: [
      {
        name: 'c',
        ports: [{ containerPort: 80 }],
        resources: { requests: { cpu: '100m' } },
        readinessProbe: { httpGet: { path: '/ok', port: 'web' }, initialDelaySeconds: 5 },
      },
    ],
    terminationGracePeriodSeconds: 30,
    priority: -5,
  });
});

test('times, big integers, bytes and raw values', () => {
  const time = (s: bigint, ns: bigint): Buffer => Buffer.concat([int(1, s), int(2, ns)]);
  const lease = field(2, text(1, 'me'), int(2, 15n), field(3, time(1_800_000_000n, 123_456_789n)));
  assert.deepEqual(decodeProtobuf(tables, 'io.k8s.api.coordination.v1.Lease', lease).spec, {
    holderIdentity: 'me',
    leaseDurationSeconds: 15,
    acquireTime: '2027-01-15T08:00:00.123456Z',
  });
  const big = field(1, int(7, 2n ** 60n));
  assert.deepEqual(decodeProtobuf(tables, 'io.k8s.api.core.v1.Pod', big).metadata, { generation: 2n ** 60n });
  const secret = field(2, text(1, 'k'), field(2, Buffer.from([0, 255])));
  assert.deepEqual(decodeProtobuf(tables, 'io.k8s.api.core.v1.Secret', secret).data, { k: 'AP8=' });
  const managed = field(1, field(17, text(1, 'kubectl'), field(7, field(1, Buffer.from('{"f:a":{}}')))));
  assert.deepEqual(decodeProtobuf(tables, 'io.k8s.api.core.v1.Pod', managed).metadata, {
    managedFields: [{ manager: 'kubectl', fieldsV1: { 'f:a': {} } }],
  });
});

test('unknown fields are passed over, packed numbers are read', () => {
  const context = field(14, field(4, varint(7n), varint(9n)), text(900, 'x'), int(901, 1n));
  assert.deepEqual(decodeProtobuf(tables, 'io.k8s.api.core.v1.Pod', field(2, context)).spec, {
    securityContext: { supplementalGroups: [7, 9] },
  });
});

test('an object within an object may have an envelope of its own', () => {
  const inner = Buffer.concat([
    Buffer.from('k8s\0'),
    field(1, text(1, 'v1'), text(2, 'Pod')),
    field(2, field(1, text(1, 'p'))),
  ]);
  const revision = decodeProtobuf(tables, 'io.k8s.api.apps.v1.ControllerRevision', field(2, field(1, inner)));
  assert.deepEqual(revision.data, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } });
});

test('whatever the bytes, the outcome is a value or a ProtobufError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        decodeProtobuf(tables, 'io.k8s.api.core.v1.Pod', bytes);
      } catch (error) {
        assert.ok(error instanceof ProtobufError, String(error));
      }
    }),
  );
});
