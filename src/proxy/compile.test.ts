import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice, Service } from '../api/generated/types.ts';
import { compileService } from './compile.ts';
import { chooseEndpoints, endpointsOf } from './endpoints.ts';
import { renderRule } from './render.ts';
import type { Fragment } from './rules.ts';
import { healthCheckPort, servicePorts } from './service-port.ts';
import { endpoint, NODE, NOT_READY, POD_RANGE, service, slice, TERMINATING } from './test-objects.ts';

const compile = (object: Service, slices: readonly EndpointSlice[]): Fragment =>
  compileService(object, slices, { family: 'IPv4', node: NODE, podRanges: [POD_RANGE] });

function text(fragment: Fragment): string {
  const short = (name: string): string => name.replace(/-[0-9A-F]{8}-/g, '-#-');
  const chains = [...fragment.chains].map(([name, rules]) =>
    [short(name), ...rules.map((rule) => `  ${short(renderRule(rule, 'IPv4'))}`)].join('\n'),
  );
  const claims = fragment.claims.map(({ key, verdicts }) => {
    const wanted = [...verdicts].map(([map, v]) => `${map}=${typeof v === 'string' ? v : short(v.goto)}`);
    return `${key}: ${wanted.join(' ')}`;
  });
  return [...chains, ...claims].join('\n');
}

test('a cluster IP with affinity and a node port, as rules', () => {
  const object = service('web', '10.96.0.1', {
    type: 'NodePort',
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    ports: [{ name: 'web', port: 80, nodePort: 30080 }],
  });
  const fragment = compile(object, [slice('web', [endpoint('10.244.0.1'), endpoint('10.244.1.1')])]);
  assert.equal(
    text(fragment),
    `endpoint-#-default/web/tcp/web__10.244.0.1/8080
  ip saddr 10.244.0.1 jump mark-for-masquerade
  update @affinity-#-default/web/tcp/web__10.244.0.1/8080 { ip saddr }
  meta l4proto tcp dnat to 10.244.0.1:8080
endpoint-#-default/web/tcp/web__10.244.1.1/8080
  ip saddr 10.244.1.1 jump mark-for-masquerade
  update @affinity-#-default/web/tcp/web__10.244.1.1/8080 { ip saddr }
  meta l4proto tcp dnat to 10.244.1.1:8080
service-#-default/web/tcp/web
  ip daddr 10.96.0.1 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
  ip saddr @affinity-#-default/web/tcp/web__10.244.0.1/8080 goto endpoint-#-default/web/tcp/web__10.244.0.1/8080
  ip saddr @affinity-#-default/web/tcp/web__10.244.1.1/8080 goto endpoint-#-default/web/tcp/web__10.244.1.1/8080
  numgen random mod 2 vmap { 0 : goto endpoint-#-default/web/tcp/web__10.244.0.1/8080, 1 : goto endpoint-#-default/web/tcp/web__10.244.1.1/8080 }
external-#-default/web/tcp/web
  jump mark-for-masquerade
  goto service-#-default/web/tcp/web
10.96.0.1 . tcp . 80: service-ips=service-#-default/web/tcp/web
tcp . 30080: service-nodeports=external-#-default/web/tcp/web`,
  );
  assert.deepEqual([...fragment.sets.values()], [60, 60]);
});

test('a set of another timeout is another set: its timeout cannot be changed in the kernel', () => {
  const sets = [10, 20].map((timeoutSeconds) => {
    const more = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } } } as const;
    return [...compile(service('web', '10.96.0.1', more), [slice('web', [endpoint('10.244.0.1')])]).sets.keys()][0];
  });
  assert.notEqual(sets[0], sets[1]);
});

test('headless, external-name and foreign services have no rules', () => {
  const foreign = service('dns', '10.96.0.10');
  const labels = { 'service.kubernetes.io/service-proxy-name': 'other' };
  for (const object of [
    service('headless', 'None'),
    service('elsewhere', '', { type: 'ExternalName', externalName: 'example.org' }),
    { ...foreign, metadata: { ...foreign.metadata, labels } },
  ]) {
    assert.deepEqual(compile(object, [slice(object.metadata.name, [endpoint('10.244.0.1')])]).claims, []);
  }
});

