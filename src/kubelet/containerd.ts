import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { type CriClient, connectCri } from './cri/client.ts';
import { importPauseImage, PAUSE_IMAGE } from './pause-image.ts';

/** A containerd of our own: nothing of it is shared with another on the same machine. */
export interface ContainerdOptions {
  readonly env: Environment;
  /** Images and snapshots; kept over restarts. */
  readonly rootDir: string;
  /** Sockets, pid file, mounts; may be lost with the machine's power. */
  readonly stateDir: string;
  /** Where the configuration and the log are written. */
  readonly configDir: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  /** A `certs.d` directory of registry mirrors. */
  readonly registryConfigDir?: string;
  readonly sandboxImage?: string;
  /** "containerd" on the path by default; the same for `ctr`. */
  readonly containerdPath?: string;
  readonly ctrPath?: string;
}

export interface Containerd {
  /** What the kubelet's `criEndpoint` is. */
  readonly socket: string;
  readonly pid: number;
}

/** A unix socket's address holds 107 bytes. */
const MAX_SOCKET_PATH_BYTES = 107;
const START_TIMEOUT_MS = 60_000;
const WATCH_PERIOD_MS = 500;
const RESTART_DELAY_MS = 200;
const CAP_SYS_RESOURCE = 24n;

export function containerdSocket(options: Pick<ContainerdOptions, 'stateDir'>): string {
  return join(options.stateDir, 'containerd.sock');
}

/** What the machine allows, which the configuration follows. */
export interface MachineTraits {
  readonly systemdCgroup: boolean;
  readonly mayLowerOomScore: boolean;
  readonly apparmor: boolean;
}

export function readMachineTraits(): MachineTraits {
  const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return {
    systemdCgroup: existsSync('/run/systemd/system') && existsSync('/sys/fs/cgroup/cgroup.controllers'),
    mayLowerOomScore: ((BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n) === 1n,
    apparmor: existsSync('/sys/kernel/security/apparmor/profiles'),
  };
}

/** containerd's configuration (version 2, which 1.6 to 2.x read). */
export function containerdConfig(options: Omit<ContainerdOptions, 'env'>, machine: MachineTraits): string {
  const text = (value: string): string => JSON.stringify(value);
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = ${text(options.rootDir)}
state = ${text(join(options.stateDir, 'state'))}
oom_score = 0

[grpc]
  address = ${text(containerdSocket(options))}
[ttrpc]
  address = ${text(`${containerdSocket(options)}.ttrpc`)}
[debug]
  level = "warn"

[${cri}]
  sandbox_image = ${text(options.sandboxImage ?? PAUSE_IMAGE)}
  restrict_oom_score_adj = ${!machine.mayLowerOomScore}
  disable_apparmor = ${!machine.apparmor}
  enable_selinux = false
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_tls_streaming = false
  max_container_log_line_size = 16384
  [${cri}.cni]
    bin_dir = ${text(options.cniBinDir)}
    conf_dir = ${text(options.cniConfDir)}
  [${cri}.containerd]
    default_runtime_name = "runc"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [${cri}.containerd.runtimes.runc.options]
        SystemdCgroup = ${machine.systemdCgroup}
        Root = ${text(join(options.stateDir, 'runc'))}
  [${cri}.registry]
    config_path = ${text(options.registryConfigDir ?? join(options.configDir, 'certs.d'))}
`;
}

/**
 * Starts containerd, or takes over the one that an earlier agent left, and starts it again whenever it dies: containers
 * outlive it. Resolves when it answers and has the sandbox image. When `signal` aborts, containerd stays as it is, for
 * the next agent; `stopContainerd` ends it.
 */
export async function runContainerd(options: ContainerdOptions, signal: AbortSignal): Promise<Containerd> {
  const { env } = options;
  const log = env.log.child('containerd');
  const socket = containerdSocket(options);
  if (Buffer.byteLength(`${socket}.ttrpc`) > MAX_SOCKET_PATH_BYTES) {
    throw new Error(`containerd's socket path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${socket}`);
  }
  const registry = options.registryConfigDir ?? join(options.configDir, 'certs.d');
  for (const dir of [options.rootDir, options.stateDir, options.configDir, options.cniConfDir, registry]) {
    await mkdir(dir, { recursive: true, mode: 0o711 });
  }
  let pid = await runningContainerd(options);
  if (pid === undefined) pid = await start(options);
  else log.info('adopted', { pid });
  await ready(options, signal);
  await importPauseImage({ socket, ...(options.ctrPath && { ctr: options.ctrPath }) }, signal);

  const state = { socket, pid };
  watchOver(options, state, signal).catch((error) => {
    if (!signal.aborted) log.error('supervision ended', error);
  });
  return state;
}

