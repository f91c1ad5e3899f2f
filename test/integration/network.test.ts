// Two nodes with pods made by the real CNI plugins: routes between them, the way outside, and clean-up without a trace.
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Node } from '../../src/api/generated/types.ts';
import { until } from '../../src/lib/test-until.ts';
import { hostCommands, output, type RunCommand } from '../../src/network/command.ts';
import { type CleanUpOptions, cleanUpNodeNetwork, setUpNodeNetwork } from '../../src/network/node-network.ts';
import { runRoutes, waitForPodCidr } from '../../src/network/route-controller.ts';
import type { RouteMode } from '../../src/network/routes.ts';
import { PlainInformers } from '../../src/network/test-informers.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { canRunNetLab, NetLab } from './net-lab.ts';

const PLUGINS = '/usr/lib/cni';
const CLUSTER = '10.244.0.0/16';
const OUTSIDE = '192.0.2.99';
const HOST_PORTS = [{ hostPort: 8081, containerPort: 8080, protocol: 'tcp' }];

interface Host {
  readonly name: string;
  readonly path: string;
  readonly run: RunCommand;
  readonly address: string;
  readonly podCidr: string;
  readonly network: CleanUpOptions;
}

const skip = await canRunNetLab();
let lab: NetLab;
let outsidePath: string;
const hosts: Host[] = [];
const informers = new PlainInformers();
const before0 = new Map<string, readonly string[]>();

before(async () => {
  if (skip) return;
  lab = await NetLab.open();
  const [net, outside] = [await lab.namespace('sw'), await lab.namespace('out')];
  await output(net.run, ['ip', 'link', 'add', 'sw0', 'type', 'bridge', 'forward_delay', '0']);
  await output(net.run, ['ip', 'link', 'set', 'sw0', 'up']);
  await output(net.run, ['sh', '-c', 'echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables']);
  const plug = async (name: string, device: string, address: string): Promise<void> => {
    await lab.cable({ ns: name, device: 'eth0', address }, { ns: net.name, device });
    await output(net.run, ['ip', 'link', 'set', device, 'master', 'sw0']);
  };
  await plug(outside.name, 'v0', `${OUTSIDE}/24`);
  outsidePath = outside.path;
  await lab.server(outside.path, 'outside', OUTSIDE, 8080);
  for (const index of [1, 2]) {
    const host = await lab.namespace(`n${index}`);
    await plug(host.name, `v${index}`, `192.0.2.${index}/24`);
    await output(host.run, ['ip', 'route', 'add', 'default', 'via', OUTSIDE]);
    const folder = join(lab.folder, host.name);
    const network = {
      run: host.run,
      confDir: join(folder, 'net.d'),
      ipamDir: join(folder, 'ipam'),
      settingsFile: join(folder, 'settings.json'),
      cniCacheDir: join(folder, 'cni'),
      dnsAddress: '10.96.0.10',
      clusterCidrs: [CLUSTER],
    };
    const podCidr = `10.244.${index}.0/24`;
    hosts.push({ ...host, name: `node-${index}`, address: `192.0.2.${index}`, podCidr, network });
    before0.set(host.path, await traces(host.run));
  }
});

after(async () => {
  await lab?.close();
});

/** What a node's network could leave behind. */
async function traces(run: RunCommand): Promise<readonly string[]> {
  const commands = [
    'ip -o link show',
    'ip -4 -o address show',
    'ip -4 route show table all',
    'ip neigh show nud permanent',
    'nft list ruleset',
    'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables',
    'cat /proc/sys/net/ipv4/conf/all/rp_filter',
  ];
  const found: string[] = [];
  for (const command of commands) found.push((await output(run, command.split(' '))).replace(/ lft .*/g, ''));
  return found;
}

function nodeObject(host: Host): Node {
  const addresses = [{ type: 'InternalIP', address: host.address }];
  return {
    metadata: { name: host.name, uid: host.name },
    spec: { podCIDR: host.podCidr, podCIDRs: [host.podCidr] },
    status: { addresses },
  };
}

