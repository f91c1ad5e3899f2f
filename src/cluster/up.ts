// `tsukube up`: from nothing to a cluster that answers.

import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { sleep } from '../lib/clock.ts';
import type { AuditLogSettings } from './audit-log.ts';
import { Hosts } from './ha/hosts.ts';
import { freshHaSettings, type HaRequest, mergedHa, startHosts } from './ha/up.ts';
import { type Host, Progress } from './host.ts';
import { mergeIntoUserKubeconfig, userKubeconfigPath } from './kubeconfig-file.ts';
import type { Layout } from './layout.ts';
import { defaultAddress, defaultNodeName } from './machine.ts';
import { installPackages, missingPackages, NODE_PACKAGES } from './packages.ts';
import { ensurePki } from './pki.ts';
import type { ProfileName } from './profiles.ts';
import { DEFAULTS, readSettings, type Settings, writeSettings } from './settings.ts';
import { type ClusterStatus, clusterStatus } from './status.ts';
import { stopSupervised, supervised, superviseInBackground } from './supervise.ts';

/** What `up` was asked for. Undefined: as before, or the default. */
export interface UpRequest {
  readonly port?: number | undefined;
  readonly kubeletPort?: number | undefined;
  readonly nodeName?: string | undefined;
  readonly advertiseAddress?: string | undefined;
  readonly split?: boolean | undefined;
  readonly simulatedNodes?: number | undefined;
  readonly profile?: ProfileName | undefined;
  /** Several hosts. */
  readonly ha?: Omit<HaRequest, 'profile'> | undefined;
  /** With several hosts: the controller of Drills. */
  readonly drills?: boolean | undefined;
  readonly audit?: AuditLogSettings | undefined;
}

export interface UpResult {
  readonly status: ClusterStatus;
  readonly kubeconfig: string;
  readonly context: string;
  /** It ran already, and nothing had to be done. */
  readonly alreadyRunning: boolean;
}

/** How long a cluster may take until it is ready, images of a slow disk included. */
const READY_WITHIN_MS = 120_000;
const STOP_GRACE_MS = 20_000;

/**
 * Starts the cluster, or what is missing of it. Twice is harmless: what runs is left alone, what does not is started, and
 * different settings are refused while it runs.
 */
export async function up(
  host: Host,
  layout: Layout,
  request: UpRequest,
  quiet: boolean,
  signal: AbortSignal,
): Promise<UpResult> {
  const progress = new Progress(host, quiet);
  const before = await readSettings(layout.settings);
  if (request.ha || before?.topology) return upHosts(host, layout, { ...request, before }, progress, signal);
  const settings = before ? merged(before, request) : await freshSettings(host, layout.name, request, progress);
  const components = componentsOf(settings);
  const running = await Promise.all(components.map(({ name }) => supervised(layout, name)));
  const alive = running.every((c) => c.supervisor !== undefined);
  if (before && alive && !isDeepEqual(before, settings)) {
    throw new Error(`cluster "${layout.name}" runs with other settings; "tsukube down --keep-data" first`);
  }
  progress.say(
    alive ? `Cluster "${layout.name}" runs already.` : `Starting cluster "${layout.name}" in ${layout.root}`,
  );
  if (!alive) await start(host, layout, settings, progress, signal);
  const status = await progress.step('waiting until it is ready', () => untilReady(host, layout, signal));
  return finished(host, layout, status, alive);
}

async function finished(host: Host, layout: Layout, status: ClusterStatus, alreadyRunning: boolean): Promise<UpResult> {
  const kubeconfig = userKubeconfigPath(host.environment);
  await mergeIntoUserKubeconfig(kubeconfig, await readFile(layout.adminKubeconfig, 'utf8'));
  return { status, kubeconfig: layout.adminKubeconfig, context: layout.name, alreadyRunning };
}

/** The same for several hosts: each that is off is switched on. */
async function upHosts(
  host: Host,
  layout: Layout,
  request: UpRequest & { readonly before: Settings | undefined },
  progress: Progress,
  signal: AbortSignal,
): Promise<UpResult> {
  if (host.platform !== 'linux' || !host.isRoot) throw new Error('several hosts on one machine need Linux and root');
  const wanted = { ...request.ha, profile: request.profile };
  const { before } = request;
  const settings = {
    ...(before ? mergedHa(before, wanted) : await freshHaSettings(layout.name, wanted)),
    ...(request.drills !== undefined && { drills: request.drills }),
    ...(request.audit && { audit: request.audit }),
  };
  const topology = settings.topology!;
  const hosts = before ? await new Hosts({ layout, env: host.env }).hosts() : [];
  if (before && hosts.some((one) => one.isOn) && !isDeepEqual(before, settings)) {
    throw new Error(`cluster "${layout.name}" runs with other settings; "tsukube down --keep-data" first`);
  }
  const alive = hosts.length > 0 && hosts.every((one) => one.isOn && one.isPlugged);
  progress.say(
    alive ? `Cluster "${layout.name}" runs already.` : `Starting cluster "${layout.name}" in ${layout.root}`,
  );
  if (!alive) {
    const plan = { layout, settings, topology, env: host.env, program: host.program };
    await startHosts(plan, progress, signal);
  }
  await superviseMissing(host, layout, settings);
  const status = await progress.step('waiting until it is ready', () => untilReady(host, layout, signal));
  return finished(host, layout, status, alive);
}

