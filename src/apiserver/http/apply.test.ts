// Apply over HTTP: what it takes as a body, which parameters it wants, and what it answers.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { after, before, describe, test } from 'node:test';
import { Registry } from 'prom-client';
import type { ConfigMap } from '../../api/generated/types.ts';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import type { StatusObject } from '../../machinery/status.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { type ApiServer, startApiServer } from '../server.ts';

const clock = new FakeClock(realClock.now());
const store = openMemoryStore({ clock });
const stop = new AbortController();
let server: ApiServer;
let agent: Agent;

before(async () => {
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const staticTokens = new Map([
    ['admin', { username: 'admin', groups: ['system:masters'] }],
    ['patcher', { username: 'patcher', groups: [] }],
  ]);
  server = await startApiServer({ store, tables: new Tables(), env, staticTokens }, stop.signal);
  agent = new Agent({ ca: server.caCertificate, keepAlive: true });
});
after(async () => {
  agent.destroy();
  stop.abort();
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly warning: string;
  readonly body: ConfigMap & StatusObject;
}

function ask(method: string, path: string, body: string, headers: { [name: string]: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { authorization: 'Bearer admin', 'content-type': 'application/apply-patch+yaml', ...headers };
    const sent = request(`${server.url}${path}`, { method, agent, headers: all }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const warning = String(response.headers.warning ?? '');
        resolve({ status: response.statusCode!, warning, body: JSON.parse(text) as Answer['body'] });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const at = (name: string, query = 'fieldManager=m'): string => `/api/v1/namespaces/default/configmaps/${name}?${query}`;
const yaml = (name: string, lines = 'data: {a: "1"}'): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n${lines}\n`;

describe('PATCH application/apply-patch+yaml', () => {
  test('takes YAML and JSON; 201 for what is new', async () => {
    const made = await ask('PATCH', at('one'), yaml('one'));
    assert.deepEqual([made.status, made.body.data], [201, { a: '1' }]);
    const json = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data: { a: '2' } };
    const changed = await ask('PATCH', at('one'), JSON.stringify(json));
    assert.deepEqual([changed.status, changed.body.data], [200, { a: '2' }]);
    assert.deepEqual(changed.body.metadata.managedFields?.[0]?.fieldsV1, { 'f:data': { 'f:a': {} } });
  });

  test('wants a manager, and nobody else may force', async () => {
    const nobody = await ask('PATCH', at('one', ''), yaml('one'));
    assert.equal(nobody.status, 422);
    assert.equal(
      nobody.body.message,
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
    const merge = { 'content-type': 'application/merge-patch+json' };
    const forced = await ask('PATCH', at('one', 'force=true'), '{}', merge);
    assert.match(forced.body.message ?? '', /force: Forbidden: may not be specified for non-apply patch/);
    const long = await ask('PATCH', at('one', `fieldManager=${'x'.repeat(129)}`), yaml('one'));
    assert.match(long.body.message ?? '', /fieldManager: Too long: may not be more than 128 bytes/);
    const unprintable = await ask('PATCH', at('one', 'fieldManager=a%07b'), yaml('one'));
    assert.match(
      unprintable.body.message ?? '',
      /fieldManager: Invalid value: .*invalid character U\+0007 \(at position 1\)/,
    );
  });

  test('forces with force=true', async () => {
    await ask('PATCH', at('forced'), yaml('forced'));
    const other = yaml('forced', 'data: {a: "2"}');
    const refused = await ask('PATCH', at('forced', 'fieldManager=other'), other);
    assert.deepEqual([refused.status, refused.body.reason], [409, 'Conflict']);
    assert.equal(refused.body.details?.causes?.[0]?.reason, 'FieldManagerConflict');
    const forced = await ask('PATCH', at('forced', 'fieldManager=other&force=true'), other);
    assert.deepEqual([forced.status, forced.body.data], [200, { a: '2' }]);
  });

  test('keys given twice are warned of, refused or let pass, as asked', async () => {
    const twice = yaml('twice', 'data:\n  a: "1"\n  a: "2"');
    const strict = await ask('PATCH', at('twice', 'fieldManager=m&fieldValidation=Strict'), twice);
    assert.equal(strict.status, 400);
    assert.match(strict.body.message ?? '', /^error strict decoding YAML: .*line 6: key "a" already set in map/s);
    const warned = await ask('PATCH', at('twice'), twice);
    assert.deepEqual([warned.status, warned.body.data], [201, { a: '2' }]);
    assert.match(warned.warning, /key \\?"a\\?" already set in map/);
    const silent = await ask('PATCH', at('twice', 'fieldManager=m&fieldValidation=Ignore'), twice);
    assert.deepEqual([silent.status, silent.warning], [200, '']);
  });

  test('what is no object is refused', async () => {
    for (const text of ['', '- a', 'a: [', '"text"']) {
      const { status, body } = await ask('PATCH', at('none'), text);
      assert.equal(status, 400, text);
      assert.match(body.message ?? '', /error decoding YAML/);
    }
  });

  test('who may patch but not create makes nothing', async () => {
    const api = 'rbac.authorization.k8s.io';
    const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['patch'] }];
    const json = { 'content-type': 'application/json' };
    const base = `/apis/${api}/v1`;
    await ask('POST', `${base}/clusterroles`, JSON.stringify({ metadata: { name: 'patch' }, rules }), json);
    const binding = {
      metadata: { name: 'patch' },
      roleRef: { apiGroup: api, kind: 'ClusterRole', name: 'patch' },
      subjects: [{ apiGroup: api, kind: 'User', name: 'patcher' }],
    };
    await ask('POST', `${base}/clusterrolebindings`, JSON.stringify(binding), json);
    const patcher = { authorization: 'Bearer patcher' };
    // The authorizer learns of new rules from its watch.
    const changed = await until('the patcher may patch', async () => {
      const answer = await ask('PATCH', at('one'), yaml('one', 'data: {a: "3"}'), patcher);
      return answer.status !== 403 && answer;
    });
    assert.equal(changed.status, 200);
    assert.equal((await ask('PATCH', at('new-one'), yaml('new-one'), patcher)).status, 403);
  });
});

describe('POST and PUT', () => {
  const json = { 'content-type': 'application/json' };

  test('are managed as the User-Agent says, an empty list resets', async () => {
    const body = JSON.stringify({ metadata: { name: 'posted' }, data: { a: '1' } });
    const posted = await ask('POST', '/api/v1/namespaces/default/configmaps', body, {
      ...json,
      'user-agent': 'curl/8.1',
    });
    assert.equal(posted.body.metadata.managedFields?.[0]?.manager, 'curl');
    const { managedFields: _, ...metadata } = posted.body.metadata;
    const emptied = { ...posted.body, metadata: { ...metadata, managedFields: [] } };
    const put = await ask('PUT', at('posted'), JSON.stringify(emptied), json);
    assert.equal(put.body.metadata.managedFields, undefined);
  });
});
