// Real packets through the service proxy's rules: a node with two pods, a second node's pod, and a client outside.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Endpoint, EndpointSlice, Service, ServicePort, ServiceSpec } from '../../src/api/generated/types.ts';
import { until } from '../../src/lib/test-until.ts';
import { output, type RunCommand } from '../../src/network/command.ts';
import { addLocalAddress } from '../../src/network/local-address.ts';
import { applyMasquerade } from '../../src/network/masquerade.ts';
import { applySettings } from '../../src/network/sysctl.ts';
import { PlainInformers } from '../../src/network/test-informers.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { cleanUpProxy, ServiceProxy } from '../../src/proxy/proxy.ts';
import { canRunNetLab, NetLab, type Reply } from './net-lab.ts';

const skip = await canRunNetLab();
const SLICES = 'endpointslices.discovery.k8s.io';
const POD_A = '10.244.0.11';
const POD_B = '10.244.0.12';
const POD_C = '10.244.1.13';
const NODE = '192.0.2.1';
const OUTSIDE = '192.0.2.99';

let lab: NetLab;
let node: { path: string; run: RunCommand };
let client: { path: string };
const pods: Record<string, string> = {};
const informers = new PlainInformers();
const abort = new AbortController();
let proxy: ServiceProxy;
let running: Promise<void>;

before(async () => {
  if (skip) return;
  lab = await NetLab.open();
  const [host, outside, switchNs] = [await lab.namespace('h'), await lab.namespace('o'), await lab.namespace('s')];
  [node, client] = [host, outside];
  for (const bridge of [
    { ns: switchNs, name: 'sw0' },
    { ns: host, name: 'tsu0' },
  ]) {
    await output(bridge.ns.run, ['ip', 'link', 'add', bridge.name, 'type', 'bridge', 'forward_delay', '0']);
    await output(bridge.ns.run, ['ip', 'link', 'set', bridge.name, 'up']);
  }
  await output(switchNs.run, ['sh', '-c', 'echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables']);
  const plug = async (name: string, device: string, address: string): Promise<void> => {
    await lab.cable({ ns: name, device: 'eth0', address }, { ns: switchNs.name, device });
    await output(switchNs.run, ['ip', 'link', 'set', device, 'master', 'sw0']);
  };
  await plug(host.name, 'v0', `${NODE}/24`);
  await plug(outside.name, 'v1', `${OUTSIDE}/24`);
  await output(host.run, ['ip', 'route', 'add', 'default', 'via', OUTSIDE]);
  await output(host.run, ['ip', 'address', 'add', '10.244.0.1/24', 'dev', 'tsu0']);
  await applySettings(host.run, join(lab.folder, 'settings.json'));
  await applyMasquerade(host.run, { podCidr: '10.244.0.0/24', clusterCidrs: ['10.244.0.0/16'] });
  for (const [name, address] of Object.entries({ a: POD_A, b: POD_B })) {
    const pod = await lab.namespace(name);
    pods[name] = pod.path;
    await lab.cable(
      { ns: pod.name, device: 'eth0', address: `${address}/24` },
      { ns: host.name, device: `pod-${name}` },
    );
    await output(host.run, ['ip', 'link', 'set', `pod-${name}`, 'master', 'tsu0']);
    await output(host.run, ['bridge', 'link', 'set', 'dev', `pod-${name}`, 'hairpin', 'on']);
    await output(pod.run, ['ip', 'route', 'add', 'default', 'via', '10.244.0.1']);
    await lab.server(pod.path, name, address, 8080);
  }
  // The pod of another node: a namespace on the switch, to which the node has a route.
  const far = await lab.namespace('c');
  pods.c = far.path;
  await plug(far.name, 'v2', '192.0.2.2/24');
  await output(far.run, ['ip', 'address', 'add', `${POD_C}/32`, 'dev', 'lo']);
  await output(far.run, ['ip', 'route', 'add', '10.244.0.0/24', 'via', NODE]);
  await output(host.run, ['ip', 'route', 'add', '10.244.1.0/24', 'via', '192.0.2.2']);
  await lab.server(far.path, 'c', POD_C, 8080);
  proxy = new ServiceProxy({
    informers,
    env: realEnvironment('warn'),
    run: host.run,
    nodeName: 'node-1',
    podRanges: ['10.244.0.0/16'],
    serviceRanges: ['10.96.0.0/12'],
    minSyncIntervalMs: 10,
    verifyIntervalMs: 200,
  });
  running = proxy.run(abort.signal);
  await proxy.firstSync;
});

