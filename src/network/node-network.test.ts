import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { cniConfig, writeCniConfig } from './cni.ts';
import type { CommandResult, RunCommand } from './command.ts';
import { removePortMapping, words } from './iptables.ts';
import { masqueradeTable } from './masquerade.ts';
import { applySettings, decideSettings, restoreSettings } from './sysctl.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tsukube-network-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('the network configuration is written whole, with what the pods of this node need', async () => {
  const options = {
    confDir: join(folder, 'net.d'),
    ipamDir: join(folder, 'ipam'),
    podCidr: '10.244.3.0/24',
    mtu: 1450,
  };
  const path = await writeCniConfig(options);
  const { plugins } = JSON.parse(await readFile(path, 'utf8'));
  assert.deepEqual(plugins[0], {
    type: 'bridge',
    bridge: 'tsu0',
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: true,
    ipMasq: false,
    mtu: 1450,
    ipam: { type: 'host-local', dataDir: options.ipamDir, ranges: [[{ subnet: '10.244.3.0/24' }]] },
  });
  assert.deepEqual(await readdir(options.confDir), ['10-tsukube.conflist']);
  await writeCniConfig({ ...options, podCidr: '10.244.4.0/24' });
  assert.match(await readFile(path, 'utf8'), /10\.244\.4\.0/);
  assert.throws(() => cniConfig({ ...options, bridge: 'a-name-of-17-bytes' }), /not a name for a bridge/);
});

/** /proc/sys as a map, behind the commands that read and write it. */
function settingsOf(values: Map<string, string>): RunCommand {
  return async ([command, ...args], options): Promise<CommandResult> => {
    const key = args.at(-1)!.replace('/proc/sys/', '');
    if (command === 'tee') values.set(key, options?.stdin?.trim() ?? '');
    const filters = [...values].filter(([name]) => name.endsWith('rp_filter')).map(([, value]) => value);
    const stdout = command === 'sh' ? filters.join('\n') : (values.get(key) ?? '');
    return { code: command === 'test' && !values.has(key) ? 1 : 0, stdout, stderr: '' };
  };
}

test('kernel settings are put back as they were before the first change', async () => {
  const before = {
    'net/ipv4/ip_forward': '0',
    'net/bridge/bridge-nf-call-iptables': '1',
    'net/ipv4/conf/all/rp_filter': '0',
    'net/ipv4/conf/eth0/rp_filter': '1',
  };
  const values = new Map(Object.entries(before));
  const [run, file] = [settingsOf(values), join(folder, 'state', 'settings.json')];
  await applySettings(run, file);
  assert.equal(values.get('net/ipv4/ip_forward'), '1');
  assert.equal(values.get('net/ipv4/conf/all/rp_filter'), '2');
  await applySettings(run, file);
  await restoreSettings(run, file);
  assert.deepEqual(Object.fromEntries(values), before);
  values.set('net/ipv4/ip_forward', '1');
  await restoreSettings(run, file);
  assert.equal(values.get('net/ipv4/ip_forward'), '1', 'what was put back once is not put back again');
});

test('a setting that is as it should be is left alone', () => {
  const current = { 'net/ipv4/ip_forward': '1', 'net/bridge/bridge-nf-call-iptables': '1' };
  assert.deepEqual(decideSettings(current, false), {});
  assert.deepEqual(decideSettings({}, false), current);
});

test('a kernel without br_netfilter is refused', async () => {
  const run = settingsOf(new Map([['net/ipv4/ip_forward', '1']]));
  await assert.rejects(applySettings(run, join(folder, 'settings.json')), /no br_netfilter/);
});

test('only what leaves the cluster is masqueraded', () => {
  const text = masqueradeTable({ podCidr: '10.244.3.0/24', clusterCidrs: ['10.244.0.0/16'] });
  assert.match(text, /ip saddr 10\.244\.3\.0\/24 ip daddr != \{ 10\.244\.0\.0\/16, 224\.0\.0\.0\/4 \} masquerade/);
});

test("the port mapper's chains go when no pod uses them, and stay while one does", async () => {
  const left = [
    '-P PREROUTING ACCEPT',
    '-N CNI-HOSTPORT-DNAT',
    '-N CNI-HOSTPORT-MASQ',
    '-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
    '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
    '-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
  ];
  const said: string[] = [];
  const run =
    (lines: readonly string[]): RunCommand =>
    async (argv) => {
      said.push(argv.slice(5).join(' '));
      return { code: 0, stdout: lines.join('\n'), stderr: '' };
    };
  await removePortMapping(run([...left, '-N CNI-DN-0123', '-A CNI-HOSTPORT-DNAT -j CNI-DN-0123']));
  assert.deepEqual(said.splice(0), ['-S']);
  await removePortMapping(run(left));
  assert.deepEqual(said, [
    '-S',
    '-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
    '-D POSTROUTING -m comment --comment CNI portfwd requiring masquerade -j CNI-HOSTPORT-MASQ',
    '-F CNI-HOSTPORT-DNAT',
    '-F CNI-HOSTPORT-MASQ',
    '-X CNI-HOSTPORT-DNAT',
    '-X CNI-HOSTPORT-MASQ',
    '-S',
  ]);
  assert.deepEqual(words('-m comment --comment "two words" -j X'), [
    '-m',
    'comment',
    '--comment',
    'two words',
    '-j',
    'X',
  ]);
});
