// Custom resources as clients see them: real HTTPS over a memory store.
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { createCa, issue } from '../auth/certificates.ts';
import {
  type Answer,
  ask,
  clock,
  DEFINITIONS,
  define,
  definition,
  object,
  schema,
  stop,
  store,
  type Version,
} from './test-server.ts';

test('a definition is established, served and published, and its objects go with it', async () => {
  const path = await define('Tree', [
    {
      ...schema({ properties: { height: { type: 'integer', description: 'How high.' } } }),
      additionalPrinterColumns: [
        { name: 'Height', type: 'integer', jsonPath: '.spec.height' },
        { name: 'Since', type: 'date', jsonPath: '.metadata.creationTimestamp', priority: 1 },
      ],
    },
  ]);
  const { json } = await ask('GET', `${DEFINITIONS}/trees.example.com`);
  const conditions = json.status.conditions.map((one: { type: string; status: string }) => `${one.type}=${one.status}`);
  assert.deepEqual(conditions, ['NamesAccepted=True', 'Established=True']);
  assert.deepEqual(json.status.acceptedNames, {
    plural: 'trees',
    singular: 'tree',
    kind: 'Tree',
    listKind: 'TreeList',
  });
  assert.deepEqual(json.status.storedVersions, ['v1']);
  const resources = (await ask('GET', '/apis/example.com/v1')).json.resources;
  assert.ok(resources.some((one: { name: string }) => one.name === 'trees'));
  const openapi = (await ask('GET', '/openapi/v3/apis/example.com/v1')).json.components.schemas['com.example.v1.Tree'];
  assert.equal(openapi.properties.spec.properties.height.description, 'How high.');

  assert.equal((await ask('POST', path, object('Tree', 'oak', { spec: { height: 30 } }))).status, 201);
  const table = await ask('GET', path, undefined, { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' });
  assert.deepEqual(
    table.json.columnDefinitions.map((c: { name: string; priority: number }) => [c.name, c.priority]),
    [
      ['Name', 0],
      ['Height', 0],
      ['Since', 1],
    ],
  );
  assert.deepEqual(table.json.rows[0].cells.slice(0, 2), ['oak', 30]);

  await ask(
    'PATCH',
    `${path}/oak`,
    { metadata: { finalizers: ['example.com/hold'] } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal((await ask('DELETE', `${DEFINITIONS}/trees.example.com`)).status, 200);
  await until(
    'the object is being deleted',
    async () => (await ask('GET', `${path}/oak`)).json?.metadata?.deletionTimestamp,
  );
  const refused = await ask('POST', path, object('Tree', 'elm', {}));
  assert.equal(refused.status, 405);
  assert.equal(refused.json.message, 'create not allowed while custom resource definition is terminating');
  const held = await ask('GET', `${DEFINITIONS}/trees.example.com`);
  assert.equal(held.status, 200, 'the definition waits for its objects');
  await ask(
    'PATCH',
    `${path}/oak`,
    { metadata: { finalizers: null } },
    { 'content-type': 'application/merge-patch+json' },
  );
  await until('the definition is gone', async () => {
    await clock.advance(1000);
    return (await ask('GET', `${DEFINITIONS}/trees.example.com`)).status === 404;
  });
  await until('nothing is served any more', async () => (await ask('GET', path)).status === 404);
});

describe('values', () => {
  let path: string;
  before(async () => {
    path = await define('Leaf', [
      {
        ...schema({
          required: ['color'],
          properties: {
            color: { type: 'string', enum: ['green', 'red'] },
            size: { type: 'integer', minimum: 1, default: 3 },
            tags: { type: 'array', items: { type: 'string', maxLength: 5 }, 'x-kubernetes-list-type': 'set' },
            ports: {
              type: 'array',
              'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['port'],
              items: {
                type: 'object',
                required: ['port'],
                properties: { port: { type: 'integer' }, mode: { type: 'string', default: 'tcp' } },
              },
            },
            free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            either: { 'x-kubernetes-int-or-string': true },
            labels: { type: 'object', additionalProperties: { type: 'string' } },
            inner: {
              type: 'object',
              'x-kubernetes-embedded-resource': true,
              'x-kubernetes-preserve-unknown-fields': true,
            },
            when: { type: 'string', format: 'date-time' },
            maybe: { type: 'string', nullable: true },
            code: { type: 'string', pattern: '^[a-z]+$' },
          },
        }),
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.size',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        selectableFields: [{ jsonPath: '.spec.color' }],
      },
    ]);
  });
  const create = (name: string, spec: object, query = ''): Promise<Answer> =>
    ask('POST', `${path}${query}`, object('Leaf', name, { spec }));

  test('defaults are set, unknown members pruned, told of or refused', async () => {
    const made = await create('a', { color: 'red', ports: [{ port: 1 }], x: 1, free: { y: { z: 1 } }, maybe: null });
    assert.equal(made.status, 201, made.text);
    assert.deepEqual(made.json.spec, {
      color: 'red',
      size: 3,
      ports: [{ port: 1, mode: 'tcp' }],
      free: { y: { z: 1 } },
      maybe: null,
    });
    assert.match(made.warnings, /unknown field \\"spec.x\\"/);
    const strict = await create('b', { color: 'red', x: 1, ports: [{ port: 1, y: 2 }] }, '?fieldValidation=Strict');
    assert.equal(strict.status, 400);
    assert.match(
      strict.json.message,
      /strict decoding error: unknown field "spec.x", unknown field "spec.ports\[0\].y"$/,
    );
  });

  test('what is wrong is told with its path, each', async () => {
    const bad = await create('bad', {
      color: 'blue',
      size: 0,
      tags: ['a', 'a', 'toolong'],
      ports: [{ port: 1 }, { port: 1 }],
      labels: { a: 1 },
      either: 1.5,
      when: 'now',
      code: 'A1',
    });
    assert.equal(bad.status, 422);
    const causes = bad.json.details.causes.map(
      (one: { field: string; message: string }) => `${one.field}: ${one.message}`,
    );
    assert.deepEqual(causes.sort(), [
      'spec.code: Invalid value: "A1": spec.code in body should match \'^[a-z]+$\'',
      'spec.color: Unsupported value: "blue": supported values: "green", "red"',
      'spec.either: Invalid value: "number": spec.either in body must be of type integer,string: "number"',
      'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
      'spec.ports[1]: Duplicate value: {"port":1}',
      'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1',
      'spec.tags[1]: Duplicate value: "a"',
      'spec.tags[2]: Too long: may not be more than 5 bytes',
      'spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now"',
    ]);
    assert.match((await create('none', {})).json.message, /spec.color: Required value$/);
    assert.match(
      (await create('inner', { color: 'red', inner: { metadata: { name: 'x' } } })).json.message,
      /spec.inner.apiVersion: Required value: must not be empty/,
    );
  });

  test('integers beyond 2^53 stay what they are', async () => {
    const body = `{"apiVersion":"example.com/v1","kind":"Leaf","metadata":{"name":"big"},"spec":{"color":"red","size":9007199254740993,"free":{"n":-9223372036854775808}}}`;
    const made = await ask('POST', path, body);
    assert.equal(made.status, 201, made.text);
    assert.match(made.text, /"size":9007199254740993/);
    await ask('PATCH', `${path}/big`, { spec: { tags: ['t'] } }, { 'content-type': 'application/merge-patch+json' });
    const { text } = await ask('GET', `${path}/big`);
    assert.match(text, /"n":-9223372036854775808/);
    assert.match(text, /"size":9007199254740993/);
  });

  test('status and scale are places of their own', async () => {
    const merge = { 'content-type': 'application/merge-patch+json' };
    const made = await ask('POST', path, object('Leaf', 's', { spec: { color: 'red' }, status: { replicas: 9 } }));
    assert.equal(made.json.status, undefined);
    assert.equal(made.json.metadata.generation, 1);
    const status = {
      metadata: { labels: { a: 'b' } },
      spec: { color: 'green' },
      status: { replicas: 2, selector: 'a=b' },
    };
    const written = await ask('PATCH', `${path}/s/status`, status, merge);
    assert.deepEqual(
      [written.json.spec.color, written.json.status.replicas, written.json.metadata.labels],
      ['red', 2, undefined],
    );
    assert.equal(written.json.metadata.generation, 1);
    const scale = await ask('GET', `${path}/s/scale`);
    assert.deepEqual(
      [scale.json.kind, scale.json.spec, scale.json.status],
      ['Scale', { replicas: 3 }, { replicas: 2, selector: 'a=b' }],
    );
    assert.equal((await ask('PATCH', `${path}/s/scale`, { spec: { replicas: 7 } }, merge)).status, 200);
    const after = await ask('GET', `${path}/s`);
    assert.deepEqual([after.json.spec.size, after.json.metadata.generation], [7, 2]);
  });

  test('selectable fields select, others are refused', async () => {
    await create('g', { color: 'green' });
    const { json } = await ask('GET', `${path}?fieldSelector=spec.color%3Dgreen`);
    assert.deepEqual(
      json.items.map((one: { metadata: { name: string } }) => one.metadata.name),
      ['g'],
    );
    assert.equal((await ask('GET', `${path}?fieldSelector=spec.size%3D3`)).status, 400);
  });

  test('a strategic merge patch needs a type that custom resources do not have', async () => {
    const answer = await ask('PATCH', `${path}/g`, {}, { 'content-type': 'application/strategic-merge-patch+json' });
    // Nor is it said that they take one: kubectl would send it.
    const taken = ['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml'];
    const { paths } = (await ask('GET', `/openapi/v3/apis/${path.split('/')[2]}/${path.split('/')[3]}`)).json;
    const items: readonly { readonly patch?: { readonly requestBody?: { readonly content: object } } }[] =
      Object.values(paths);
    const said = items.flatMap(({ patch }) => (patch?.requestBody ? [Object.keys(patch.requestBody.content)] : []));
    assert.ok(said.length > 0);
    for (const one of said) assert.deepEqual(one, taken);
    assert.equal(answer.status, 415);
  });
});

test('an object that a later schema would refuse can still be changed elsewhere', async () => {
  const path = await define('Old', [schema({ properties: { a: { type: 'string' }, b: { type: 'string' } } })]);
  await ask('POST', path, object('Old', 'one', { spec: { a: 'long value', b: 'x' } }));
  const { json } = await ask('GET', `${DEFINITIONS}/olds.example.com`);
  const spec = json.spec.versions[0].schema.openAPIV3Schema.properties.spec;
  spec.properties.a.maxLength = 3;
  spec.properties.c = { type: 'string', default: 'added' };
  assert.equal((await ask('PUT', `${DEFINITIONS}/olds.example.com`, json)).status, 200);
  await until(
    'what is stored has the new default',
    async () => (await ask('GET', `${path}/one`)).json.spec.c === 'added',
  );
  const merge = { 'content-type': 'application/merge-patch+json' };
  const kept = await ask('PATCH', `${path}/one`, { spec: { b: 'y' } }, merge);
  assert.equal(kept.status, 200, kept.text);
  assert.equal((await ask('PATCH', `${path}/one`, { spec: { a: 'other value' } }, merge)).status, 422);
});

test('two versions are the same objects', async () => {
  const path = await define('Pair', [
    schema({ properties: { a: { type: 'string' } } }),
    {
      name: 'v2',
      storage: false,
      deprecated: true,
      ...schema({ properties: { a: { type: 'string' }, b: { type: 'string', default: 'two' } } }),
    },
  ]);
  const second = path.replace('/v1/', '/v2/');
  await ask('POST', path, object('Pair', 'one', { spec: { a: 'x' } }));
  const shown = await ask('GET', `${second}/one`);
  assert.equal(shown.warnings, '299 - "example.com/v2 Pair is deprecated"');
  assert.equal((await ask('GET', `${path}/one`)).warnings, '');
  assert.deepEqual([shown.json.apiVersion, shown.json.spec], ['example.com/v2', { a: 'x', b: 'two' }]);
  const listed = await ask('GET', second);
  assert.deepEqual([listed.json.kind, listed.json.items[0].apiVersion], ['PairList', 'example.com/v2']);
  await ask('PUT', `${second}/one`, { ...shown.json, spec: { a: 'y', b: 'z' } });
  assert.deepEqual((await ask('GET', `${path}/one`)).json.spec, { a: 'y' }, 'v1 has no b');
  assert.deepEqual(
    [...(await store.list({ prefix: '/registry/example.com/pairs/', signal: stop.signal })).items].map(
      ({ value }) => JSON.parse(value.toString()).apiVersion,
    ),
    ['example.com/v1'],
  );
});

test('names that another definition has are not accepted, until they are free', async () => {
  await define('Cat', [schema({})], { names: { plural: 'cats', kind: 'Cat', shortNames: ['c'] } });
  const second = await ask(
    'POST',
    DEFINITIONS,
    definition('Cow', [schema({})], { names: { plural: 'cows', kind: 'Cow', shortNames: ['c'] } }),
  );
  assert.equal(second.status, 201, second.text);
  const accepted = async (): Promise<{ status: string; message: string } | undefined> =>
    (await ask('GET', `${DEFINITIONS}/cows.example.com`)).json.status.conditions?.find(
      (one: { type: string }) => one.type === 'NamesAccepted',
    );
  await until('the conflict is told', async () => (await accepted())?.status === 'False');
  assert.equal((await accepted())?.message, '"c" is already in use');
  assert.equal((await ask('GET', '/apis/example.com/v1/cows')).status, 404);
  await ask('DELETE', `${DEFINITIONS}/cats.example.com`);
  await until('the name is free', async () => (await accepted())?.status === 'True');
  await until('and served', async () => (await ask('GET', '/apis/example.com/v1/cows')).status === 200);
});

test('definitions that are none are refused', async () => {
  const wrong = async (versions: readonly Version[], more?: object): Promise<string> => {
    const { status, json } = await ask('POST', DEFINITIONS, definition('Bad', versions, more));
    assert.equal(status, 422);
    return json.message;
  };
  const at = 'spec.versions[0].schema.openAPIV3Schema';
  assert.match(await wrong([{}]), /schema.openAPIV3Schema: Required value: schemas are required/);
  assert.match(
    await wrong([schema({}), { ...schema({}), name: 'v2' }]),
    /must have exactly one version marked as storage version/,
  );
  assert.ok(
    (await wrong([schema({ properties: { a: {} } })])).includes(
      `${at}.properties[spec].properties[a].type: Required value: must not be empty for specified object fields`,
    ),
  );
  assert.ok(
    (
      await wrong([schema({ properties: { a: { type: 'array', items: { type: 'string' }, uniqueItems: true } } })])
    ).includes('uniqueItems cannot be set to true'),
  );
  assert.ok(
    (await wrong([schema({ properties: { a: { type: 'string', default: 1 } } })])).includes(
      '.default: Invalid value: "integer"',
    ),
  );
  assert.ok(
    (await wrong([schema({ properties: { a: { type: 'string', pattern: '(' } } })])).includes(
      'must be a valid regular expression',
    ),
  );
  assert.ok(
    (await wrong([schema({ anyOf: [{ properties: { q: { minimum: 1 } } }] })])).includes('because it is defined in'),
  );
  assert.match(await wrong([schema({})], { group: 'example' }), /should be a domain with at least one dot/);
});

describe('a conversion webhook', () => {
  const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
  const ca = createCa({ commonName: 'webhook-ca', ...common });
  let seen = 0;
  /** Changes what the webhook does with one object. */
  let spoil: (object: Converted) => void = () => undefined;
  interface Converted {
    apiVersion: string;
    metadata: { name: string; uid?: string; labels?: object };
    spec: { host?: string; port?: string; hostPort?: string };
  }
  const identity = issue(ca, { commonName: 'webhook', sans: ['127.0.0.1'], usages: ['server'], ...common });
  const webhook = createServer({ cert: identity.certificate, key: identity.key }, (asked, answer) => {
    const chunks: Buffer[] = [];
    asked.on('data', (chunk: Buffer) => chunks.push(chunk));
    asked.on('end', () => {
      const { request: review } = JSON.parse(Buffer.concat(chunks).toString());
      seen += review.objects.length;
      const convertedObjects = review.objects.map((one: Converted) => {
        const { host, port, hostPort } = one.spec;
        const [h, p] = (hostPort ?? '').split(':');
        one.spec = review.desiredAPIVersion.endsWith('/v2') ? { host: h!, port: p! } : { hostPort: `${host}:${port}` };
        one.apiVersion = review.desiredAPIVersion;
        spoil(one);
        return one;
      });
      const response = { uid: review.uid, result: { status: 'Success' }, convertedObjects };
      answer.end(JSON.stringify({ kind: 'ConversionReview', apiVersion: 'apiextensions.k8s.io/v1', response }));
    });
  });
  let first: string;
  let second: string;
  before(async () => {
    await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(webhook.address() as AddressInfo).port}/convert`;
    const clientConfig = { url, caBundle: Buffer.from(ca.certificate).toString('base64') };
    first = await define(
      'Door',
      [
        schema({ properties: { hostPort: { type: 'string' } } }),
        {
          name: 'v2',
          storage: false,
          ...schema({ properties: { host: { type: 'string' }, port: { type: 'string' } } }),
        },
      ],
      { conversion: { strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } } },
    );
    second = first.replace('/v1/', '/v2/');
  });
  after(() => {
    webhook.closeAllConnections();
    webhook.close();
  });

  test('is asked on every way in and out, once for each object and version', async () => {
    assert.equal((await ask('POST', first, object('Door', 'a', { spec: { hostPort: 'x:1' } }))).status, 201);
    assert.equal(seen, 0, 'the stored version needs no conversion');
    const shown = await ask('GET', `${second}/a`);
    assert.deepEqual([shown.json.apiVersion, shown.json.spec], ['example.com/v2', { host: 'x', port: '1' }]);
    await ask('GET', `${second}/a`);
    assert.equal(seen, 1);
    const made = await ask('POST', second, {
      ...object('Door', 'b', { spec: { host: 'y', port: '2' } }),
      apiVersion: 'example.com/v2',
    });
    assert.equal(made.status, 201, made.text);
    assert.deepEqual(made.json.spec, { host: 'y', port: '2' });
    assert.deepEqual((await ask('GET', `${first}/b`)).json.spec, { hostPort: 'y:2' });
    const merge = { 'content-type': 'application/merge-patch+json' };
    assert.deepEqual((await ask('PATCH', `${second}/b`, { spec: { port: '3' } }, merge)).json.spec, {
      host: 'y',
      port: '3',
    });
    const listed = await ask('GET', second);
    assert.deepEqual(
      listed.json.items.map((one: Converted) => one.spec),
      [
        { host: 'x', port: '1' },
        { host: 'y', port: '3' },
      ],
    );
  });

  test('that spoils what it may not is refused by name', async () => {
    await ask('POST', first, object('Door', 'c', { spec: { hostPort: 'z:1' } }));
    const told = async (change: (object: Converted) => void): Promise<string> => {
      spoil = change;
      const { status, json } = await ask('GET', `${second}/c`);
      assert.equal(status, 500);
      return json.message;
    };
    try {
      const prefix = 'conversion webhook for example.com/v2, Kind=Door failed: ';
      assert.equal(await told((one) => (one.metadata.name = 'other')), `${prefix}metadata.name must be immutable`);
      assert.match(await told((one) => (one.apiVersion = 'v9')), /apiVersion is v9, expected example.com\/v2$/);
    } finally {
      spoil = () => undefined;
    }
    assert.equal((await ask('GET', `${second}/c`)).status, 200, 'a failure is not kept');
  });
});

describe('rules', () => {
  const rule = (text: string, more: object = {}): object => ({ rule: text, ...more });
  let path: string;
  before(async () => {
    path = await define('Rule', [
      schema({
        'x-kubernetes-validations': [
          rule('self.min <= self.max', { message: 'min is more than max' }),
          rule("!has(self.items) || self.items.all(i, i.name.matches('^[a-z]+$'))", {
            messageExpression: "'of ' + string(size(self.items)) + ' some are bad'",
          }),
          rule('!has(self.from__dash__to) || duration("1h") > self.from__dash__to', {
            fieldPath: '.from-to',
            reason: 'FieldValueForbidden',
          }),
        ],
        properties: {
          min: { type: 'integer', default: 0 },
          max: { type: 'integer', default: 100 },
          fixed: {
            type: 'string',
            'x-kubernetes-validations': [rule('self == oldSelf', { message: 'fixed is immutable' })],
          },
          grows: {
            type: 'integer',
            'x-kubernetes-validations': [
              rule('!oldSelf.hasValue() || self >= oldSelf.value()', { optionalOldSelf: true }),
            ],
          },
          items: {
            type: 'array',
            maxItems: 10,
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['name'],
            items: {
              type: 'object',
              required: ['name'],
              properties: {
                name: { type: 'string', maxLength: 20 },
                size: {
                  type: 'integer',
                  'x-kubernetes-validations': [rule('self >= oldSelf', { message: 'sizes grow' })],
                },
              },
            },
          },
          'from-to': { type: 'string', format: 'duration' },
          memory: {
            type: 'string',
            maxLength: 20,
            'x-kubernetes-validations': [rule("quantity(self).isLessThan(quantity('1Gi'))")],
          },
        },
      }),
    ]);
  });
  const messages = (answer: Answer): string[] =>
    answer.json.details.causes.map((one: { field: string; message: string }) => `${one.field}: ${one.message}`);
  const merge = { 'content-type': 'application/merge-patch+json' };

  test('hold, or tell what is wrong', async () => {
    const good = {
      min: 1,
      max: 2,
      items: [{ name: 'a', size: 1 }],
      fixed: 'x',
      grows: 1,
      'from-to': '5m',
      memory: '5Mi',
    };
    const made = await ask('POST', path, object('Rule', 'a', { spec: good }));
    assert.equal(made.status, 201, made.text);
    const bad = await ask(
      'POST',
      path,
      object('Rule', 'b', {
        spec: { min: 3, max: 2, items: [{ name: 'A' }], 'from-to': '2h', memory: '2Gi' },
      }),
    );
    assert.equal(bad.status, 422);
    assert.deepEqual(messages(bad), [
      'spec: Invalid value: "object": min is more than max',
      'spec: Invalid value: "object": of 1 some are bad',
      'spec.from-to: Forbidden: failed rule: !has(self.from__dash__to) || duration("1h") > self.from__dash__to',
      'spec.memory: Invalid value: "string": failed rule: quantity(self).isLessThan(quantity(\'1Gi\'))',
    ]);
  });

  test('of change compare with what was there', async () => {
    const changed = await ask(
      'PATCH',
      `${path}/a`,
      {
        spec: {
          fixed: 'y',
          grows: 0,
          items: [
            { name: 'new', size: 0 },
            { name: 'a', size: 0 },
          ],
        },
      },
      merge,
    );
    assert.deepEqual(messages(changed).sort(), [
      'spec.fixed: Invalid value: "string": fixed is immutable',
      'spec.grows: Invalid value: "integer": failed rule: !oldSelf.hasValue() || self >= oldSelf.value()',
      'spec.items[1].size: Invalid value: "integer": sizes grow',
    ]);
    assert.equal((await ask('PATCH', `${path}/a`, { spec: { grows: 2, min: 2 } }, merge)).status, 200);
  });

  test('that cannot be are refused with the definition', async () => {
    const told = async (spec: object): Promise<string> => {
      const answer = await ask('POST', DEFINITIONS, definition('Bad', [schema(spec)]));
      assert.equal(answer.status, 422, answer.text);
      return answer.json.message;
    };
    const at = 'spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: ';
    const spec = (text: string, more: object = {}): object => ({
      'x-kubernetes-validations': [rule(text)],
      properties: { a: { type: 'integer' }, l: { type: 'array', items: { type: 'string', ...more }, ...more } },
    });
    assert.ok((await told(spec('self.b > 1'))).includes(`${at}Invalid value: "self.b > 1": compilation failed: `));
    assert.ok((await told(spec('self.a == "x"'))).includes('compilation failed: no such overload: int == string'));
    assert.ok((await told(spec('self.a + 1'))).includes('must evaluate to a bool'));
    assert.ok((await told(spec('self.a >'))).includes('compilation failed: '));
    assert.ok(
      (await told(spec('self.l.all(x, self.l.all(y, x == y || x.contains(y)))'))).includes(
        'estimated rule cost exceeds budget by factor of more than 100x',
      ),
    );
    const bounded = definition('Bounded', [
      schema(spec('self.l.all(x, self.l.all(y, x == y || x.contains(y)))', { maxItems: 20, maxLength: 20 })),
    ]);
    const made = await ask('POST', DEFINITIONS, bounded);
    assert.equal(made.status, 201, made.text);
  });
});
