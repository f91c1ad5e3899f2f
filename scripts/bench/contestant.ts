// What is measured: a control plane with its durable store, and how to start and end it.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { issue, type KeyedCertificate } from '../../src/apiserver/auth/certificates.ts';
import { type Layout, layoutOf } from '../../src/cluster/layout.ts';
import { ensurePki, type Pki } from '../../src/cluster/pki.ts';
import { DEFAULTS, type Settings, writeFileAtomically } from '../../src/cluster/settings.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { cpuMs } from './usage.ts';

export interface Contestant {
  readonly name: string;
  readonly port: number;
  readonly pki: Pki;
  /** From the API server's start to its first /readyz ok, with an empty store. */
  readonly startMs: number;
  /** The API server's CPU by then. */
  readonly startCpuMs: number;
  /** The processes whose CPU counts for a request: the API server and its store. */
  readonly serving: readonly number[];
  /** Every process of the control plane, by name. */
  readonly processes: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** One group of processes that ends together, its files below one directory. */
export class Processes {
  readonly directory: string;
  readonly pids = new Map<string, number>();
  #children: ChildProcess[] = [];

  constructor(directory: string) {
    this.directory = directory;
  }

  async start(name: string, program: string, args: readonly string[]): Promise<number> {
    await mkdir(this.directory, { recursive: true });
    const log = openSync(join(this.directory, `${name}.log`), 'a');
    const child = spawn(program, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const pid = child.pid ?? 0;
    this.#children.push(child);
    this.pids.set(name, pid);
    return pid;
  }

  /** The last lines of a process's log, for a message about why it does not work. */
  async tail(name: string): Promise<string> {
    const text = await readFile(join(this.directory, `${name}.log`), 'utf8').catch(String);
    return text.trimEnd().split('\n').slice(-8).join('\n');
  }

  /** Whether one has ended by itself. */
  get isBroken(): boolean {
    return this.#children.some(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
  }

  /** Ends all, the last one started first, and removes their directory. */
  async close(): Promise<void> {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(force);
    }
    this.#children = [];
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** One member of etcd, from the PATH, at `port` and the next. */
export async function startEtcd(
  processes: Processes,
  port: number,
): Promise<{ readonly url: string; readonly pid: number }> {
  const directory = join(processes.directory, 'etcd');
  const url = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${port + 1}`;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const pid = await processes.start('etcd', 'etcd', [
    `--data-dir=${directory}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
  ]);
  return { url, pid };
}

/** A fresh cluster's settings and keys below `base`. */
export async function prepare(
  base: string,
  port: number,
): Promise<{ readonly layout: Layout; readonly settings: Settings; readonly pki: Pki }> {
  await rm(base, { recursive: true, force: true });
  const layout = layoutOf(base, 'bench');
  const settings: Settings = {
    ...DEFAULTS,
    name: 'bench',
    advertiseAddress: '127.0.0.1',
    port,
    nodeName: 'bench',
    split: true,
    simulatedNodes: 0,
    profile: 'default',
  };
  const pki = await ensurePki(layout, settings, realEnvironment('silent'));
  await writeFileAtomically(layout.settings, JSON.stringify(settings), 0o644);
  return { layout, settings, pki };
}

export function clientCertificate(
  pki: Pki,
  commonName: string,
  organizations: readonly string[] = [],
): KeyedCertificate {
  const { clock, random } = realEnvironment('silent');
  const validityMs = 24 * 3_600_000;
  return issue(pki.ca, { commonName, organizations, usages: ['client'], nowMs: clock.now(), validityMs, random });
}

/** tsukube's server, as `tsukube up --split` starts it, without an agent. */
export async function startOurs(options: {
  readonly name: string;
  readonly directory: string;
  readonly port: number;
  readonly bundle: string;
  readonly nodeOptions: readonly string[];
}): Promise<Contestant> {
  const { name, directory, port, bundle } = options;
  const { layout, pki } = await prepare(join(directory, 'cluster'), port);
  const processes = new Processes(directory);
  const place = ['--name', layout.name, '--data-dir', join(layout.root, '..')];
  const start = performance.now();
  const pid = await processes.start('tsukube', process.execPath, [...options.nodeOptions, bundle, 'server', ...place]);
  return ready({ name, port, pki, processes, apiServer: { name: 'tsukube', pid }, serving: [pid], start });
}

interface Starting {
  readonly name: string;
  readonly port: number;
  readonly pki: Pki;
  readonly processes: Processes;
  readonly apiServer: { readonly name: string; readonly pid: number };
  readonly serving: readonly number[];
  /** performance.now() at the API server's start. */
  readonly start: number;
}

/** Waits for /readyz; what dies or does not start within two minutes is ended, with its log's end in the error. */
export async function ready(of: Starting): Promise<Contestant> {
  const admin = clientCertificate(of.pki, 'bench-admin', ['system:masters']);
  const access: Access = { port: of.port, ca: of.pki.ca.certificate, ...admin };
  while ((await call(access, 'GET', '/readyz').catch(() => ({ status: 0 }))).status !== 200) {
    if (of.processes.isBroken || performance.now() - of.start > 120_000) {
      const tail = await of.processes.tail(of.apiServer.name);
      await of.processes.close();
      throw new Error(`${of.name} does not become ready; its log ends with:\n${tail}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    name: of.name,
    port: of.port,
    pki: of.pki,
    startMs: performance.now() - of.start,
    startCpuMs: cpuMs(of.apiServer.pid),
    serving: of.serving,
    processes: of.processes.pids,
    close: () => of.processes.close(),
  };
}

export interface Access {
  readonly port: number;
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** Connections that `call` may use again. */
const kept = new Agent({ keepAlive: true });

/** One request outside of what is measured; on a connection of its own unless it may be kept. */
export function call(
  access: Access,
  method: string,
  path: string,
  body?: object,
  { keepAlive = false } = {},
): Promise<{ readonly status: number; readonly body: string }> {
  const { port, ca, certificate: cert, key } = access;
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    const agent = keepAlive ? kept : false;
    const req = request({ host: '127.0.0.1', port, method, path, ca, cert, key, headers, agent }, (res) => {
      const pieces: Buffer[] = [];
      res.on('data', (piece: Buffer) => pieces.push(piece));
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(pieces).toString() }));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
