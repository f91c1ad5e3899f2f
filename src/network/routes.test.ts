import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Node } from '../api/generated/types.ts';
import { decideRoutes, type KernelState, type PeerRoute, peerRoutes, type RoutePlan, vxlanMac } from './routes.ts';

function node(name: string, podCIDR: string | undefined, address: string | undefined): Node {
  const addresses = [{ type: 'Hostname', address: name }, ...(address ? [{ type: 'InternalIP', address }] : [])];
  return { metadata: { name }, spec: podCIDR ? { podCIDR, podCIDRs: [podCIDR] } : {}, status: { addresses } };
}

const EMPTY: KernelState = { routes: [], neighbours: [], forwarding: [] };
const HOST = { nodeName: 'a', mode: 'host', vxlanDevice: 'vx' } as const;
const VXLAN = { ...HOST, mode: 'vxlan' } as const;

test('every other node that has a range and an address is a peer', () => {
  const nodes = [
    node('c', '10.244.2.0/24', '192.0.2.3'),
    node('a', '10.244.0.0/24', '192.0.2.1'),
    node('b', '10.244.1.7/24', '192.0.2.2'),
    node('d', undefined, '192.0.2.4'),
    node('e', '10.244.4.0/24', undefined),
    node('f', 'fd00::/64', '192.0.2.5'),
  ];
  assert.deepEqual(peerRoutes(nodes, 'a'), [
    { podCidr: '10.244.1.0/24', nodeAddress: '192.0.2.2' },
    { podCidr: '10.244.2.0/24', nodeAddress: '192.0.2.3' },
  ]);
});

test('a host route for each peer, and none for nodes that are gone', () => {
  const peers = [
    { podCidr: '10.244.1.0/24', nodeAddress: '192.0.2.2' },
    { podCidr: '10.244.2.0/24', nodeAddress: '192.0.2.3' },
  ];
  const routes = [
    { destination: '10.244.1.0/24', gateway: '192.0.2.2' },
    { destination: '10.244.2.0/24', gateway: '192.0.2.9' },
    { destination: '10.244.9.0/24', gateway: '192.0.2.9' },
  ];
  assert.deepEqual(decideRoutes(peers, { ...EMPTY, routes }, HOST), {
    ip: ['route del 10.244.9.0/24 proto 142', 'route replace 10.244.2.0/24 via 192.0.2.3 proto 142'],
    bridge: [],
  });
});

test('through VXLAN each peer has a route, a neighbour and an entry for where its packets go', () => {
  const peers = [{ podCidr: '10.244.1.0/24', nodeAddress: '192.0.2.2' }];
  const mac = vxlanMac('192.0.2.2');
  assert.equal(mac, '0e:54:c0:00:02:02');
  assert.deepEqual(decideRoutes(peers, EMPTY, VXLAN), {
    ip: [
      `neigh replace 10.244.1.0 lladdr ${mac} dev vx nud permanent`,
      'route replace 10.244.1.0/24 via 10.244.1.0 dev vx onlink proto 142',
    ],
    bridge: [`fdb append ${mac} dev vx dst 192.0.2.2 self permanent`],
  });
});

/** What the kernel has after the commands of a plan, run as `ip` and `bridge` run them. */
function run(plan: RoutePlan, kernel: KernelState): KernelState {
  const routes = new Map(kernel.routes.map((route) => [route.destination, route]));
  const neighbours = new Map(kernel.neighbours.map((line) => line.split(' ') as [string, string]));
  const forwarding = new Set(kernel.forwarding);
  for (const words of plan.bridge.map((line) => line.split(' '))) {
    const entry = `${words[2]} ${words[6]}`;
    if (words[1] === 'append') forwarding.add(entry);
    else assert.ok(forwarding.delete(entry), 'deletes an entry that is there');
  }
  for (const words of plan.ip.map((line) => line.split(' '))) {
    const after = (word: string): string => words[words.indexOf(word) + 1]!;
    const verb = `${words[0]} ${words[1]}`;
    if (verb === 'route del') assert.ok(routes.delete(words[2]!), 'deletes a route that is there');
    if (verb === 'neigh del') assert.ok(neighbours.delete(words[2]!), 'deletes a neighbour that is there');
    if (verb === 'neigh replace') neighbours.set(words[2]!, after('lladdr'));
    if (verb === 'route replace') {
      const device = words.includes('dev') ? after('dev') : undefined;
      routes.set(words[2]!, { destination: words[2]!, gateway: after('via'), device });
    }
  }
  const sorted = <T>(all: Iterable<T>): T[] =>
    [...all].sort((a, b) => (JSON.stringify(a) > JSON.stringify(b) ? 1 : -1));
  const pairs = [...neighbours].map(([address, mac]) => `${address} ${mac}`);
  return { routes: sorted(routes.values()), neighbours: sorted(pairs), forwarding: sorted(forwarding) };
}

const peerSets = fc.uniqueArray(
  fc
    .record({ range: fc.nat(5), host: fc.nat(5) })
    .map(({ range, host }): PeerRoute => ({ podCidr: `10.244.${range}.0/24`, nodeAddress: `192.0.2.${host + 1}` })),
  { maxLength: 5, selector: (peer) => peer.podCidr },
);

for (const options of [HOST, VXLAN]) {
  test(`after any changes the kernel has the last peers only (${options.mode})`, () => {
    fc.assert(
      fc.property(fc.array(peerSets, { minLength: 1, maxLength: 5 }), (sequence) => {
        let kernel = EMPTY;
        for (const peers of sequence) kernel = run(decideRoutes(peers, kernel, options), kernel);
        const last = sequence.at(-1)!;
        assert.deepEqual(kernel, run(decideRoutes(last, EMPTY, options), EMPTY));
        assert.deepEqual(decideRoutes(last, kernel, options), { ip: [], bridge: [] });
      }),
    );
  });
}