async function start(
  host: Host,
  layout: Layout,
  settings: Settings,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  if (settings.simulatedNodes === 0) {
    const missing = await missingPackages(NODE_PACKAGES);
    if (missing.length > 0) {
      await progress.step(`installing ${missing.join(', ')}`, () => installPackages(missing, signal));
    }
  }
  const components = componentsOf(settings);
  // Half a cluster of an earlier try makes way.
  for (const { name } of components) await stopSupervised(layout, name, host.env.clock, STOP_GRACE_MS, signal);
  await requireFreePort(settings.port);
  await mkdir(layout.root, { recursive: true, mode: 0o755 });
  await mkdir(layout.pki, { recursive: true, mode: 0o700 });
  await progress.step('making keys and certificates', () => ensurePki(layout, settings, host.env));
  await writeSettings(layout.settings, settings);
  await superviseMissing(host, layout, settings);
}

async function superviseMissing(host: Host, layout: Layout, settings: Settings): Promise<void> {
  const place = ['--name', layout.name, '--data-dir', join(layout.root, '..')];
  for (const { name, args } of componentsOf(settings)) {
    if ((await supervised(layout, name)).supervisor !== undefined) continue;
    await superviseInBackground(layout, name, [...host.program, ...args, ...place]);
  }
}

/** The processes of a cluster on the machine itself, and how each is started. Hosts guard their own. */
export function componentsOf(settings: Settings): readonly { name: string; args: readonly string[] }[] {
  if (settings.topology) {
    return settings.drills === false ? [] : [{ name: 'drill-controller', args: ['drill', 'controller'] }];
  }
  if (settings.simulatedNodes > 0) return [{ name: 'server', args: ['server'] }];
  if (!settings.split) return [{ name: 'server', args: ['server', '--agent'] }];
  return [
    { name: 'server', args: ['server'] },
    { name: 'agent', args: ['agent'] },
  ];
}

async function freshSettings(host: Host, name: string, request: UpRequest, progress: Progress): Promise<Settings> {
  let simulatedNodes = request.simulatedNodes ?? 0;
  if (simulatedNodes === 0 && (host.platform !== 'linux' || !host.isRoot)) {
    const why = host.platform !== 'linux' ? `this is ${host.platform}, not Linux` : 'you are not root';
    progress.say(
      `Containers need Linux and root; ${why}, so the nodes are simulated: pods are scheduled and "run", without containers.`,
    );
    simulatedNodes = 3;
  }
  const { clusterCidr, serviceCidr, dnsAddress, clusterDomain, bridge, port, kubeletPort } = DEFAULTS;
  return {
    name,
    advertiseAddress: request.advertiseAddress ?? (await defaultAddress()),
    port: request.port ?? port,
    kubeletPort: request.kubeletPort ?? kubeletPort,
    nodeName: request.nodeName ?? defaultNodeName(),
    split: request.split ?? false,
    simulatedNodes,
    clusterCidr,
    serviceCidr,
    dnsAddress,
    clusterDomain,
    bridge,
    profile: request.profile ?? 'default',
    ...(request.audit && { audit: request.audit }),
  };
}

function merged(before: Settings, request: UpRequest): Settings {
  const asked = Object.entries(request).filter(([, value]) => value !== undefined);
  return { ...before, ...Object.fromEntries(asked) };
}

function isDeepEqual(a: Settings, b: Settings): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

async function requireFreePort(port: number): Promise<void> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${cause.code})`;
      reject(new Error(`port ${port} ${why}; choose another with --port`, { cause }));
    });
    probe.listen(port, () => probe.close(() => resolve()));
  });
}

async function untilReady(host: Host, layout: Layout, signal: AbortSignal): Promise<ClusterStatus> {
  const { clock } = host.env;
  const endMs = clock.monotonic() + READY_WITHIN_MS;
  for (;;) {
    const status = await clusterStatus(host, layout, signal);
    if (status.ready) return status;
    // Of several hosts, each guards its own processes.
    const dead = status.components.find((c) => c.supervisor === undefined);
    if (dead || clock.monotonic() > endMs) {
      const logs = status.ha && !dead ? join(layout.root, 'hosts', 'cp-1', 'logs') : layout.logs;
      const log = join(logs, `${dead?.component ?? 'server'}.log`);
      const what = dead ? `${dead.component} does not start` : `not ready within ${READY_WITHIN_MS / 1000} s`;
      throw new Error(`${what}: ${status.problems.join('; ')}. ${log} ends with:\n${await tailOf(log)}`);
    }
    await sleep(clock, 100, signal);
  }
}

async function tailOf(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => String(error));
  return text.trimEnd().split('\n').slice(-15).join('\n');
}
