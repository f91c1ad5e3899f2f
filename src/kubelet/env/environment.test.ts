import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Container } from '../../api/generated/types.ts';
import { aContainer, aPod } from '../pod/fixtures.ts';
import { containerEnvironment, type EnvironmentContext } from './environment.ts';
import { expandReferences } from './expand.ts';
import { fieldValue, quoteGo, resourceValue } from './fields.ts';
import { serviceVariables } from './services.ts';

test('references are expanded, escaped and left alone', () => {
  const values: { [name: string]: string } = { A: '1', EMPTY: '' };
  const lookup = (name: string): string | undefined => values[name];
  const cases: [string, string][] = [
    ['$(A)', '1'],
    ['x$(A)$(A)y', 'x11y'],
    ['$(EMPTY)', ''],
    ['$(NO)', '$(NO)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$A', '$A'],
    ['$(A', '$(A'],
    ['end$', 'end$'],
    ['$', '$'],
  ];
  for (const [text, expected] of cases) assert.equal(expandReferences(text, lookup), expected, text);
});

test('a text without $ expands to itself, and one that is escaped to what it was', () => {
  fc.assert(
    fc.property(fc.string(), (text: string) => {
      assert.equal(
        expandReferences(text.replaceAll('$', '$$$$'), () => 'never'),
        text,
      );
    }),
  );
});

function environment(
  container: Partial<Container>,
  more: Partial<EnvironmentContext> = {},
): { [name: string]: string } {
  const entries = containerEnvironment({
    pod: aPod({ serviceAccountName: 'robot' }, { labels: { app: 'x' } }),
    podIPs: ['10.0.0.7', 'fd00::7'],
    hostIPs: ['192.168.0.1', 'fd00::1'],
    nodeName: 'n1',
    container: aContainer('main', container),
    services: [{ name: 'DB_SERVICE_HOST', value: '10.96.0.9' }],
    allocatable: { cpu: '4', memory: '8Gi' },
    configMap: (name) => (name === 'cm' ? { metadata: { name }, data: { k: 'v', 'odd.key': 'w' } } : undefined),
    secret: (name) =>
      name === 'sec' ? { metadata: { name }, data: { k: Buffer.from('hush').toString('base64') } } : undefined,
    ...more,
  });
  return Object.fromEntries(entries.map(({ name, value }) => [name, Buffer.from(value).toString()]));
}

test('sources in their order: services, envFrom, env', () => {
  const env = environment({
    envFrom: [
      { prefix: 'P_', configMapRef: { name: 'cm' } },
      { secretRef: { name: 'sec' } },
      { configMapRef: { name: 'no', optional: true } },
    ],
    env: [
      { name: 'P_k', value: 'mine' },
      { name: 'URL', value: 'http://$(DB_SERVICE_HOST)/$(P_k)' },
      { name: 'DB_SERVICE_HOST', value: 'localhost' },
      { name: 'LATER', value: '$(DB_SERVICE_HOST) $(UNKNOWN)' },
      { name: 'IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } },
      { name: 'HOST', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } },
      { name: 'HOSTS', valueFrom: { fieldRef: { fieldPath: 'status.hostIPs' } } },
      { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
      { name: 'MISSING', valueFrom: { secretKeyRef: { name: 'sec', key: 'none', optional: true } } },
    ],
  });
  assert.deepEqual(env, {
    P_k: 'mine',
    'P_odd.key': 'w',
    k: 'hush',
    URL: 'http://10.96.0.9/mine',
    DB_SERVICE_HOST: 'localhost',
    LATER: 'localhost $(UNKNOWN)',
    IPS: '10.0.0.7,fd00::7',
    HOST: '192.168.0.1',
    HOSTS: '192.168.0.1,fd00::1',
    LABEL: 'x',
  });
});

test('what is missing is named as upstream names it', () => {
  const from =
    (valueFrom: object): (() => unknown) =>
    () =>
      environment({ env: [{ name: 'X', valueFrom }] });
  assert.throws(from({ configMapKeyRef: { name: 'no', key: 'k' } }), { message: 'configmap "no" not found' });
  assert.throws(from({ configMapKeyRef: { name: 'cm', key: 'z' } }), {
    message: "couldn't find key z in ConfigMap shop/cm",
  });
  assert.throws(from({ secretKeyRef: { name: 'sec', key: 'z' } }), {
    message: "couldn't find key z in Secret shop/sec",
  });
  assert.throws(() => environment({ envFrom: [{ secretRef: { name: 'no' } }] }), { message: 'secret "no" not found' });
});

test('resources are rounded up to the divisor; a missing limit is what the node has', () => {
  const container = aContainer('main', { resources: { limits: { cpu: '250m' }, requests: { memory: '100Mi' } } });
  const value = (resource: string, divisor?: string): string =>
    resourceValue(resource, divisor, container, { memory: '8Gi' });
  assert.equal(value('limits.cpu'), '1');
  assert.equal(value('limits.cpu', '1m'), '250');
  assert.equal(value('requests.memory', '1Mi'), '100');
  assert.equal(value('limits.memory'), String(8 * 2 ** 30));
  assert.equal(value('requests.cpu'), '0');
});

test('maps are one quoted pair a line', () => {
  const pod = aPod({}, { annotations: { b: 'say "hi"\n', a: 'ü' } });
  const context = { pod, podIPs: [], hostIPs: [], nodeName: 'n' };
  assert.equal(fieldValue('metadata.annotations', context), 'a="ü"\nb="say \\"hi\\"\\n"');
  assert.equal(quoteGo('\u0001\t'), '"\\x01\\t"');
});

test('service variables: own namespace and the API, headless ones not', () => {
  const service = (namespace: string, name: string, clusterIP: string, ports: object[]) =>
    ({ metadata: { namespace, name }, spec: { clusterIP, ports } }) as never;
  const services = [
    service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443 }]),
    service('shop', 'my-db', '10.96.0.9', [{ port: 5432 }, { name: 'dns', port: 53, protocol: 'UDP' }]),
    service('shop', 'none', 'None', [{ port: 1 }]),
    service('other', 'x', '10.96.0.3', [{ port: 1 }]),
  ];
  const env = Object.fromEntries(serviceVariables(services, 'shop', true).map((v) => [v.name, v.value]));
  assert.equal(env.MY_DB_SERVICE_HOST, '10.96.0.9');
  assert.equal(env.MY_DB_SERVICE_PORT, '5432');
  assert.equal(env.MY_DB_SERVICE_PORT_DNS, '53');
  assert.equal(env.MY_DB_PORT, 'tcp://10.96.0.9:5432');
  assert.equal(env.MY_DB_PORT_53_UDP_ADDR, '10.96.0.9');
  assert.equal(env.KUBERNETES_SERVICE_PORT_HTTPS, '443');
  assert.equal(env.X_SERVICE_HOST, undefined);
  assert.equal(env.NONE_SERVICE_HOST, undefined);
  const unlinked = serviceVariables(services, 'shop', false).map((v) => v.name);
  assert.ok(unlinked.every((name) => name.startsWith('KUBERNETES_')) && unlinked.length > 0);
});