after(async () => {
  abort.abort();
  await running;
  await lab?.close();
});

let nextIp = 0;

/** A Service of its own for each test; resolves when the kernel has it. */
async function expose(
  name: string,
  endpoints: readonly string[],
  spec: Partial<ServiceSpec> = {},
  port: Partial<ServicePort> = {},
): Promise<string> {
  const clusterIP = `10.96.1.${++nextIp}`;
  const ports = [{ name: 'p', port: 80, protocol: 'TCP' as const, ...port }];
  const service: Service = { metadata: { name, namespace: 'default', uid: name }, spec: { clusterIP, ports, ...spec } };
  informers.put('services', service);
  await endpointsOf(name, endpoints, port.protocol);
  return clusterIP;
}

async function endpointsOf(
  name: string,
  addresses: readonly string[],
  protocol: 'TCP' | 'UDP' | 'SCTP' = 'TCP',
): Promise<void> {
  const endpoints: Endpoint[] = addresses.map((address) => ({
    addresses: [address],
    conditions: { ready: true },
    nodeName: address === POD_C ? 'node-2' : 'node-1',
  }));
  const labels = { 'kubernetes.io/service-name': name };
  const slice = {
    metadata: { name, namespace: 'default', labels },
    endpoints,
    ports: [{ name: 'p', port: 8080, protocol }],
  };
  // A transaction that was under way does not have it: the next one, which the second time asks for, does.
  for (let time = 0; time < 2; time++) {
    const { lastUpdatedMs } = proxy.health();
    informers.put(SLICES, { ...slice, addressType: 'IPv4' } as unknown as EndpointSlice);
    await until('the kernel has the rules', () => proxy.health().lastUpdatedMs > lastUpdatedMs);
  }
}

const names = (replies: readonly Reply[]): string[] =>
  [...new Set(replies.map((reply) => reply.from || reply.error!))].sort();
const sources = (replies: readonly Reply[]): string[] =>
  [...new Set(replies.map((reply) => reply.source ?? ''))].sort();

test('a pod reaches every endpoint of a service, here and on other nodes, under its own address', {
  skip,
}, async () => {
  const ip = await expose('spread', [POD_A, POD_B, POD_C]);
  const replies = await lab.ask(pods.a!, 'tcp', ip, 80, 60);
  assert.deepEqual(names(replies), ['a', 'b', 'c']);
  const others = replies.filter((reply) => reply.from !== 'a');
  assert.deepEqual(sources(others), [POD_A]);
});

test('a pod reaches itself through its service', { skip }, async () => {
  const ip = await expose('self', [POD_A]);
  const [reply] = await lab.ask(pods.a!, 'tcp', ip, 80);
  assert.deepEqual(reply, { from: 'a', source: '10.244.0.1' });
});

test('the node itself reaches services', { skip }, async () => {
  const ip = await expose('from-node', [POD_B, POD_C]);
  assert.deepEqual(names(await lab.ask(node.path, 'tcp', ip, 80, 30)), ['b', 'c']);
});

test('a node port is served to clients outside, by the policy with or without their address', { skip }, async () => {
  const spec = { type: 'NodePort', externalIPs: ['192.0.2.200'] } as const;
  await expose('cluster', [POD_B, POD_C], spec, { nodePort: 30001 });
  const cluster = await lab.ask(client.path, 'tcp', NODE, 30001, 40);
  assert.deepEqual(names(cluster), ['b', 'c']);
  assert.ok(!sources(cluster).includes(OUTSIDE));
  await expose(
    'local',
    [POD_B, POD_C],
    { ...spec, externalIPs: [], externalTrafficPolicy: 'Local' },
    { nodePort: 30002 },
  );
  const local = await lab.ask(client.path, 'tcp', NODE, 30002, 20);
  assert.deepEqual(names(local), ['b']);
  assert.deepEqual(sources(local), [OUTSIDE]);
  assert.deepEqual(names(await lab.ask(pods.a!, 'tcp', NODE, 30002, 40)), ['b', 'c'], 'pods are not outside');
  assert.deepEqual(names(await lab.ask(pods.a!, 'tcp', '192.0.2.200', 80, 40)), ['b', 'c'], 'an external IP');
  await expose('nowhere', [POD_C], { ...spec, externalIPs: [], externalTrafficPolicy: 'Local' }, { nodePort: 30003 });
  assert.deepEqual(names(await lab.ask(client.path, 'tcp', NODE, 30003)), ['TIMEOUT']);
});

