// The commands: from what was typed to what is done and printed.
import { isAbsolute, join, resolve } from 'node:path';
import { runAgentProcess } from '../cluster/agent.ts';
import type { AuditLogSettings } from '../cluster/audit-log.ts';
import { down } from '../cluster/down.ts';
import { clustersDirectory, type Host, Progress } from '../cluster/host.ts';
import { loadImage } from '../cluster/images.ts';
import { type Layout, layoutOf } from '../cluster/layout.ts';
import { logFiles, printLog } from '../cluster/logs.ts';
import { installPackages, missingPackages, NODE_PACKAGES, TEST_PACKAGES } from '../cluster/packages.ts';
import { PROFILE_NAMES, type ProfileName, profileName } from '../cluster/profiles.ts';
import { DamagedStoreError, runServerProcess } from '../cluster/server.ts';
import { type ClusterStatus, clusterStatus } from '../cluster/status.ts';
import { runTool } from '../cluster/tools.ts';
import { type UpRequest, up } from '../cluster/up.ts';
import {
  durationFlag,
  helpText,
  type Invocation,
  numberFlag,
  readArguments,
  shareFlag,
  stringFlag,
  UsageError,
} from './arguments.ts';
import { haStatusText, stateText } from './ha-status-text.ts';
import { hostCommand, serverCommand } from './host-command.ts';

/** Exit codes: 0 done, 1 failed, 64 bad usage, 65 damaged data (sysexits EX_USAGE, EX_DATAERR). */
export async function runCommand(host: Host, args: readonly string[], signal: AbortSignal): Promise<number> {
  try {
    const invocation = readArguments(args);
    return await HANDLERS[invocation.command]!(host, invocation, signal);
  } catch (error) {
    if (signal.aborted) return 130;
    if (error instanceof UsageError) {
      host.err(`tsukube: ${error.message}\n`);
      return 64;
    }
    // A component's log wants to know where; a person at the terminal what.
    if (invocationIsComponent(args)) host.env.log.error('ended', error);
    const message = error instanceof Error ? error.message : String(error);
    const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : '';
    if (args.includes('--json')) host.out(`${JSON.stringify({ error: message + cause })}\n`);
    else host.err(`tsukube: ${message}${cause}\n`);
    // To start again would help nobody: the supervising loop ends.
    return error instanceof DamagedStoreError ? 65 : 1;
  }
}

function invocationIsComponent(args: readonly string[]): boolean {
  return args[0] === 'agent' || (args[0] === 'server' && !['join', 'remove'].includes(args[1] ?? ''));
}

type Handler = (host: Host, invocation: Invocation, signal: AbortSignal) => Promise<number>;

