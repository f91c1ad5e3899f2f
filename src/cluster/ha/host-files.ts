// A host's files: everything that its processes read. Written from outside before the host is switched on.
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../lib/environment.ts';
import { type Layout, layoutOf } from '../layout.ts';
import { ensureCa, ensureFrontProxyCa, ensureLeaf, ensureNodePki, ensurePki } from '../pki.ts';
import { PROFILES } from '../profiles.ts';
import { type Settings, writeFileAtomically, writeSettings } from '../settings.ts';
import { LOOP } from '../supervise.ts';
import { haproxyConfig, keepalivedConfig } from './balancer-config.ts';
import { HOST_INIT } from './boot.ts';
import { ETCD_PROGRAM, etcdCommand } from './etcd-config.ts';
import { hostAudit, writeHostAudit } from './host-audit.ts';
import {
  apiServerUrls,
  controlPlanes,
  etcdServerUrls,
  type HostSpec,
  present,
  SERVER_PORT,
  type Topology,
} from './topology.ts';

/** What a cluster of several hosts is written from. */
export interface ClusterPlan {
  readonly layout: Layout;
  /** Of the whole cluster, with a topology. */
  readonly settings: Settings;
  readonly topology: Topology;
  readonly env: Environment;
  /** The command that starts this program. */
  readonly program: readonly string[];
}

/** Paths of one host, below the cluster's directory. */
export interface HostPlace {
  readonly layout: Layout;
  readonly directory: string;
  readonly initScript: string;
  readonly units: string;
  readonly etcdPki: string;
  readonly etcdData: string;
  /** How its etcd member was started the first time. */
  readonly etcdStart: string;
}

export function hostPlace(cluster: Layout, name: string): HostPlace {
  const layout = layoutOf(join(cluster.root, 'hosts'), name);
  const directory = layout.root;
  return {
    layout,
    directory,
    initScript: join(directory, 'init.sh'),
    units: join(directory, 'units'),
    etcdPki: join(layout.pki, 'etcd'),
    etcdData: join(directory, 'etcd'),
    etcdStart: join(directory, 'etcd-start.json'),
  };
}

/** What only members of etcd are told when they start for the first time. */
export interface EtcdStart {
  readonly members: readonly string[];
  readonly joins: boolean;
}

/** Writes what all hosts share, and everything of each host. Twice is harmless: keys and identities are kept. */
export async function writeHosts(plan: ClusterPlan): Promise<void> {
  await mkdir(plan.layout.run, { recursive: true });
  await writeFile(join(plan.layout.run, 'supervise.sh'), LOOP, { mode: 0o755 });
  const bootstrap = { members: controlPlanes(plan.topology).map((host) => host.name), joins: false };
  for (const host of present(plan.topology)) await writeHost(plan, host, bootstrap);
}

/**
 * Writes one host's files. `start` counts only for a host that has none yet, and without any its etcd is not run; `only` these
 * units are to run, if said.
 */
export async function writeHost(
  plan: ClusterPlan,
  host: HostSpec,
  start: EtcdStart | undefined,
  only?: readonly string[],
): Promise<void> {
  const place = hostPlace(plan.layout, host.name);
  const settings = hostSettings(plan, host);
  for (const directory of ['run', 'logs', 'units', 'etc', 'var/lib/cni']) {
    await mkdir(join(place.directory, directory), { recursive: true, mode: 0o755 });
  }
  await writeFile(place.initScript, HOST_INIT, { mode: 0o755 });
  await writeIdentity(plan, place, host);
  await writeSettings(place.layout.settings, settings);
  await writePki(plan, place, settings, host);
  if (settings.audit) await writeHostAudit(plan.layout, place.directory);
  const units = new Map<string, readonly string[]>();
  if (host.role === 'control-plane') {
    await mkdir(place.etcdData, { recursive: true, mode: 0o700 });
    const etcd = await etcdOptions(plan, place, host, start);
    if (etcd) units.set('etcd', etcdCommand(etcd));
    units.set('server', [...plan.program, 'server', ...placeArguments(place)]);
    for (const [name, command] of await writeBalancer(plan, place, host)) units.set(name, command);
  }
  units.set('agent', [...plan.program, 'agent', ...placeArguments(place)]);
  if (only) for (const name of [...units.keys()]) if (!only.includes(name)) units.delete(name);
  await writeUnits(place, units);
}

/** What the host's processes are told of the cluster. */
export function hostSettings({ layout, settings, topology }: ClusterPlan, host: HostSpec): Settings {
  const { topology: _, audit, ...rest } = settings;
  const controlPlane = host.role === 'control-plane';
  return {
    ...rest,
    advertiseAddress: host.address,
    port: SERVER_PORT,
    nodeName: host.name,
    split: true,
    apiServers: apiServerUrls(topology),
    controlPlane,
    ...(controlPlane && { etcdServers: etcdServerUrls(topology) }),
    ...(controlPlane && audit && { audit: hostAudit(audit, hostPlace(layout, host.name).directory) }),
  };
}

function placeArguments({ layout, directory }: HostPlace): readonly string[] {
  return ['--name', layout.name, '--data-dir', join(directory, '..')];
}

/** Names, addresses and ids. /etc/hosts is written in place: it is mounted in a host that runs. */
async function writeIdentity(plan: ClusterPlan, place: HostPlace, host: HostSpec): Promise<void> {
  const etc = (name: string): string => join(place.directory, 'etc', name);
  await writeFile(etc('hosts'), hostsFile(plan.topology));
  await writeFile(etc('hostname'), `${host.name}\n`);
  await writeFile(etc('resolv.conf'), await reachableResolvers());
  const known = await readFile(etc('machine-id'), 'utf8').catch(() => '');
  if (known === '') await writeFile(etc('machine-id'), `${hex(plan.env, 16)}\n`);
}