/** Runs a chain of plugins as containerd does. */
async function cni(
  host: Host,
  command: 'ADD' | 'DEL',
  netns: string,
  id: string,
  ports: readonly object[],
): Promise<string> {
  const { name, cniVersion, plugins } = JSON.parse(
    await readFile(join(host.network.confDir, '10-tsukube.conflist'), 'utf8'),
  );
  let prevResult: { ips?: { address: string }[] } | undefined;
  const cache = join(host.network.cniCacheDir!, 'results', `${name}-${id}-eth0`);
  if (command === 'DEL') prevResult = JSON.parse(await readFile(cache, 'utf8'));
  for (const plugin of command === 'ADD' ? plugins : plugins.toReversed()) {
    const stdin = JSON.stringify({ ...plugin, name, cniVersion, prevResult, runtimeConfig: { portMappings: ports } });
    const env = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${id}`,
      `CNI_NETNS=${netns}`,
      'CNI_IFNAME=eth0',
      `CNI_PATH=${PLUGINS}`,
    ];
    const said = await output(host.run, ['env', ...env, join(PLUGINS, plugin.type)], { stdin });
    if (command === 'ADD') prevResult = JSON.parse(said);
  }
  await mkdir(join(host.network.cniCacheDir!, 'results'), { recursive: true });
  await writeFile(cache, JSON.stringify(prevResult));
  return prevResult?.ips?.[0]?.address.split('/')[0] ?? '';
}

for (const mode of ['host', 'vxlan'] as const satisfies readonly RouteMode[]) {
  test(`pods of two nodes reach each other and the world, and nothing is left afterwards (${mode})`, {
    skip,
  }, async () => {
    const abort = new AbortController();
    const running: Promise<void>[] = [];
    const pods: { host: Host; path: string; address: string }[] = [];
    try {
      for (const host of hosts) {
        informers.put('nodes', nodeObject(host));
        const podCidr = await waitForPodCidr(informers, host.name, abort.signal);
        for (let times = 0; 2 > times; times++) await setUpNodeNetwork({ ...host.network, podCidr, mode });
        running.push(
          runRoutes(
            { informers, env: realEnvironment('warn'), run: host.run, nodeName: host.name, mode },
            abort.signal,
          ),
        );
        const pod = await lab.namespace(`${mode[0]}${host.name.slice(-1)}`);
        const address = await cni(host, 'ADD', pod.path, `${mode}${host.name}`, HOST_PORTS);
        await lab.server(pod.path, host.name, address, 8080);
        pods.push({ host, path: pod.path, address });
      }
      for (const host of hosts) {
        await until(
          'the route is there',
          async () => (await output(host.run, ['ip', 'route', 'show', 'proto', '142'])) !== '',
        );
      }
      const [one, two] = [pods[0]!, pods[1]!];
      assert.match(one.address, /^10\.244\.1\./);
      assert.deepEqual(await lab.ask(one.path, 'tcp', two.address, 8080), [{ from: 'node-2', source: one.address }]);
      assert.deepEqual(await lab.ask(two.path, 'tcp', one.address, 8080), [{ from: 'node-1', source: two.address }]);
      const [fromHost] = await lab.ask(one.host.path, 'tcp', two.address, 8080);
      assert.equal(fromHost!.from, 'node-2');
      assert.deepEqual(await lab.ask(one.path, 'tcp', OUTSIDE, 8080), [{ from: 'outside', source: one.host.address }]);
      assert.deepEqual(await lab.ask(outsidePath, 'tcp', two.host.address, 8081), [
        { from: 'node-2', source: OUTSIDE },
      ]);
      informers.remove('nodes', nodeObject(two.host));
      await until(
        'the route is gone',
        async () => (await output(one.host.run, ['ip', 'route', 'show', 'proto', '142'])) === '',
      );
    } finally {
      abort.abort();
      await Promise.all(running);
    }
    // One pod ends as it should, the other's host crashed.
    await cni(pods[0]!.host, 'DEL', pods[0]!.path, `${mode}${pods[0]!.host.name}`, HOST_PORTS);
    for (const host of hosts) {
      await cleanUpNodeNetwork(host.network);
      await cleanUpNodeNetwork(host.network);
      assert.deepEqual(await traces(host.run), before0.get(host.path));
      assert.deepEqual(await readdir(join(lab.folder, host.path.split('/').at(-1)!)), ['net.d']);
      assert.deepEqual(await readdir(host.network.confDir), []);
    }
  });
}

test('namespaces of pods that a crash left are unmounted and removed', { skip }, async () => {
  const directory = join(lab.folder, 'netns');
  await mkdir(directory);
  const file = join(directory, 'cni-0123');
  await writeFile(file, '');
  await output(hostCommands, ['unshare', '-n', 'sh', '-c', `mount --bind /proc/self/ns/net ${file} || exit 1`]);
  await cleanUpNodeNetwork({ ...hosts[0]!.network, netnsDirs: [directory] });
  assert.deepEqual(await readdir(directory), []);
  assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(file));
});