test('a service without endpoints refuses, at once and from everywhere', { skip }, async () => {
  const ip = await expose('none', [], { type: 'NodePort' }, { nodePort: 30010 });
  const udp = await expose('none-udp', [], {}, { protocol: 'UDP' });
  for (const path of [pods.a!, node.path]) {
    assert.deepEqual(names(await lab.ask(path, 'tcp', ip, 80)), ['ECONNREFUSED']);
    assert.deepEqual(names(await lab.ask(path, 'udp', udp, 80)), ['ECONNREFUSED']);
  }
  assert.deepEqual(names(await lab.ask(client.path, 'tcp', NODE, 30010)), ['ECONNREFUSED']);
});

test('a port that a service does not have is refused', { skip }, async () => {
  const ip = await expose('one-port', [POD_B]);
  for (const path of [pods.a!, node.path]) {
    assert.deepEqual(names(await lab.ask(path, 'tcp', ip, 81)), ['ECONNREFUSED']);
  }
});

test('a client with affinity stays with its endpoint, also while others come and go', { skip }, async () => {
  const ip = await expose('sticky', [POD_A, POD_B], { sessionAffinity: 'ClientIP' });
  const first = names(await lab.ask(node.path, 'tcp', ip, 80, 20));
  assert.equal(first.length, 1);
  await endpointsOf('sticky', [POD_A, POD_B, POD_C]);
  assert.deepEqual(names(await lab.ask(node.path, 'tcp', ip, 80, 20)), first);
  const left = { a: POD_B, b: POD_A }[first[0]!]!;
  await endpointsOf('sticky', [left]);
  assert.deepEqual(names(await lab.ask(node.path, 'tcp', ip, 80, 5)), [first[0] === 'a' ? 'b' : 'a']);
});

test('a UDP client that keeps its port is moved when its endpoint goes', { skip }, async () => {
  const ip = await expose('datagrams', [POD_B], {}, { protocol: 'UDP' });
  const ask = lab.udpClient(pods.a!, ip, 80);
  assert.equal((await ask()).from, 'b');
  await endpointsOf('datagrams', [POD_C], 'UDP');
  assert.equal((await ask()).from, 'c');
});

test("an address of the services' range that is the node's own is left to the node", { skip }, async () => {
  await addLocalAddress(node.run, '10.96.0.10');
  await addLocalAddress(node.run, '10.96.0.10');
  await lab.server(node.path, 'node', '10.96.0.10', 5353);
  for (const path of [pods.a!, node.path]) {
    assert.deepEqual(names(await lab.ask(path, 'tcp', '10.96.0.10', 5353)), ['node']);
    assert.deepEqual(names(await lab.ask(path, 'udp', '10.96.0.10', 5353)), ['node']);
  }
});

test('rules that somebody flushed come back', { skip }, async () => {
  const ip = await expose('flushed', [POD_B]);
  await output(node.run, ['nft', 'delete', 'table', 'ip', 'tsukube']);
  const rules = async (): Promise<string> => (await node.run(['nft', 'list', 'table', 'ip', 'tsukube'])).stdout;
  await until('the rules are back', async () => (await rules()).includes(ip));
  assert.deepEqual(names(await lab.ask(pods.a!, 'tcp', ip, 80)), ['b']);
});

test('clean-up takes every rule away', { skip }, async () => {
  abort.abort();
  await running;
  assert.match(await output(node.run, ['nft', 'list', 'tables']), /table ip tsukube\n/, 'rules outlive the agent');
  await cleanUpProxy(node.run);
  await cleanUpProxy(node.run);
  assert.equal(await output(node.run, ['nft', 'list', 'tables']), 'table ip tsukube-network\n');
});
