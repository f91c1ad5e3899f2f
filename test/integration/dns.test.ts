// Pods resolve names at their own node's DNS server, with a client that is not ours.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { dnsService } from '../../src/dns/dns.ts';
import { hostCommands, output, type RunCommand, succeeds } from '../../src/network/command.ts';
import { PlainInformers } from '../../src/network/test-informers.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { ServiceProxy } from '../../src/proxy/proxy.ts';
import { canRunNetLab, NetLab } from './net-lab.ts';

const DNS = '10.96.0.10';
const hasBusybox = await succeeds(hostCommands, ['sh', '-c', 'command -v busybox']);
const skip = (await canRunNetLab()) || (hasBusybox ? false : 'needs busybox');

let lab: NetLab;
let pod: RunCommand;
let host: RunCommand;
const abort = new AbortController();
let proxying: Promise<void> | undefined;

before(async () => {
  if (skip) return;
  lab = await NetLab.open();
  const [node, one, outside] = [await lab.namespace('dn'), await lab.namespace('dp'), await lab.namespace('do')];
  [host, pod] = [node.run, one.run];
  await lab.cable(
    { ns: one.name, device: 'eth0', address: '10.244.0.2/24' },
    { ns: node.name, device: 'pod', address: '10.244.0.1/24' },
  );
  await lab.cable(
    { ns: node.name, device: 'eth0', address: '192.0.2.1/24' },
    { ns: outside.name, device: 'eth0', address: '192.0.2.53/24' },
  );
  await output(pod, ['ip', 'route', 'add', 'default', 'via', '10.244.0.1']);
  await output(host, ['ip', 'route', 'add', 'default', 'via', '192.0.2.53']);
  // Any DNS server will do as the one outside: ours, with another zone.
  const script = join(import.meta.dirname, 'net-dns.ts');
  await lab.process(outside.path, [script, '192.0.2.53', 'example.org']);
  await lab.process(node.path, [script, DNS, 'cluster.local', '192.0.2.53']);
  // The proxy leaves the address to the node, and drops no packet for it.
  const informers = new PlainInformers();
  informers.put('services', dnsService(DNS));
  const proxy = new ServiceProxy({
    informers,
    env: realEnvironment('warn'),
    run: host,
    nodeName: 'node',
    podRanges: ['10.244.0.0/16'],
    serviceRanges: ['10.96.0.0/12'],
  });
  proxying = proxy.run(abort.signal);
  await proxy.firstSync;
});

after(async () => {
  abort.abort();
  await proxying;
  await lab?.close();
});

const lookUp = (run: RunCommand, ...args: string[]): ReturnType<RunCommand> =>
  run(['busybox', 'nslookup', ...args, DNS]);

test('a pod, and the node itself, resolve names of the cluster', { skip }, async () => {
  for (const run of [pod, host]) {
    const { stdout } = await lookUp(run, 'web.default.svc.cluster.local');
    assert.match(stdout, /Name:\s+web\.default\.svc\.cluster\.local\s+Address: 10\.96\.0\.7/);
  }
  assert.match(
    (await lookUp(pod, '-type=srv', '_http._tcp.web.default.svc.cluster.local')).stdout,
    /service = 0 100 80 web/,
  );
  assert.match((await lookUp(pod, 'kube-dns.kube-system.svc.cluster.local')).stdout, /Address: 10\.96\.0\.10/);
});

test('addresses have names, and names that are not there do not', { skip }, async () => {
  assert.match((await lookUp(pod, '10.96.0.7')).stdout, /name = web\.default\.svc\.cluster\.local/);
  const none = await lookUp(pod, 'nothing.default.svc.cluster.local');
  assert.match(none.stdout + none.stderr, /NXDOMAIN/);
});

test('a name outside is asked of the resolver outside', { skip }, async () => {
  const known = await lookUp(pod, 'web.default.svc.example.org');
  assert.match(known.stdout, /Name:\s+web\.default\.svc\.example\.org\s+Address: 10\.96\.0\.7/);
  assert.match((await lookUp(pod, 'nothing.example.org')).stdout, /NXDOMAIN/);
  assert.match((await lookUp(pod, 'example.com')).stdout, /SERVFAIL/);
});
