import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { Registry } from 'prom-client';
import type { Node } from '../api/generated/types.ts';
import { FakeClock, settle } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import type { IpFamily } from '../network/address.ts';
import type { CommandResult } from '../network/command.ts';
import { PlainInformers } from '../network/test-informers.ts';
import { healthAnswer } from './health.ts';
import { localEndpointCount } from './health-check-ports.ts';
import { cleanUpProxy, ServiceProxy } from './proxy.ts';
import { endpoint, NOT_READY, POD_RANGE, service, slice } from './test-objects.ts';

const SLICES = 'endpointslices.discovery.k8s.io';

/** A proxy whose commands are recorded, and answered by `answer`. */
class Bench {
  readonly clock = new FakeClock();
  readonly informers = new PlainInformers();
  readonly metrics = new Registry();
  readonly abort = new AbortController();
  readonly commands: { argv: string; stdin: string }[] = [];
  answer: (argv: string) => Partial<CommandResult> = () => ({});
  #said(argv: string): Partial<CommandResult> {
    return argv === 'nft list tables ip' ? { stdout: 'table ip tsukube\n', ...this.answer(argv) } : this.answer(argv);
  }
  readonly proxy: ServiceProxy;

  constructor(families: readonly IpFamily[] = ['IPv4']) {
    this.proxy = this.#proxy(families);
  }

  #proxy = (families: readonly IpFamily[]): ServiceProxy =>
    new ServiceProxy({
      families,
      informers: this.informers,
      env: { clock: this.clock, random: seededRandom(1), log: silentLog, metrics: this.metrics },
      run: async (argv, options) => {
        this.commands.push({ argv: argv.join(' '), stdin: options?.stdin ?? '' });
        return { code: 0, stdout: '', stderr: '', ...this.#said(argv.join(' ')) };
      },
      nodeName: 'node-a',
      podRanges: [POD_RANGE],
      serviceRanges: ['10.96.0.0/12'],
    });
  done: Promise<void> = Promise.resolve();

  async start(): Promise<void> {
    this.done = this.proxy.run(this.abort.signal);
    await settle();
  }

  /** The transactions since the last call. */
  transactions(): string[] {
    const all = this.commands.splice(0).filter((command) => command.argv === 'nft -f -');
    return all.map((command) => command.stdin);
  }

  async end(): Promise<void> {
    this.abort.abort();
    await this.done;
    assert.equal(this.clock.pending, 0, 'a timer was left');
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
after(() => bench.abort.abort());

const web = service('web', '10.96.0.1');

test('the first transaction replaces the table, and has every service', async () => {
  bench.informers.put('services', web, service('other', '10.96.0.2'));
  bench.informers.put(SLICES, slice('web', [endpoint('10.244.0.1')]));
  await bench.start();
  await bench.proxy.firstSync;
  const [first, ...more] = bench.transactions();
  assert.deepEqual(more, []);
  assert.match(first!, /^add table ip tsukube\ndelete table ip tsukube\n/);
  assert.match(first!, /dnat to 10\.244\.0\.1:8080/);
  assert.match(first!, /no-endpoint-services \{ 10\.96\.0\.2 \. tcp \. 80 : goto reject-service \}/);
  await bench.end();
});

test('a change is applied at once when idle, as a difference; those that follow go together into the next', async () => {
  bench.informers.put('services', web);
  await bench.start();
  bench.transactions();
  await bench.clock.advance(1000);
  bench.informers.put(SLICES, slice('web', [endpoint('10.244.0.1')]));
  await settle();
  const [difference] = bench.transactions();
  assert.match(difference!, /^add chain ip tsukube endpoint-/);
  assert.doesNotMatch(difference!, /delete table/);
  for (let host = 2; host < 9; host++) bench.informers.put(SLICES, slice('web', [endpoint(`10.244.0.${host}`)]));
  await settle();
  assert.deepEqual(bench.transactions(), []);
  await bench.clock.advance(50);
  const batch = bench.transactions();
  assert.equal(batch.length, 1);
  assert.match(batch[0]!, /dnat to 10\.244\.0\.8:8080/);
  assert.doesNotMatch(batch[0]!, /dnat to 10\.244\.0\.7:8080/);
  await bench.end();
});

test('what changes no rule costs no command', async () => {
  bench.informers.put('services', web);
  bench.informers.put(SLICES, slice('web', [endpoint('10.244.0.1')]));
  await bench.start();
  await bench.clock.advance(1000);
  bench.transactions();
  bench.informers.put(SLICES, slice('web', [endpoint('10.244.0.1'), endpoint('10.244.0.2', NOT_READY)]));
  bench.informers.put('services', { ...web, metadata: { ...web.metadata, labels: { a: 'b' } } });
  await bench.clock.advance(1000);
  assert.deepEqual(bench.transactions(), []);
  await bench.end();
});

test('after a failure the whole table is replaced, later and later, and the proxy becomes unhealthy', async () => {
  bench.informers.put('services', web);
  await bench.start();
  await bench.clock.advance(1000);
  bench.transactions();
  bench.answer = (argv) => (argv === 'nft -f -' ? { code: 1, stderr: 'Device or resource busy' } : {});
  bench.informers.put(SLICES, slice('web', [endpoint('10.244.0.1')]));
  await bench.clock.advance(59_000);
  const tries = bench.transactions();
  assert.ok(tries.length > 4 && 15 > tries.length, `${tries.length} tries in a minute`);
  assert.match(tries[1]!, /^add table/);
  assert.equal(bench.proxy.health().healthy, true);
  await bench.clock.advance(2000);
  assert.equal(bench.proxy.health().healthy, false);
  bench.answer = () => ({});
  await bench.clock.advance(40_000);
  assert.equal(bench.proxy.health().healthy, true);
  assert.match(bench.transactions().at(-1)!, /dnat to 10\.244\.0\.1:8080/);
  const failures = await bench.metrics
    .getSingleMetric('kubeproxy_sync_proxy_rules_nftables_sync_failures_total')!
    .get();
  assert.ok(failures.values[0]!.value > 4);
  await bench.end();
});

test('rules that another program took away are put back', async () => {
  bench.informers.put('services', web);
  await bench.start();
  bench.transactions();
  bench.answer = (argv) => (argv.startsWith('nft list tables') ? { stdout: 'table ip other\n' } : {});
  await bench.clock.advance(30_100);
  assert.match(bench.transactions()[0]!, /^add table ip tsukube\n/);
  await bench.end();
});

test('a service that is gone takes its rules and its UDP flows with it', async () => {
  const ports = [{ name: 'web', port: 53, protocol: 'UDP' as const }];
  const dns = service('names', '10.96.0.53', { ports });
  const endpoints = slice('names', [endpoint('10.244.0.1')], [{ name: 'web', port: 5353, protocol: 'UDP' }]);
  bench.informers.put('services', dns);
  bench.informers.put(SLICES, endpoints);
  await bench.start();
  await bench.clock.advance(1000);
  bench.commands.length = 0;
  bench.informers.remove('services', dns);
  await bench.clock.advance(1000);
  assert.deepEqual(
    bench.commands.map((command) => command.argv),
    ['nft -f -', 'conntrack -D -f ipv4 -p udp --orig-port-dst 53 --orig-dst 10.96.0.53 --reply-src 10.244.0.1'],
  );
  assert.match(bench.commands[0]!.stdin, /delete element ip tsukube service-ips \{ 10\.96\.0\.53 \. udp \. 53 \}/);
  await bench.end();
});

test('a node that is going away fails /healthz but not /livez', async () => {
  await bench.start();
  const node: Node = { metadata: { name: 'node-a', uid: 'n' }, spec: {} };
  bench.informers.put('nodes', node);
  const codes = (): number[] => ['/healthz', '/livez'].map((path) => healthAnswer(path, bench.proxy.health()).code);
  assert.deepEqual(codes(), [200, 200]);
  const taints = [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' as const }];
  bench.informers.put('nodes', { ...node, spec: { taints } });
  assert.deepEqual(codes(), [503, 200]);
  await bench.end();
});

test("a node's new zone changes the choice of endpoints", async () => {
  const hinted = (address: string, zone: string) => endpoint(address, { hints: { forZones: [{ name: zone }] } });
  bench.informers.put('services', web);
  bench.informers.put(SLICES, slice('web', [hinted('10.244.0.1', 'z1'), hinted('10.244.0.2', 'z2')]));
  await bench.start();
  await bench.clock.advance(1000);
  bench.transactions();
  const labels = { 'topology.kubernetes.io/zone': 'z2' };
  bench.informers.put('nodes', { metadata: { name: 'node-a', uid: 'n', labels }, spec: {} });
  await bench.clock.advance(1000);
  const [difference] = bench.transactions();
  assert.match(difference!, /delete chain ip tsukube endpoint-\S+__10\.244\.0\.1\/8080/);
  await bench.end();
});

test('ready endpoints of this node are counted by address for load balancers', () => {
  const here = { nodeName: 'node-a' };
  const slices = [slice('web', [endpoint('10.244.0.1', here), endpoint('10.244.0.2', { ...here, ...NOT_READY })])];
  assert.equal(localEndpointCount([...slices, ...slices], 'node-a'), 1);
  assert.equal(localEndpointCount(slices, 'node-b'), 0);
});

test('clean-up removes the tables of both families, also where there are none', async () => {
  let said = '';
  await cleanUpProxy(async (_argv, options) => {
    said = options?.stdin ?? '';
    return { code: 0, stdout: '', stderr: '' };
  });
  assert.equal(
    said,
    'add table ip tsukube\ndelete table ip tsukube\nadd table ip6 tsukube\ndelete table ip6 tsukube\n',
  );
});

test('an endpoint slice whose time of change is no time disturbs nothing', async () => {
  bench.informers.put('services', web);
  const odd = slice('web', [endpoint('10.244.0.1')]);
  const annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': 'garbage' };
  bench.informers.put(SLICES, { ...odd, metadata: { ...odd.metadata, annotations } });
  await bench.start();
  assert.equal(bench.transactions().length, 1);
  await bench.clock.advance(5000);
  assert.equal(bench.transactions().length, 0, 'no sync failed and was tried again');
  assert.equal(bench.proxy.health().healthy, true);
  await bench.end();
});

test('what one family failed at does not keep its changes from the other', async () => {
  bench = new Bench(['IPv4', 'IPv6']);
  await bench.start();
  await bench.clock.advance(1000);
  bench.transactions();
  let failures = 0;
  bench.answer = (argv) => (argv === 'nft -f -' && failures++ === 0 ? { code: 1, stderr: 'busy' } : {});
  bench.informers.put('services', service('six', 'fd00::1'), web);
  await bench.clock.advance(60_000);
  assert.match(bench.transactions().join(''), /no-endpoint-services \{ fd00::1 /);
  assert.ok(failures > 1);
  await bench.end();
});
