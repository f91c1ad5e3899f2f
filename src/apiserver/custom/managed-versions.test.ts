// Who manages which field of a custom resource whose versions name a field differently: a webhook says which is which.
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { createCa, issue } from '../auth/certificates.ts';
import { type Answer, ask, DEFINITIONS, define, merge, object, schema, type Version } from './test-server.ts';

interface Box {
  apiVersion: string;
  metadata: { name: string };
  spec: { size?: number; scale?: number; color?: string };
}

const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
const ca = createCa({ commonName: 'webhook-ca', ...common });
const identity = issue(ca, { commonName: 'webhook', sans: ['127.0.0.1'], usages: ['server'], ...common });
let broken = false;

/** v1 calls it size, the others call it scale. */
function convert(box: Box, to: string): Box {
  const { size, scale, ...rest } = box.spec ?? {};
  const value = size ?? scale;
  const named = value === undefined ? {} : to.endsWith('/v1') ? { size: value } : { scale: value };
  return { ...box, apiVersion: to, spec: { ...rest, ...named } };
}

const webhook = createServer({ cert: identity.certificate, key: identity.key }, (asked, answer) => {
  const chunks: Buffer[] = [];
  asked.on('data', (chunk: Buffer) => chunks.push(chunk));
  asked.on('end', () => {
    const { request } = JSON.parse(Buffer.concat(chunks).toString());
    const convertedObjects = request.objects.map((box: Box) => convert(box, request.desiredAPIVersion));
    const result = broken ? { status: 'Failure', message: 'broken' } : { status: 'Success' };
    const response = { uid: request.uid, result, convertedObjects };
    answer.end(JSON.stringify({ kind: 'ConversionReview', apiVersion: 'apiextensions.k8s.io/v1', response }));
  });
});

