import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReason } from '../../machinery/status.ts';
import { bodyEncoding, negotiate } from './media.ts';

test('what is asked for first and known is chosen', () => {
  assert.equal(negotiate(undefined).encoding, 'json');
  assert.equal(negotiate('*/*').encoding, 'json');
  assert.equal(negotiate('application/yaml').encoding, 'yaml');
  assert.equal(negotiate('application/vnd.kubernetes.protobuf,application/json').encoding, 'json');
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
  assert.equal(negotiate(`${table},application/json`, false).as, undefined);
  assert.throws(
    () => negotiate(table, false),
    (e) => isReason(e, 'NotAcceptable'),
  );
});

test('what cannot be sent or read is refused', () => {
  assert.throws(
    () => negotiate('application/vnd.kubernetes.protobuf'),
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
