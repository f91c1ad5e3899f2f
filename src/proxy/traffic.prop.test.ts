// Packets sent through the rules, against what the Service's fields say in plain words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint, ServiceSpec } from '../api/generated/types.ts';
import { rangeContains } from '../network/address.ts';
import { compileService } from './compile.ts';
import type { Fragment, Match, Verdict, VerdictMap } from './rules.ts';
import { endpoint, NODE, NOT_READY, POD_RANGE, service, slice, TERMINATING } from './test-objects.ts';

interface Packet {
  readonly source: string;
  readonly fromThisNode: boolean;
  /** An address of a Service, or "node" for this node's own with the node port. */
  readonly to: string;
}

interface Outcome {
  /** Where it may end: addresses, "reject", "drop", or "untouched". */
  readonly ends: readonly string[];
  readonly masqueraded: boolean;
}

const POD = '10.244.7.7';
const OUTSIDE = '198.51.100.9';
const NODE_ADDRESS = '192.0.2.10';

/** A packet's way: the verdict maps, then the chains, then, when nothing translated it, the filter behind. */
function send(fragment: Fragment, packet: Packet): Outcome {
  const look = (service: VerdictMap, node: VerdictMap): Verdict | undefined => {
    const key = packet.to === 'node' ? 'tcp . 30080' : `${packet.to} . tcp . 80`;
    return fragment.claims.find((claim) => claim.key === key)?.verdicts.get(packet.to === 'node' ? node : service);
  };
  const firewall = look('firewall-ips', 'firewall-ips');
  if (typeof firewall === 'object' && walk(fragment, firewall.goto, packet).ends.includes('drop')) {
    return { ends: ['drop'], masqueraded: false };
  }
  const translated = look('service-ips', 'service-nodeports');
  const outcome =
    typeof translated === 'object'
      ? walk(fragment, translated.goto, packet)
      : { ends: ['untouched'], masqueraded: false };
  if (!outcome.ends.includes('untouched')) return outcome;
  const refused = look('no-endpoint-services', 'no-endpoint-nodeports');
  return { ends: [typeof refused === 'string' ? refused : 'untouched'], masqueraded: false };
}

function walk(fragment: Fragment, chain: string, packet: Packet): Outcome {
  let masqueraded = false;
  for (const { when, action } of fragment.chains.get(chain)!) {
    if (!when.every((match) => matches(match, packet))) continue;
    switch (action.do) {
      case 'markForMasquerade':
        masqueraded = true;
        break;
      case 'goto': {
        const outcome = walk(fragment, action.chain, packet);
        return { ...outcome, masqueraded: masqueraded || outcome.masqueraded };
      }
      case 'spread': {
        const outcomes = action.chains.map((next) => walk(fragment, next, packet));
        const marked = outcomes.some((outcome) => outcome.masqueraded);
        return { ends: outcomes.flatMap((outcome) => outcome.ends).sort(), masqueraded: masqueraded || marked };
      }
      case 'dnat':
        return { ends: [`${action.address}:${action.port}`], masqueraded };
      case 'drop':
        return { ends: ['drop'], masqueraded };
    }
  }
  return { ends: ['untouched'], masqueraded };
}

function matches(match: Match, packet: Packet): boolean {
  const within = (ranges: readonly string[]): boolean =>
    ranges.some((range) => (range.includes('/') ? rangeContains(range, packet.source) : range === packet.source));
  switch (match.match) {
    case 'source':
      return within(match.ranges);
    case 'sourceOutside':
      return !within(match.ranges);
    case 'sourceIsLocal':
      return packet.fromThisNode;
    case 'destination':
      return packet.to === match.address;
    case 'remembered':
      return false;
  }
}

