import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestInfo } from '../http/request-info.ts';
import { readAuditPolicy, wantedOf } from './policy.ts';

const policy = (rules: readonly object[], more: object = {}) =>
  readAuditPolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules, ...more });
const user = { username: 'alice', groups: ['devs', 'system:authenticated'] };

/** The level of "METHOD path" under rules. */
function level(request: string, ...rules: object[]): string {
  const [method = '', path = ''] = request.split(' ');
  return wantedOf(policy(rules), requestInfo(method, path, new URLSearchParams()), user).level;
}

const PODS = '/api/v1/namespaces/x/pods';
const metadata = (more: object): object => ({ level: 'Metadata', ...more });
const of = (resources: object): object => metadata({ resources: [resources] });

test('the first rule that fits counts; without one nothing is audited', () => {
  const rules = [metadata({ verbs: ['create'] }), { level: 'Request', users: ['alice'] }];
  assert.equal(level(`POST ${PODS}`, ...rules), 'Metadata');
  assert.equal(level(`GET ${PODS}`, ...rules), 'Request');
  assert.equal(level(`GET ${PODS}`, metadata({ users: ['bob'] })), 'None');
  assert.equal(level(`GET ${PODS}`, metadata({ userGroups: ['devs'] })), 'Metadata');
  assert.equal(level(`GET ${PODS}`, metadata({ userGroups: ['ops'] })), 'None');
  const info = requestInfo('GET', PODS, new URLSearchParams());
  assert.equal(wantedOf(policy([metadata({ users: [''] })]), info, undefined).level, 'None');
});

test('resources are named with their subresources, groups and names', () => {
  const cases: readonly (readonly [request: string, resources: object, fits: boolean])[] = [
    [`GET ${PODS}/a`, { resources: ['pods'] }, true],
    [`GET ${PODS}/a/log`, { resources: ['pods'] }, false],
    [`GET ${PODS}/a/log`, { resources: ['pods/log'] }, true],
    [`GET ${PODS}/a/log`, { resources: ['pods/*'] }, true],
    [`GET ${PODS}/a`, { resources: ['pods/*'] }, true],
    [`GET ${PODS}/a`, { resources: ['*/pods'] }, false],
    [`GET ${PODS}/a/log`, { resources: ['*/log'] }, true],
    [`GET ${PODS}/a/log`, { resources: ['*'] }, true],
    [`GET ${PODS}/a`, {}, true],
    [`GET ${PODS}/a`, { group: 'apps' }, false],
    ['GET /apis/apps/v1/namespaces/x/deployments', { group: 'apps', resources: ['deployments'] }, true],
    [`GET ${PODS}/a`, { resources: ['pods'], resourceNames: ['a'] }, true],
    [`GET ${PODS}/b`, { resources: ['pods'], resourceNames: ['a'] }, false],
    ['GET /healthz', {}, false],
  ];
  for (const [request, resources, fits] of cases) {
    assert.equal(level(request, of(resources)), fits ? 'Metadata' : 'None', `${request} ${JSON.stringify(resources)}`);
  }
  assert.equal(level(`GET ${PODS}`, metadata({ namespaces: ['x'] })), 'Metadata');
  assert.equal(level('GET /api/v1/nodes', metadata({ namespaces: ['x'] })), 'None');
  assert.equal(level('GET /api/v1/nodes', metadata({ namespaces: [''] })), 'Metadata');
  assert.equal(level('GET /healthz/etcd', metadata({ nonResourceURLs: ['/healthz*'] })), 'Metadata');
  assert.equal(level('GET /healthz/etcd', metadata({ nonResourceURLs: ['/healthz'] })), 'None');
  assert.equal(level(`GET ${PODS}`, metadata({ nonResourceURLs: ['*'] })), 'None');
});

test('stages of the policy and of the rule are left out; the rule decides about managed fields', () => {
  const info = requestInfo('GET', PODS, new URLSearchParams());
  const rule = metadata({ omitStages: ['RequestReceived'], omitManagedFields: false });
  const wanted = wantedOf(policy([rule], { omitStages: ['Panic'], omitManagedFields: true }), info, user);
  assert.deepEqual([...wanted.omitStages], ['Panic', 'RequestReceived']);
  assert.equal(wanted.omitManagedFields, false);
  assert.equal(wantedOf(policy([metadata({})], { omitManagedFields: true }), info, user).omitManagedFields, true);
});

test('what is no policy is refused', () => {
  const wrong = (value: unknown): string => {
    try {
      readAuditPolicy(value);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  const rules = (...all: unknown[]): string => wrong({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: all });
  assert.match(wrong(null), /must be a Policy/);
  assert.match(rules(), /illegal policy with 0 rules/);
  assert.match(rules({ level: 'All' }), /rules\[0\]\.level: Unsupported value: "All"/);
  assert.match(rules({ level: 'None', omitStages: ['Never'] }), /allowed stages are/);
  assert.match(
    rules({ level: 'None', resources: [{}], nonResourceURLs: ['/a'] }),
    /both regular resources and non-resource/,
  );
  assert.match(rules({ level: 'None', nonResourceURLs: ['a'] }), /must begin with a '\/'/);
  assert.match(rules({ level: 'None', nonResourceURLs: ['/a*b'] }), /must be the final character/);
  assert.match(rules({ level: 'None', users: 'alice' }), /must be a list of strings/);
});