/** Ends containerd (not its containers) and waits until it is gone. */
export async function stopContainerd(
  options: Pick<ContainerdOptions, 'env' | 'stateDir' | 'configDir'>,
  signal: AbortSignal,
): Promise<void> {
  const pid = await runningContainerd(options);
  if (pid === undefined) return;
  process.kill(pid, 'SIGTERM');
  const startedMs = options.env.clock.monotonic();
  while (isContainerd(pid, options)) {
    if (options.env.clock.monotonic() - startedMs > 10_000) process.kill(pid, 'SIGKILL');
    await sleep(options.env.clock, 50, signal);
  }
  await rm(pidFile(options), { force: true });
}

/** Stops and removes every pod of a runtime: what must come before its network or its directories are taken away. */
export async function removeAllPods(cri: CriClient, signal: AbortSignal): Promise<void> {
  const sandboxes = await cri.listPodSandboxes({ signal });
  await Promise.all(
    sandboxes.map(async ({ id }) => {
      await cri.stopPodSandbox(id, { signal });
      await cri.removePodSandbox(id, { signal });
    }),
  );
}

async function watchOver(options: ContainerdOptions, state: { pid: number }, signal: AbortSignal): Promise<void> {
  const { clock, log } = options.env;
  while (!signal.aborted) {
    await sleep(clock, WATCH_PERIOD_MS, signal);
    if (isContainerd(state.pid, options)) continue;
    log.child('containerd').warn('containerd died; starting it again', { pid: state.pid });
    await sleep(clock, RESTART_DELAY_MS, signal);
    try {
      state.pid = await start(options);
      await ready(options, signal);
    } catch (error) {
      if (signal.aborted) return;
      log.child('containerd').error('containerd did not start', error);
    }
  }
}

async function start(options: ContainerdOptions): Promise<number> {
  const config = configFile(options);
  await writeFile(config, containerdConfig(options, readMachineTraits()));
  const output = await open(join(options.configDir, 'containerd.log'), 'a');
  try {
    const child = spawn(options.containerdPath ?? 'containerd', ['--config', config], {
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      cwd: '/',
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    await writeFile(pidFile(options), `${child.pid}\n`);
    return child.pid!;
  } finally {
    await output.close();
  }
}

async function ready(options: ContainerdOptions, signal: AbortSignal): Promise<void> {
  const { clock } = options.env;
  const cri = connectCri(containerdSocket(options), clock);
  const startedMs = clock.monotonic();
  try {
    for (;;) {
      try {
        await cri.version({ signal, timeoutMs: 2_000 });
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        if (clock.monotonic() - startedMs > START_TIMEOUT_MS) {
          throw new Error(`containerd did not answer; see ${join(options.configDir, 'containerd.log')}`, {
            cause: error,
          });
        }
      }
      await sleep(clock, 50, signal);
    }
  } finally {
    cri.close();
  }
}

/** The process of the pid file, if it still is the containerd of this configuration: pids are used again. */
async function runningContainerd(
  options: Pick<ContainerdOptions, 'stateDir' | 'configDir'>,
): Promise<number | undefined> {
  const text = await readFile(pidFile(options), 'utf8').catch(() => '');
  const pid = Number(text.trim());
  return pid > 0 && isContainerd(pid, options) ? pid : undefined;
}

function isContainerd(pid: number, options: Pick<ContainerdOptions, 'configDir'>): boolean {
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return state !== 'Z' && command.includes(configFile(options));
  } catch {
    return false;
  }
}

function pidFile(options: Pick<ContainerdOptions, 'stateDir'>): string {
  return join(options.stateDir, 'containerd.pid');
}

function configFile(options: Pick<ContainerdOptions, 'configDir'>): string {
  return join(options.configDir, 'containerd.toml');
}
