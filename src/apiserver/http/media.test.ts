import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReason } from '../../machinery/status.ts';
import { bodyEncoding, checkWatchable, negotiate, watchContentType } from './media.ts';

const NO_TABLE = { table: false, protobuf: true };
const CUSTOM = { table: true, protobuf: false };

test('what is asked for first and known is chosen', () => {
  assert.equal(negotiate(undefined).encoding, 'json');
  assert.equal(negotiate('*/*').encoding, 'json');
  assert.equal(negotiate('application/yaml').encoding, 'yaml');
  assert.equal(negotiate('application/vnd.kubernetes.protobuf,application/json').encoding, 'protobuf');
  assert.equal(negotiate('application/json;q=0.1, application/yaml;q=0.9').encoding, 'yaml');
});

test('tables and partial metadata, as kubectl and controllers ask for them', () => {
  const kubectl =
    'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json';
  assert.deepEqual(negotiate(kubectl), {
    encoding: 'json',
    as: 'Table',
    metaVersion: 'v1',
    contentType: 'application/json',
  });
  const garbage =
    'application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
  assert.equal(negotiate(garbage).as, 'PartialObjectMetadataList');
  assert.equal(negotiate('application/json;as=Table;v=v9;g=meta.k8s.io,application/json').as, undefined);
});

test('what has no columns is answered as it is, or not at all', () => {
  const table = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  assert.equal(negotiate(`${table},application/json`, NO_TABLE).as, undefined);
  assert.throws(
    () => negotiate(table, NO_TABLE),
    (e) => isReason(e, 'NotAcceptable'),
  );
});

test('what cannot be sent or read is refused', () => {
  assert.throws(
    () => negotiate('application/vnd.kubernetes.protobuf', CUSTOM),
    (e) => isReason(e, 'NotAcceptable'),
  );
  assert.equal(bodyEncoding('application/vnd.kubernetes.protobuf'), 'protobuf');
  assert.throws(
    () => bodyEncoding('application/cbor'),
    (e) => isReason(e, 'UnsupportedMediaType'),
  );
  assert.equal(bodyEncoding('application/json; charset=utf-8'), 'json');
  assert.equal(bodyEncoding(undefined), 'json');
});

test('protobuf: where there is one, the best of several, never as a table', () => {
  const protobuf = 'application/vnd.kubernetes.protobuf';
  const partial = `${protobuf};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`;
  assert.equal(negotiate(`${protobuf},application/json`, CUSTOM).encoding, 'json');
  assert.equal(negotiate(`application/json;q=0.5,${protobuf};q=0.8`).encoding, 'protobuf');
  assert.equal(negotiate(`*/*,${protobuf}`).encoding, 'protobuf', 'a whole type goes before a wildcard');
  assert.equal(negotiate(`${protobuf};as=Table;g=meta.k8s.io;v=v1,application/json`).encoding, 'json');
  assert.equal(negotiate(partial, CUSTOM).encoding, 'protobuf', 'metadata is the same for every resource');
  assert.equal(negotiate(`${protobuf};stream=watch`).encoding, 'protobuf');
  assert.equal(negotiate(`${protobuf};stream=other,application/json`).encoding, 'json');
  assert.throws(() => negotiate('text/html'), {
    message:
      'only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf',
  });
  assert.equal(watchContentType(negotiate(protobuf)), `${protobuf};stream=watch`);
  assert.equal(watchContentType(negotiate('application/json;stream=watch')), 'application/json');
  assert.throws(() => checkWatchable(negotiate('application/yaml'), NO_TABLE), {
    message: `only the following media types are accepted: application/json;stream=watch, ${protobuf};stream=watch`,
  });
});