test('an address that the load balancer itself must see is left alone', () => {
  const ports = (ipMode: string): readonly string[] =>
    servicePorts(
      service(
        'web',
        '10.96.0.1',
        { type: 'LoadBalancer' },
        { loadBalancer: { ingress: [{ ip: '203.0.113.2', ipMode }] } },
      ),
      'IPv4',
    )[0]!.loadBalancerIPs;
  assert.deepEqual(ports('VIP'), ['203.0.113.2']);
  assert.deepEqual(ports('Proxy'), []);
});

test('each family gets its own addresses of a service with two', () => {
  const object = service('web', '10.96.0.1', { clusterIPs: ['10.96.0.1', 'FD00::0001'], externalIPs: ['2001:db8::1'] });
  assert.equal(servicePorts(object, 'IPv4')[0]!.clusterIP, '10.96.0.1');
  assert.deepEqual(servicePorts(object, 'IPv4')[0]!.externalIPs, []);
  assert.equal(servicePorts(object, 'IPv6')[0]!.clusterIP, 'fd00::1');
  assert.deepEqual(servicePorts(object, 'IPv6')[0]!.externalIPs, ['2001:db8::1']);
});

test('a health check port is for load balancers of policy Local', () => {
  const more = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31000 } as const;
  assert.equal(healthCheckPort(service('web', '10.96.0.1', more)), 31000);
  assert.equal(healthCheckPort(service('web', '10.96.0.1', { ...more, externalTrafficPolicy: 'Cluster' })), 0);
});

const [port] = servicePorts(service('web', '10.96.0.1'), 'IPv4');
const chosen = (...endpoints: Parameters<typeof slice>[1][number][]): string[] => {
  const all = endpointsOf(port!, [slice('web', endpoints)], 'IPv4', NODE);
  return chooseEndpoints(port!, all, NODE).cluster.map((e) => e.address);
};
const zone = (name: string): object => ({ hints: { forZones: [{ name }] } });

test('endpoints that terminate serve only while there is none that is ready', () => {
  const ready = endpoint('10.244.0.1');
  const leaving = endpoint('10.244.0.2', TERMINATING);
  const starting = endpoint('10.244.0.3', NOT_READY);
  assert.deepEqual(chosen(ready, leaving, starting), ['10.244.0.1']);
  assert.deepEqual(chosen(leaving, starting), ['10.244.0.2']);
  assert.deepEqual(chosen(starting), []);
});

test('hints narrow the choice only while every ready endpoint has one and one is for here', () => {
  const here = endpoint('10.244.0.1', zone('zone-1'));
  const there = endpoint('10.244.0.2', zone('zone-2'));
  assert.deepEqual(chosen(here, there), ['10.244.0.1']);
  assert.deepEqual(chosen(here, there, endpoint('10.244.0.3')), ['10.244.0.1', '10.244.0.2', '10.244.0.3']);
  assert.deepEqual(chosen(there), ['10.244.0.2']);
  const onNode = endpoint('10.244.0.4', { hints: { forNodes: [{ name: NODE.name }], forZones: [{ name: 'zone-2' }] } });
  const onOther = endpoint('10.244.0.5', { hints: { forNodes: [{ name: 'node-b' }], forZones: [{ name: 'zone-1' }] } });
  assert.deepEqual(chosen(onNode, onOther), ['10.244.0.4']);
});

test('an endpoint in two slices counts once, and as ready when one of them says so', () => {
  const slices = [
    slice('web', [endpoint('10.244.0.1', NOT_READY)]),
    slice('web', [endpoint('10.244.0.1')], undefined, 'newer'),
  ];
  assert.deepEqual(
    endpointsOf(port!, slices, 'IPv4', NODE).map((e) => [e.address, e.ready]),
    [['10.244.0.1', true]],
  );
});
