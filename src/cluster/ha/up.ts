// `tsukube up --ha`: hosts as namespaces of this machine, three control planes among them.
import { access, constants, mkdir } from 'node:fs/promises';
import { hostCommands, output } from '../../network/command.ts';
import type { Progress } from '../host.ts';
import { HA_PACKAGES, installPackages, missingPackages, NODE_PACKAGES } from '../packages.ts';
import { ensureClusterPki } from '../pki.ts';
import type { ProfileName } from '../profiles.ts';
import { DEFAULTS, type Settings, writeSettings } from '../settings.ts';
import { keepPolicy } from './host-audit.ts';
import { type ClusterPlan, ensureEtcdCa, writeHosts } from './host-files.ts';
import { powerOn } from './power.ts';
import { ensureSwitch } from './switch.ts';
import {
  API_PORT,
  apiServerUrls,
  controlPlanes,
  freeNetwork,
  movedTo,
  newTopology,
  present,
  type Role,
  type Topology,
} from './topology.ts';

/** Undefined: as before, or the default. */
export interface HaRequest {
  readonly controlPlanes?: number | undefined;
  readonly workers?: number | undefined;
  readonly keepalived?: boolean | undefined;
  readonly network?: string | undefined;
  /** Path of the etcd that members run from their next start. */
  readonly etcdProgram?: string | undefined;
  readonly profile?: ProfileName | undefined;
}

const DEFAULT_CONTROL_PLANES = 3;
const DEFAULT_WORKERS = 3;
/** So many at a time: a host that starts keeps a core busy. */
const STARTS_AT_ONCE = 4;

/** The settings of a cluster of several hosts that does not exist yet. */
export async function freshHaSettings(name: string, request: HaRequest): Promise<Settings> {
  const topology = newTopology({
    cluster: name,
    network: request.network ?? (await unusedNetwork()),
    controlPlanes: request.controlPlanes ?? DEFAULT_CONTROL_PLANES,
    workers: request.workers ?? DEFAULT_WORKERS,
    keepalived: request.keepalived ?? true,
  });
  const { clusterCidr, serviceCidr, dnsAddress, clusterDomain, bridge, kubeletPort } = DEFAULTS;
  const rest = { clusterCidr, serviceCidr, dnsAddress, clusterDomain, bridge, kubeletPort };
  return withTopology(
    {
      ...rest,
      name,
      advertiseAddress: '',
      port: API_PORT,
      nodeName: name,
      split: true,
      simulatedNodes: 0,
      profile: request.profile ?? 'default',
      ...(request.etcdProgram && { etcdProgram: request.etcdProgram }),
    },
    topology,
  );
}

/** What is asked for anew over what was there. Hosts come and go by "tsukube server join" and the like. */
export function mergedHa(before: Settings, { profile, network, etcdProgram, ...request }: HaRequest): Settings {
  if (!before.topology) throw new Error(`cluster "${before.name}" has one host; "tsukube down" first`);
  const count = (role: Role): number => present(before.topology!).filter((host) => host.role === role).length;
  const { controlPlanes, workers, keepalived } = request;
  const differs =
    (controlPlanes ?? count('control-plane')) !== count('control-plane') ||
    (workers ?? count('worker')) !== count('worker') ||
    (keepalived ?? before.topology.virtualAddress !== undefined) !== (before.topology.virtualAddress !== undefined);
  if (differs) throw new Error(`cluster "${before.name}" has other hosts; "tsukube down" first`);
  const topology = network ? movedTo(before.topology, network) : before.topology;
  return withTopology({ ...before, ...(profile && { profile }), ...(etcdProgram && { etcdProgram }) }, topology);
}

/** The cluster's settings with its hosts as they are now. */
export function withTopology(settings: Settings, topology: Topology): Settings {
  const advertiseAddress = topology.virtualAddress ?? controlPlanes(topology)[0]!.address;
  return { ...settings, advertiseAddress, apiServers: apiServerUrls(topology), topology };
}

async function unusedNetwork(): Promise<string> {
  const text = await output(hostCommands, ['ip', '-4', '-j', 'route', 'show', 'table', 'all']);
  return freeNetwork((JSON.parse(text) as readonly { readonly dst?: string }[]).map(({ dst = '' }) => dst));
}

/** Writes everything and switches on what is off. */
export async function startHosts(plan: ClusterPlan, progress: Progress, signal: AbortSignal): Promise<void> {
  const { layout, settings, topology, env } = plan;
  const missing = await missingPackages([...NODE_PACKAGES, ...HA_PACKAGES]);
  if (missing.length > 0) {
    await progress.step(`installing ${missing.join(', ')}`, () => installPackages(missing, signal));
  }
  const { etcdProgram } = settings;
  if (etcdProgram !== undefined) await access(etcdProgram, constants.X_OK);
  await mkdir(layout.root, { recursive: true, mode: 0o755 });
  await mkdir(layout.pki, { recursive: true, mode: 0o700 });
  await keepPolicy(layout, settings);
  await writeSettings(layout.settings, settings);
  await progress.step('making keys and certificates', async () => {
    await ensureClusterPki(layout, settings, env);
    await ensureEtcdCa(plan);
    await writeHosts(plan);
  });
  await progress.step(`connecting ${present(topology).length} hosts`, async () => {
    await ensureSwitch({ layout, env }, topology, [settings.clusterCidr, settings.serviceCidr], signal);
    const place = { layout, env, cluster: settings.name, topology };
    const waiting = [...present(topology)];
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await powerOn(place, next, signal);
    };
    await Promise.all(Array.from({ length: STARTS_AT_ONCE }, worker));
  });
}