/** The same in plain words, from the Service's documentation. */
function expected(spec: Partial<ServiceSpec>, endpoints: readonly Endpoint[], packet: Packet): Outcome {
  const isLoadBalancer = packet.to === '203.0.113.2';
  const allowed = spec.loadBalancerSourceRanges ?? [];
  const fromPod = rangeContains(POD_RANGE, packet.source);
  if (isLoadBalancer && allowed.length > 0 && !allowed.some((range) => rangeContains(range, packet.source))) {
    return { ends: ['drop'], masqueraded: false };
  }
  const internal = packet.to === '10.96.0.1';
  const byPolicy = internal ? spec.internalTrafficPolicy : spec.externalTrafficPolicy;
  const onlyLocal = byPolicy === 'Local' && (internal || !(fromPod || packet.fromThisNode));
  const candidates = (all: readonly Endpoint[]): readonly Endpoint[] => {
    const ready = all.filter((e) => e.conditions?.ready);
    return ready.length > 0 ? ready : all.filter((e) => e.conditions?.serving && e.conditions.terminating);
  };
  if (candidates(endpoints).length === 0) return { ends: ['reject'], masqueraded: false };
  const chosen = candidates(onlyLocal ? endpoints.filter((e) => e.nodeName === NODE.name) : endpoints);
  if (chosen.length === 0) return { ends: ['drop'], masqueraded: false };
  const hidesSource = internal ? !fromPod : byPolicy !== 'Local' || (packet.fromThisNode && !fromPod);
  return { ends: [...new Set(chosen.map((e) => `${e.addresses[0]}:8080`))].sort(), masqueraded: hidesSource };
}

const specs: fc.Arbitrary<Partial<ServiceSpec>> = fc.record({
  type: fc.constant('LoadBalancer' as const),
  externalIPs: fc.constant(['203.0.113.1']),
  externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
  internalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
  sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const),
  loadBalancerSourceRanges: fc.constantFrom([], ['198.51.100.0/24'], ['10.244.0.0/16', '192.0.2.0/24']),
  ports: fc.constant([{ name: 'web', port: 80, nodePort: 30080 }]),
});

const endpointLists = fc.uniqueArray(
  fc
    .record({
      host: fc.integer({ min: 1, max: 9 }),
      nodeName: fc.constantFrom(NODE.name, 'node-b'),
      state: fc.constantFrom({}, TERMINATING, NOT_READY),
    })
    .map(({ host, nodeName, state }) => endpoint(`10.244.0.${host}`, { nodeName, ...state })),
  { maxLength: 5, selector: (e) => e.addresses[0] },
);

const packets: fc.Arbitrary<Packet> = fc
  .record({
    to: fc.constantFrom('10.96.0.1', '203.0.113.1', '203.0.113.2', 'node'),
    from: fc.constantFrom(
      { source: POD, fromThisNode: false },
      { source: OUTSIDE, fromThisNode: false },
      { source: NODE_ADDRESS, fromThisNode: true },
    ),
  })
  .map(({ to, from }) => ({ to, ...from }));

test('every packet goes where the policies of its Service say', () => {
  fc.assert(
    fc.property(specs, endpointLists, packets, (spec, endpoints, packet) => {
      const status = { loadBalancer: { ingress: [{ ip: '203.0.113.2' }] } };
      const object = service('web', '10.96.0.1', spec, status);
      const fragment = compileService(object, [slice('web', endpoints)], {
        family: 'IPv4',
        node: NODE,
        podRanges: [POD_RANGE],
      });
      assert.deepEqual(send(fragment, packet), expected(spec, endpoints, packet));
    }),
    { numRuns: 2000 },
  );
});

test('a pod that is sent to itself is masqueraded, so that its answer comes back the same way', () => {
  const fragment = compileService(service('web', '10.96.0.1'), [slice('web', [endpoint(POD)])], {
    family: 'IPv4',
    node: NODE,
    podRanges: [POD_RANGE],
  });
  const outcome = send(fragment, { source: POD, fromThisNode: false, to: '10.96.0.1' });
  assert.deepEqual(outcome, { ends: [`${POD}:8080`], masqueraded: true });
});