/** Every start of a host is another boot. */
export async function writeBootId(env: Environment, place: HostPlace): Promise<void> {
  const id = hex(env, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  await writeFile(join(place.directory, 'etc', 'boot-id'), `${id}\n`);
}

function hex(env: Environment, bytes: number): string {
  return Buffer.from(env.random.bytes(bytes)).toString('hex');
}

export function hostsFile(topology: Topology): string {
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];
  for (const host of present(topology)) lines.push(`${host.address} ${host.name}`);
  return `${lines.join('\n')}\n`;
}

/** The machine's resolvers without those on its own loopback, which a host cannot reach. */
async function reachableResolvers(): Promise<string> {
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    const text = await readFile(file, 'utf8').catch(() => '');
    const kept = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1)/.test(line));
    if (kept.some((line) => /^\s*nameserver\s/.test(line))) return kept.join('\n');
  }
  return '';
}

/** Control planes have the CA's key, as kubeadm's do; workers only what was issued for them. */
async function writePki(plan: ClusterPlan, place: HostPlace, settings: Settings, host: HostSpec): Promise<void> {
  const { env } = plan;
  const { pki } = plan.layout;
  await mkdir(place.layout.pki, { recursive: true, mode: 0o700 });
  const copy = (file: string): Promise<void> => copyFile(join(pki, file), join(place.layout.pki, file));
  if (host.role === 'worker') {
    await copy('ca.crt');
    await ensureNodePki(place.layout, settings, await ensureCa(pki, 'ca', 'tsukube-ca', env), env);
    return;
  }
  // Every server vouches by the same authority for whom it asks extension API servers.
  await ensureFrontProxyCa(pki, env);
  for (const file of ['ca.crt', 'ca.key', 'sa.key', 'front-proxy-ca.crt', 'front-proxy-ca.key']) await copy(file);
  await ensurePki(place.layout, settings, env);
  await mkdir(place.etcdPki, { recursive: true, mode: 0o700 });
  const ca = await ensureEtcdCa(plan);
  await copyFile(join(pki, 'etcd-ca.crt'), join(place.etcdPki, 'ca.crt'));
  const sans = [host.name, host.address, 'localhost', '127.0.0.1'];
  // A member is its peers' client too; and its JSON gateway calls itself.
  for (const name of ['server', 'peer']) {
    const request = { commonName: host.name, sans, usages: ['server', 'client'] } as const;
    await ensureLeaf(place.etcdPki, name, ca, request, env);
  }
  await ensureLeaf(place.etcdPki, 'client', ca, { commonName: 'kube-apiserver-etcd-client', usages: ['client'] }, env);
}

/** A CA of its own: who may use the API must not so reach what is below it. */
export async function ensureEtcdCa({ layout, env }: Pick<ClusterPlan, 'layout' | 'env'>) {
  const ca = await ensureCa(layout.pki, 'etcd-ca', 'etcd-ca', env);
  await ensureLeaf(layout.pki, 'etcd-admin', ca, { commonName: 'tsukube-admin', usages: ['client'] }, env);
  return ca;
}

/** A member that has started once has its membership on disk; what it is told then no longer counts, but stays as it was. */
async function etcdOptions(plan: ClusterPlan, place: HostPlace, host: HostSpec, start: EtcdStart | undefined) {
  const file = place.etcdStart;
  const known = await readFile(file, 'utf8').catch(() => undefined);
  const started = known === undefined ? start : (JSON.parse(known) as EtcdStart);
  if (!started) return undefined;
  if (known === undefined) await writeFileAtomically(file, JSON.stringify(started), 0o644);
  return {
    ...started,
    program: plan.settings.etcdProgram ?? ETCD_PROGRAM,
    name: host.name,
    address: host.address,
    dataDir: place.etcdData,
    pkiDir: place.etcdPki,
    cluster: plan.layout.name,
    timings: PROFILES[plan.settings.profile].etcd,
  };
}

async function writeBalancer(
  plan: ClusterPlan,
  place: HostPlace,
  host: HostSpec,
): Promise<readonly (readonly [unit: string, command: readonly string[]])[]> {
  const { virtualAddress } = plan.topology;
  if (!virtualAddress) return [];
  const { haproxy, keepalived } = PROFILES[plan.settings.profile];
  const servers = controlPlanes(plan.topology);
  const file = (name: string): string => join(place.directory, 'etc', name);
  const caFile = join(place.layout.pki, 'ca.crt');
  await writeFile(file('haproxy.cfg'), haproxyConfig({ servers, caFile, timings: haproxy, user: 'haproxy' }));
  await writeFile(
    file('keepalived.conf'),
    keepalivedConfig({ host, all: servers, virtualAddress, timings: keepalived }),
  );
  const run = (name: string): string => join('/run', name);
  return [
    ['haproxy', ['/usr/sbin/haproxy', '-W', '-db', '-f', file('haproxy.cfg')]],
    [
      'keepalived',
      [
        '/usr/sbin/keepalived',
        '--dont-fork',
        '--log-console',
        '--vrrp',
        `--use-file=${file('keepalived.conf')}`,
        `--pid=${run('keepalived.pid')}`,
        `--vrrp_pid=${run('vrrp.pid')}`,
        `--checkers_pid=${run('checkers.pid')}`,
      ],
    ],
  ];
}

/** One word a line: what the host's first process starts. */
async function writeUnits(place: HostPlace, units: ReadonlyMap<string, readonly string[]>): Promise<void> {
  for (const [name, command] of units) await writeFile(join(place.units, name), `${command.join('\n')}\n`);
  for (const name of await readdir(place.units)) if (!units.has(name)) await rm(join(place.units, name));
}