const HANDLERS: Readonly<Record<string, Handler>> = {
  help: async (host, { words }) => {
    host.out(helpText(words[0]));
    return 0;
  },
  version: async (host, invocation) => {
    print(
      host,
      invocation,
      { version: VERSION, kubernetes: KUBERNETES },
      `tsukube ${VERSION} (Kubernetes ${KUBERNETES})`,
    );
    return 0;
  },
  up: async (host, invocation, signal) => {
    const layout = layoutFor(host, invocation);
    const json = invocation.flags.get('json') === true;
    const result = await up(
      host,
      layout,
      {
        port: numberFlag(invocation, 'port', 1, 65535),
        kubeletPort: numberFlag(invocation, 'kubelet-port', 1, 65535),
        nodeName: stringFlag(invocation, 'node-name'),
        advertiseAddress: stringFlag(invocation, 'advertise-address'),
        split: invocation.flags.get('split') === true ? true : undefined,
        simulatedNodes: numberFlag(invocation, 'simulated', 0, 5000),
        profile: profileFlag(invocation),
        ha: haFlags(invocation),
        drills: invocation.flags.get('no-drills') === true ? false : undefined,
        audit: auditFlags(invocation),
      },
      json,
      signal,
    );
    if (result.status.ha) await (await import('./drill-command.ts')).defineDrills(host, layout, signal);
    print(host, invocation, result, readyText(result.status, result.kubeconfig, result.context));
    return 0;
  },
  down: async (host, invocation, signal) => {
    const json = invocation.flags.get('json') === true;
    const keepData = invocation.flags.get('keep-data') === true;
    const result = await down(host, layoutFor(host, invocation), { keepData }, new Progress(host, json), signal);
    const text = result.existed
      ? `Cluster "${result.name}" is down${keepData ? '; its data is kept' : ''}.`
      : `There is no cluster "${result.name}".`;
    print(host, invocation, result, text);
    return 0;
  },
  status: async (host, invocation, signal) => {
    const status = await clusterStatus(host, layoutFor(host, invocation), signal);
    print(host, invocation, status, statusText(status));
    return status.ready ? 0 : 1;
  },
  host: async (host, invocation, signal) => {
    const { value, text } = await hostCommand(host, layoutFor(host, invocation), invocation, signal);
    print(host, invocation, value, text);
    return 0;
  },
  logs: async (host, invocation, signal) => {
    const files = await logFiles(layoutFor(host, invocation));
    const names = [...files.keys()].sort().join(', ') || 'none';
    const [component, ...more] = invocation.words;
    if (component === undefined || more.length > 0) throw new UsageError(`name one component: ${names}`);
    const file = files.get(component);
    if (!file) throw new UsageError(`there is no log of "${component}"; there are: ${names}`);
    const lines = numberFlag(invocation, 'lines', 0, 1_000_000) ?? 100;
    await printLog(host, file, { lines, follow: invocation.flags.get('follow') === true }, signal);
    return 0;
  },
  kubectl: (host, { words }, signal) => runTool(host, 'kubectl', words, defaultLayout(host).adminKubeconfig, signal),
  helm: (host, { words }, signal) => runTool(host, 'helm', words, defaultLayout(host).adminKubeconfig, signal),
  image: async (host, invocation, signal) => {
    const [verb, file, ...more] = invocation.words;
    if (verb !== 'load' || file === undefined || more.length > 0)
      throw new UsageError('usage: tsukube image load FILE');
    const names = await loadImage({ layout: layoutFor(host, invocation), env: host.env }, file, signal);
    print(host, invocation, { loaded: names }, names.map((name) => `loaded ${name}`).join('\n'));
    return 0;
  },
  install: async (host, invocation, signal) => {
    const tests = invocation.flags.get('for-tests') === true ? TEST_PACKAGES : [];
    const missing = await missingPackages([...NODE_PACKAGES, ...tests]);
    if (missing.length > 0) {
      const progress = new Progress(host, invocation.flags.get('json') === true);
      await progress.step(`installing ${missing.join(', ')}`, () => installPackages(missing, signal));
    }
    print(
      host,
      invocation,
      { installed: missing },
      missing.length === 0 ? 'Everything is there.' : `Installed ${missing.join(', ')}.`,
    );
    return 0;
  },
  // Loaded when asked for: no other command needs what it is made of.
  simulate: async (host, invocation, signal) =>
    (await import('./simulate.ts')).runSimulations(host, invocation, signal),
  drill: async (host, invocation, signal) =>
    (await import('./drill-command.ts')).drillCommand(host, layoutFor(host, invocation), invocation, signal),
  server: async (host, invocation, signal) => {
    if (invocation.words.length > 0) {
      const { value, text } = await serverCommand(host, layoutFor(host, invocation), invocation, signal);
      print(host, invocation, value, text);
      return 0;
    }
    await runServerProcess(
      host,
      layoutFor(host, invocation),
      {
        withAgent: invocation.flags.get('agent') === true,
        profile: profileFlag(invocation),
        shutdownDelayMs: durationFlag(invocation, 'shutdown-delay-duration'),
        goawayChance: shareFlag(invocation, 'goaway-chance', 0, 0.02),
        etcd: {
          servers: stringFlag(invocation, 'etcd-servers'),
          caFile: stringFlag(invocation, 'etcd-cafile'),
          certFile: stringFlag(invocation, 'etcd-certfile'),
          keyFile: stringFlag(invocation, 'etcd-keyfile'),
        },
        audit: auditFlags(invocation),
      },
      signal,
    );
    return 0;
  },
  agent: async (host, invocation, signal) => {
    await runAgentProcess(
      host,
      layoutFor(host, invocation),
      { profile: profileFlag(invocation), servers: serversFlag(invocation) },
      signal,
    );
    return 0;
  },
};

export const VERSION = '0.1.0';
export const KUBERNETES = 'v1.36.0';

function defaultLayout(host: Host): Layout {
  return layoutOf(
    host.environment.TSUKUBE_DATA_DIR ?? clustersDirectory(host),
    host.environment.TSUKUBE_NAME ?? 'tsukube',
  );
}