const integer = { type: 'integer' };
const color = { type: 'string' };
const newer = (name: string): Version => ({
  name,
  storage: false,
  ...schema({ properties: { scale: integer, color } }),
});
describe('managers of fields in several versions', () => {
  let first: string;
  let second: string;
  let third: string;

  before(async () => {
    await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(webhook.address() as AddressInfo).port}/convert`;
    const clientConfig = { url, caBundle: Buffer.from(ca.certificate).toString('base64') };
    const conversion = { strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } };
    first = await define('Box', [schema({ properties: { size: integer, color } }), newer('v2'), newer('v3')], {
      conversion,
    });
    second = first.replace('/v1/', '/v2/');
    third = first.replace('/v1/', '/v3/');
  });
  after(() => {
    webhook.closeAllConnections();
    webhook.close();
  });

  function apply(path: string, name: string, manager: string, spec: object, more = ''): Promise<Answer> {
    const version = /\/(v\d)\//.exec(path)![1];
    const config = { ...object('Box', name, { spec }), apiVersion: `example.com/${version}` };
    const type = { 'content-type': 'application/apply-patch+yaml' };
    return ask('PATCH', `${path}/${name}?fieldManager=${manager}${more}`, config, type);
  }

  /** "manager version fields of the spec", by manager. */
  async function managers(name: string): Promise<string[]> {
    const { json } = await ask('GET', `${first}/${name}`);
    return (json.metadata.managedFields ?? [])
      .map(
        (entry: { manager: string; apiVersion: string; fieldsV1: { 'f:spec'?: object } }) =>
          `${entry.manager} ${entry.apiVersion.slice('example.com/'.length)} ${Object.keys(
            entry.fieldsV1['f:spec'] ?? {},
          )
            .filter((key) => key !== '.')
            .map((key) => key.slice(2))}`,
      )
      .sort();
  }

  test('a field that another version calls otherwise is in conflict, and changes hands', async () => {
    assert.equal((await apply(first, 'a', 'one', { size: 1, color: 'red' })).status, 201);
    const refused = await apply(second, 'a', 'two', { scale: 2 });
    assert.equal(refused.status, 409, refused.text);
    assert.equal(refused.json.message, 'Apply failed with 1 conflict: conflict with "one": .spec.size');
    const same = await apply(second, 'a', 'two', { scale: 1 });
    assert.equal(same.status, 200, same.text);
    assert.deepEqual(await managers('a'), ['one v1 color,size', 'two v2 scale']);
    assert.equal((await apply(second, 'a', 'two', { scale: 2 }, '&force=true')).status, 200);
    assert.deepEqual(await managers('a'), ['one v1 color', 'two v2 scale']);
    assert.equal((await ask('GET', `${first}/a`)).json.spec.size, 2);
  });

  test('a new object may come with managers of other versions', async () => {
    const fieldsV1 = { 'f:spec': { 'f:color': {} } };
    const entry = {
      manager: 'two',
      operation: 'Update',
      apiVersion: 'example.com/v2',
      fieldsType: 'FieldsV1',
      fieldsV1,
    };
    const sent = {
      apiVersion: 'example.com/v1',
      kind: 'Box',
      metadata: { name: 'n', managedFields: [entry] },
      spec: { size: 1 },
    };
    const made = await ask('POST', `${first}?fieldManager=one`, sent);
    assert.equal(made.status, 201, made.text);
    assert.deepEqual(await managers('n'), ['one v1 size', 'two v2 color']);
  });

  test('an update in one version takes fields from managers of others', async () => {
    await apply(second, 'b', 'one', { scale: 1, color: 'red' });
    const updated = await ask('PATCH', `${first}/b?fieldManager=two`, { spec: { size: 2 } }, merge);
    assert.equal(updated.status, 200, updated.text);
    assert.deepEqual(await managers('b'), ['one v2 color', 'two v1 size']);
    const untouched = await ask('PATCH', `${first}/b?fieldManager=three`, { spec: { color: 'red' } }, merge);
    assert.equal(untouched.status, 200);
    assert.deepEqual(await managers('b'), ['one v2 color', 'two v1 size'], 'what does not change stays');
  });

  test('what a manager applied in one version and no longer applies in another goes', async () => {
    await apply(first, 'c', 'one', { size: 1, color: 'red' });
    const shorter = await apply(second, 'c', 'one', { color: 'red' });
    assert.equal(shorter.status, 200, shorter.text);
    assert.deepEqual((await ask('GET', `${first}/c`)).json.spec, { color: 'red' });
    assert.deepEqual(await managers('c'), ['one v2 color']);
    await apply(first, 'c', 'two', { size: 3 });
    await apply(third, 'c', 'one', { scale: 3, color: 'red' });
    await apply(third, 'c', 'one', { color: 'red' });
    assert.deepEqual((await ask('GET', `${first}/c`)).json.spec, { size: 3, color: 'red' }, 'another manages it');
  });

  test('a version that is not served still counts; one that is gone does not', async () => {
    await apply(first, 'd', 'one', { color: 'red' });
    await apply(third, 'd', 'three', { scale: 1 });
    const name = 'boxs.example.com';
    const change = async (edit: (versions: { name: string; served: boolean }[]) => object[]): Promise<void> => {
      const { json } = await ask('GET', `${DEFINITIONS}/${name}`);
      json.spec.versions = edit(json.spec.versions);
      assert.equal((await ask('PUT', `${DEFINITIONS}/${name}`, json)).status, 200);
    };
    await change((versions) => versions.map((one) => (one.name === 'v3' ? { ...one, served: false } : one)));
    await until('v3 is not served', async () => (await ask('GET', third)).status === 404);
    await ask('PATCH', `${first}/d?fieldManager=two`, { spec: { color: 'blue' } }, merge);
    assert.deepEqual(await managers('d'), ['three v3 scale', 'two v1 color']);
    await ask('PATCH', `${first}/d?fieldManager=two`, { spec: { size: 4 } }, merge);
    assert.deepEqual(await managers('d'), ['two v1 color,size']);
    await change((versions) => versions.map((one) => (one.name === 'v3' ? { ...one, served: true } : one)));
    await until('v3 is served', async () => (await ask('GET', third)).status === 200);
    assert.equal((await apply(third, 'd', 'three', { scale: 4 })).status, 200);
    assert.deepEqual(await managers('d'), ['three v3 scale', 'two v1 color,size']);
    await change((versions) => versions.filter((one) => one.name !== 'v3'));
    await until('v3 is gone', async () => (await ask('GET', third)).status === 404);
    await ask('PATCH', `${first}/d?fieldManager=two`, { spec: { color: 'green' } }, merge);
    assert.deepEqual(await managers('d'), ['two v1 color,size']);
  });

  test('a webhook that fails ends the managing of an update, and fails what is applied', async () => {
    await apply(second, 'e', 'one', { scale: 1 });
    broken = true;
    try {
      const refused = await apply(first, 'e', 'two', { color: 'red' });
      assert.equal(refused.status, 500, refused.text);
      assert.match(refused.json.message, /conversion webhook for example\.com\/v2, Kind=Box failed: broken/);
      const updated = await ask('PATCH', `${first}/e?fieldManager=two`, { spec: { color: 'red' } }, merge);
      assert.equal(updated.status, 200, updated.text);
      assert.deepEqual(await managers('e'), []);
    } finally {
      broken = false;
    }
  });
});
