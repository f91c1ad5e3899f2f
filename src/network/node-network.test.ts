import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { cniConfig, writeCniConfig } from './cni.ts';
import type { CommandResult, RunCommand } from './command.ts';
import { isWithoutRules, removePortMapping, words } from './iptables.ts';
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

/** A nat table behind `iptables`: rules as `-S` lists them. */
function natTable(lines: string[]): { readonly run: RunCommand; readonly lines: string[] } {
  const quoted = (word: string): string => (/[ "]/.test(word) ? `"${word.replaceAll('"', '\\"')}"` : word);
  const remove = (line: string): number => {
    const at = lines.indexOf(line);
    if (at >= 0) lines.splice(at, 1);
    return at >= 0 ? 0 : 1;
  };
  const run: RunCommand = async ([command, ...argv]) => {
    const [action, chain] = argv.slice(4);
    let code = 0;
    if (command === 'nft') code = 1;
    else if (action === '-D') code = remove(argv.slice(4).map(quoted).join(' ').replace('-D', '-A'));
    else if (action === '-F') for (const rule of lines.filter((line) => line.startsWith(`-A ${chain} `))) remove(rule);
    else if (action === '-X') code = lines.some((line) => line.endsWith(`-j ${chain}`)) ? 1 : remove(`-N ${chain}`);
    return { code, stdout: lines.join('\n'), stderr: code ? `${action} ${chain}` : '' };
  };
  return { run, lines };
}

test("the port mapper's leavings of our network go, another's stay, and the last takes its chains with it", async () => {
  const pod = (network: string, chain: string): string[] => [
    `-N ${chain}`,
    `-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"${network}\\" id: \\"${chain}\\"" -j ${chain}`,
    `-A ${chain} -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.2:8080`,
  ];
  const fixed = [
    '-P PREROUTING ACCEPT',
    '-P POSTROUTING ACCEPT',
    '-N CNI-HOSTPORT-DNAT',
    '-N CNI-HOSTPORT-MASQ',
    '-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
    '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
    '-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
  ];
  const other = [...fixed, ...pod('podman', 'CNI-DN-1')];
  const shared = natTable([...other, ...pod('tsukube', 'CNI-DN-2')]);
  await removePortMapping(shared.run, 'tsukube');
  assert.deepEqual(shared.lines, other);
  const alone = natTable([...fixed, ...pod('tsukube', 'CNI-DN-2')]);
  await removePortMapping(alone.run, 'tsukube');
  assert.deepEqual(alone.lines, ['-P PREROUTING ACCEPT', '-P POSTROUTING ACCEPT']);
  const words1 = words('-m comment --comment "a \\"quoted\\" word" -j X');
  assert.deepEqual(words1, ['-m', 'comment', '--comment', 'a "quoted" word', '-j', 'X']);
});

test('a table of iptables without a rule is told from one that is in use', () => {
  const empty = `table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
	}
}
`;
  assert.equal(isWithoutRules(empty), true);
  assert.equal(isWithoutRules('table ip6 nat {\n}\n'), true);
  assert.equal(isWithoutRules(empty.replace('accept;', 'accept;\n\t\tcounter packets 0 bytes 0 jump X')), false);
  assert.equal(isWithoutRules(empty.replace('PREROUTING', 'DOCKER')), false);
});