function layoutFor(host: Host, invocation: Invocation): Layout {
  const name = stringFlag(invocation, 'name') ?? host.environment.TSUKUBE_NAME ?? 'tsukube';
  if (!/^[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?$/.test(name)) {
    throw new UsageError(`--name must be at most 30 lower case letters, digits and dashes, not "${name}"`);
  }
  const base = stringFlag(invocation, 'data-dir') ?? host.environment.TSUKUBE_DATA_DIR ?? clustersDirectory(host);
  return layoutOf(join(base), name);
}

function serversFlag(invocation: Invocation): readonly string[] | undefined {
  const text = stringFlag(invocation, 'servers');
  const servers = text?.split(',').map((server) => server.trim());
  const bad = servers?.find((server) => !URL.canParse(server) || new URL(server).protocol !== 'https:');
  if (bad !== undefined) throw new UsageError(`--servers must be https URLs with commas between them, not "${bad}"`);
  return servers;
}

/** Of one server, or of each. */
function auditFlags(invocation: Invocation): AuditLogSettings | undefined {
  const policyFile = stringFlag(invocation, 'audit-policy-file');
  const logPath = stringFlag(invocation, 'audit-log-path');
  const maxSizeMiB = numberFlag(invocation, 'audit-log-maxsize', 1, 1_000_000);
  const maxAgeDays = numberFlag(invocation, 'audit-log-maxage', 0, 100_000);
  const maxBackups = numberFlag(invocation, 'audit-log-maxbackup', 0, 1_000_000);
  if (policyFile === undefined && logPath === undefined) return undefined;
  if (!policyFile || !logPath) throw new UsageError('--audit-policy-file and --audit-log-path go together');
  return {
    policyFile: resolve(policyFile),
    logPath: logPath === '-' ? logPath : resolve(logPath),
    ...(maxSizeMiB !== undefined && { maxSizeMiB }),
    ...(maxAgeDays !== undefined && { maxAgeDays }),
    ...(maxBackups !== undefined && { maxBackups }),
  };
}

function profileFlag(invocation: Invocation): ProfileName | undefined {
  const text = stringFlag(invocation, 'profile');
  if (text === undefined) return undefined;
  const profile = profileName(text);
  if (!profile) throw new UsageError(`--profile must be ${PROFILE_NAMES.join(' or ')}, not "${text}"`);
  return profile;
}

function haFlags(invocation: Invocation): UpRequest['ha'] {
  const network = stringFlag(invocation, 'network');
  const request = {
    controlPlanes: numberFlag(invocation, 'control-planes', 1, 7),
    workers: numberFlag(invocation, 'workers', 0, 50),
    keepalived: invocation.flags.get('no-keepalived') === true ? false : undefined,
    network,
    etcdProgram: stringFlag(invocation, 'etcd'),
  };
  const noDrills = invocation.flags.get('no-drills') === true;
  if (request.etcdProgram !== undefined && !isAbsolute(request.etcdProgram)) {
    throw new UsageError(`--etcd must be an absolute path, not "${request.etcdProgram}"`);
  }
  if (network !== undefined && !/^(\d{1,3}\.){3}0\/24$/.test(network)) {
    throw new UsageError(`--network must be a range like 172.30.0.0/24, not "${network}"`);
  }
  if (invocation.flags.get('ha') === true) return request;
  const given = noDrills || Object.values(request).some((value) => value !== undefined);
  if (given) {
    throw new UsageError(
      '--control-planes, --workers, --no-keepalived, --no-drills, --network and --etcd go with --ha',
    );
  }
  return undefined;
}

function print(host: Host, invocation: Invocation, value: unknown, text: string): void {
  host.out(invocation.flags.get('json') === true ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
}

function readyText(status: ClusterStatus, kubeconfig: string, context: string): string {
  const nodes = status.nodes.map((n) => n.name).join(', ');
  return `
Cluster "${status.name}" is ready at ${status.server} with ${status.nodes.length} node${status.nodes.length === 1 ? '' : 's'}: ${nodes}
Kubeconfig: ${kubeconfig}, and context "${context}" in your own.

Now try:
  ./tsukube kubectl get nodes
  ./tsukube kubectl create deployment web --image=IMAGE --replicas=3
  ./tsukube status
  ./tsukube down`;
}

function statusText(status: ClusterStatus): string {
  if (!status.exists) return status.problems.join('\n');
  if (status.ha) return haStatusText(status, status.ha);
  const lines = [`cluster   ${status.name}  ${status.ready ? 'ready' : 'NOT READY'}  ${status.server ?? ''}`];
  for (const one of status.components) lines.push(`${one.component.padEnd(9)} ${stateText(one)}`);
  for (const node of status.nodes)
    lines.push(`node      ${node.name}  ${node.ready ? 'ready' : `not ready: ${node.reason}`}`);
  if (status.pods !== undefined) lines.push(`pods      ${status.pods}`);
  for (const problem of status.problems) lines.push(`problem   ${problem}`);
  return lines.join('\n');
}
