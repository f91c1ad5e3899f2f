import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EndpointSlice, Pod, Service } from '../api/generated/types.ts';
import { decideSlices, MAX_ENDPOINTS } from './endpoint-slice.ts';
import { decideSubsets } from './endpoints.ts';
import { offersOf } from './service-endpoints.ts';

const service: Service = {
  metadata: { name: 'web', namespace: 'default', uid: 's', labels: { team: 'a' } },
  spec: {
    clusterIP: '10.96.0.7',
    selector: { app: 'web' },
    ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
  },
};

function podOf(
  index: number,
  { ready = true, port = 8080, deleting = false, phase = 'Running', hostname = '' } = {},
): Pod {
  return {
    kind: 'Pod',
    metadata: {
      name: `web-${String(index).padStart(4, '0')}`,
      namespace: 'default',
      uid: `uid-${index}`,
      labels: { app: 'web' },
      ...(deleting && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    spec: {
      nodeName: 'n1',
      ...(hostname && { hostname, subdomain: 'web' }),
      containers: [{ name: 'c', image: 'i', ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }] }],
    },
    status: {
      phase: phase as 'Running',
      podIP: `10.244.${index >> 8}.${index & 255}`,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

const node = { metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': 'z' } }, spec: {} };

/** Applies decisions as the API would, naming new slices. */
class Slices {
  all: EndpointSlice[] = [];
  #serial = 0;

  apply(pods: readonly Pod[], of: Service = service): { writes: number } {
    const decision = decideSlices({ service: of, pods, nodeOf: () => node, slices: this.all });
    this.all = this.all.filter((slice) => !decision.remove.includes(slice));
    for (const changed of decision.update) {
      this.all = this.all.map((slice) => (slice.metadata.name === changed.metadata.name ? changed : slice));
    }
    for (const made of decision.create) {
      this.all.push({ ...made, metadata: { ...made.metadata, name: `web-${this.#serial++}` } });
    }
    return { writes: decision.create.length + decision.update.length + decision.remove.length };
  }

  get addresses(): string[] {
    return this.all.flatMap((slice) => (slice.endpoints ?? []).flatMap((e) => e.addresses)).sort();
  }
}

test('slices hold every pod once, whatever came and went, and a second look changes nothing', () => {
  const step = fc.array(fc.record({ index: fc.nat(350), port: fc.constantFrom(80, 8080), ready: fc.boolean() }), {
    maxLength: 350,
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 4 }), (steps) => {
      const slices = new Slices();
      for (const wanted of steps) {
        const pods = [...new Map(wanted.map((w) => [w.index, podOf(w.index, w)])).values()];
        slices.apply(pods);
        assert.deepEqual(slices.addresses, pods.map((p) => p.status!.podIP!).sort());
        assert.ok(slices.all.length >= 1);
        assert.ok(slices.all.every((slice) => (slice.endpoints?.length ?? 0) <= MAX_ENDPOINTS));
        assert.equal(slices.apply(pods).writes, 0);
      }
    }),
    { numRuns: 30 },
  );
});

test('one pod that changes touches one slice', () => {
  const slices = new Slices();
  const pods = Array.from({ length: 250 }, (_, i) => podOf(i));
  slices.apply(pods);
  assert.equal(slices.all.length, 3);
  assert.equal(slices.apply(pods.with(120, podOf(120, { ready: false }))).writes, 1);
});

test('an endpoint says ready, serving, terminating, node, zone and pod', () => {
  const slices = new Slices();
  slices.apply([podOf(1, { deleting: true, hostname: 'a' }), podOf(2, { phase: 'Failed' })]);
  assert.deepEqual(slices.all[0]?.endpoints, [
    {
      addresses: ['10.244.0.1'],
      conditions: { ready: false, serving: true, terminating: true },
      hostname: 'a',
      targetRef: { kind: 'Pod', namespace: 'default', name: 'web-0001', uid: 'uid-1' },
      nodeName: 'n1',
      zone: 'z',
    },
  ]);
  assert.deepEqual(slices.all[0]?.metadata.labels, {
    team: 'a',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
});

test('a service without pods keeps one empty slice', () => {
  const slices = new Slices();
  slices.apply([]);
  assert.equal(slices.all.length, 1);
  assert.deepEqual(slices.all[0]?.endpoints, []);
  slices.apply([podOf(1)]);
  slices.apply([]);
  assert.equal(slices.all.length, 1);
  assert.deepEqual(slices.addresses, []);
});

test('Endpoints: ready and not ready by ports; pods that are going are left out', () => {
  const pods = [podOf(1), podOf(2, { ready: false }), podOf(3, { deleting: true }), podOf(4, { port: 81 })];
  const subsets = decideSubsets(service, offersOf(service, pods));
  const short = subsets.map((s) => [
    s.addresses?.map((a) => a.ip),
    s.notReadyAddresses?.map((a) => a.ip),
    s.ports?.[0]?.port,
  ]);
  assert.deepEqual(short, [
    [['10.244.0.1'], ['10.244.0.2'], 8080],
    [['10.244.0.4'], undefined, 81],
  ]);
});

test('publishNotReadyAddresses makes every address ready', () => {
  const all: Service = { ...service, spec: { ...service.spec, publishNotReadyAddresses: true } };
  const offers = offersOf(all, [podOf(1, { ready: false }), podOf(2, { deleting: true })]);
  assert.deepEqual(
    offers.map((o) => o.ready),
    [true, true],
  );
  assert.equal(decideSubsets(all, offers)[0]?.addresses?.length, 2);
});
