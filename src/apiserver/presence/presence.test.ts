import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Registry } from 'prom-client';
import type { EndpointSlice, Endpoints, Lease } from '../../api/generated/types.ts';
import type { Environment } from '../../lib/environment.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { bootstrap } from '../bootstrap/bootstrap.ts';
import { secondRegistry, type TestRegistry, testRegistry } from '../registry/test-registry.ts';
import { identityName } from './identity-lease.ts';
import { keepPresence, type Presence } from './presence.ts';

const TIMINGS = {
  identityLeaseDurationSeconds: 60,
  identityRenewMs: 10_000,
  identitySweepMs: 60_000,
  masterLeaseSeconds: 15,
  masterRenewMs: 10_000,
};
const INPUTS = { port: 6443, serviceIP: '10.96.0.1', serviceCIDR: '10.96.0.0/16', clientCA: 'c', rootCA: 'r' };

describe('the presence of API servers', () => {
  let first: TestRegistry;
  let second: TestRegistry;
  const stops: AbortController[] = [];
  const ends: Promise<void>[] = [];

  beforeEach(async () => {
    first = await testRegistry();
    second = await secondRegistry(first);
    await bootstrap(first.api, first.tables, first.ctx(), INPUTS);
  });
  afterEach(async () => {
    for (const stop of stops.splice(0)) stop.abort(new Error('the test is over'));
    await Promise.all(ends.splice(0));
    await second.close();
    await first.close();
  });

  async function join(on: TestRegistry, n: number): Promise<{ presence: Presence; kill: () => void }> {
    const random = seededRandom(n);
    const env: Environment = { clock: on.clock, random, log: silentLog, metrics: new Registry() };
    const stop = new AbortController();
    stops.push(stop);
    const { store, api, tables } = on;
    const own = { hostname: `host-${n}`, address: `10.0.0.${n}`, port: 6443 };
    const context = (signal: AbortSignal) => on.ctx(undefined, signal);
    const presence = await keepPresence({ ...TIMINGS, ...own, store, api, tables, env, context }, stop.signal);
    ends.push(presence.ended);
    await on.clock.advance(0);
    return { presence, kill: () => stop.abort(new Error('killed')) };
  }
  async function published(): Promise<string[]> {
    const endpoints = (await first.get('endpoints', 'kubernetes', 'default')) as Endpoints;
    const slice = (await first.get('endpointslices.discovery.k8s.io', 'kubernetes', 'default')) as EndpointSlice;
    const inSlice = (slice.endpoints ?? []).flatMap((one) => one.addresses);
    assert.deepEqual(
      (endpoints.subsets?.[0]?.addresses ?? []).map((one) => one.ip),
      inSlice,
      'Endpoints and EndpointSlice say the same',
    );
    return inSlice;
  }
  const lease = async (n: number): Promise<Lease> =>
    (await first.get('leases.coordination.k8s.io', identityName(`host-${n}`), 'kube-system')) as Lease;

  it('endpoints follow the servers that live: one that joins is there at once, a dead one goes when its entry runs out', async () => {
    const one = await join(first, 1);
    assert.deepEqual(await published(), ['10.0.0.1']);
    await join(second, 2);
    assert.deepEqual(await published(), ['10.0.0.1', '10.0.0.2'], 'the first is not put out by the second');
    await first.clock.advance(60_000);
    assert.deepEqual(await published(), ['10.0.0.1', '10.0.0.2']);
    one.kill();
    await first.clock.advance(4_000);
    assert.deepEqual(await published(), ['10.0.0.1', '10.0.0.2'], 'its entry still holds');
    await first.clock.advance(TIMINGS.masterLeaseSeconds * 1000 + TIMINGS.masterRenewMs);
    assert.deepEqual(await published(), ['10.0.0.2']);
  });

  it('a server that leaves is out of the endpoints at once, and does not come back', async () => {
    const one = await join(first, 1);
    const two = await join(second, 2);
    await one.presence.leave();
    assert.deepEqual(await published(), ['10.0.0.2']);
    await first.clock.advance(60_000);
    assert.deepEqual(await published(), ['10.0.0.2']);
    await two.presence.leave();
    assert.deepEqual(await published(), []);
  });

  it('each server has a Lease of upstream’s name and label; one that nobody renews is swept after its duration', async () => {
    // Of kubernetes/kubernetes: sha256 of the host name, its first 16 bytes in base32.
    assert.match(identityName('host-1'), /^apiserver-[a-z2-7]{26}$/);
    const one = await join(first, 1);
    await join(second, 2);
    const { metadata, spec } = await lease(1);
    assert.deepEqual(metadata.labels, {
      'apiserver.kubernetes.io/identity': 'kube-apiserver',
      'kubernetes.io/hostname': 'host-1',
    });
    assert.equal(spec.leaseDurationSeconds, 60);
    assert.ok(spec.holderIdentity?.startsWith(`${metadata.name}_`));
    await first.clock.advance(10_000);
    assert.notEqual((await lease(1)).spec.renewTime, spec.renewTime);
    one.kill();
    await first.clock.advance(50_000);
    assert.ok(await lease(1), 'not before it has run out');
    await first.clock.advance(130_000);
    await assert.rejects(lease(1), /not found/);
    assert.ok(await lease(2));
  });
});
