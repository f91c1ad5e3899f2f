// Members of etcd as processes on loopback ports, with TLS, each reached by the others through relays that a test can cut.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCa, issue } from '../../src/apiserver/auth/certificates.ts';
import { PROFILES } from '../../src/cluster/profiles.ts';
import type { Environment } from '../../src/lib/environment.ts';
import type { EtcdTls } from '../../src/store/etcd/connection.ts';
import { openEtcdStore } from '../../src/store/etcd/open.ts';
import { eventually, must } from './harness.ts';
import { freePort, ownsPort, Relay } from './relay.ts';

export interface MembersOptions {
  readonly env: Environment;
  readonly count: number;
  /** Default: what `ETCD_BIN` names, or else is installed. */
  readonly programs?: EtcdPrograms;
  readonly heartbeatMs?: number;
  readonly electionMs?: number;
  /** A member's data directory is made from this snapshot's file. */
  readonly snapshot?: string;
}

export interface EtcdPrograms {
  /** Major and minor, as in 3.5. */
  readonly version: string;
  readonly etcd: string;
  readonly etcdctl: string;
}

/** A directory with another etcd and etcdctl, for any test that starts members. */
const BIN = process.env.ETCD_BIN ?? '/usr/bin';

export async function etcdPrograms(bin = BIN): Promise<EtcdPrograms> {
  const etcd = join(bin, 'etcd');
  const said = await must(etcd, ['--version']);
  const version = /^etcd Version: (\d+\.\d+)\./m.exec(said)?.[1];
  if (version === undefined) throw new Error(`${etcd} does not say which version it is: ${said}`);
  return { version, etcd, etcdctl: join(bin, 'etcdctl') };
}

interface Member {
  readonly name: string;
  readonly directory: string;
  readonly clientPort: number;
  readonly peerPort: number;
  process: ChildProcess | undefined;
  output: string;
  /** Where others, and clients, find it. */
  readonly peerRelay: Relay;
  readonly clientRelay: Relay;
}

const CERTIFICATE_MS = 24 * 3_600_000;
const READY_MS = 60_000;

export class Members {
  readonly directory: string;
  readonly tls: EtcdTls;
  readonly #members: readonly Member[];
  readonly #options: MembersOptions;
  readonly #programs: Pick<EtcdPrograms, 'etcd' | 'etcdctl'>;

  private constructor(directory: string, tls: EtcdTls, members: readonly Member[], options: MembersOptions) {
    this.directory = directory;
    this.tls = tls;
    this.#members = members;
    this.#options = options;
    this.#programs = options.programs ?? { etcd: join(BIN, 'etcd'), etcdctl: join(BIN, 'etcdctl') };
  }

  static async start(options: MembersOptions): Promise<Members> {
    const directory = await mkdtemp(join(tmpdir(), 'tsukube-etcd-'));
    const tls = await writeKeys(directory, options.env);
    const members: Member[] = [];
    for (let i = 0; options.count > i; i++) {
      const [clientPort, peerPort] = [await freePort(), await freePort()];
      members.push({
        name: `m${i}`,
        directory: join(directory, `m${i}`),
        clientPort,
        peerPort,
        process: undefined,
        output: '',
        peerRelay: await Relay.open(peerPort),
        clientRelay: await Relay.open(clientPort),
      });
    }
    const all = new Members(directory, tls, members, options);
    try {
      for (let i = 0; options.count > i; i++) {
        if (options.snapshot !== undefined) await all.#restore(i, options.snapshot);
        await all.run(i);
      }
      await all.#ready();
    } catch (error) {
      await all.stop();
      throw error;
    }
    return all;
  }

  get endpoints(): readonly string[] {
    return this.#members.map((m) => `https://127.0.0.1:${m.clientRelay.port}`);
  }

  get count(): number {
    return this.#members.length;
  }

  /** What a member has said, for a failure's message. */
  output(index: number): string {
    return this.#members[index]!.output;
  }

  /** Starts a member, or starts it again. */
  async run(index: number): Promise<void> {
    const member = this.#members[index]!;
    await mkdir(member.directory, { recursive: true, mode: 0o700 });
    const { heartbeatMs = 50, electionMs = 500 } = this.#options;
    const file = (name: string): string => join(this.directory, name);
    const flags = {
      name: member.name,
      'data-dir': member.directory,
      'listen-client-urls': `https://127.0.0.1:${member.clientPort}`,
      'advertise-client-urls': `https://127.0.0.1:${member.clientRelay.port}`,
      'listen-peer-urls': `https://127.0.0.1:${member.peerPort}`,
      'initial-advertise-peer-urls': `https://127.0.0.1:${member.peerRelay.port}`,
      'initial-cluster': this.#members.map((m) => `${m.name}=https://127.0.0.1:${m.peerRelay.port}`).join(','),
      'client-cert-auth': 'true',
      'trusted-ca-file': file('ca.crt'),
      'cert-file': file('member.crt'),
      'key-file': file('member.key'),
      'peer-client-cert-auth': 'true',
      'peer-trusted-ca-file': file('ca.crt'),
      'peer-cert-file': file('member.crt'),
      'peer-key-file': file('member.key'),
      'heartbeat-interval': String(heartbeatMs),
      'election-timeout': String(electionMs),
      'pre-vote': 'true',
      logger: 'zap',
      'log-level': 'error',
    };
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(this.#programs.etcd, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        member.output = (member.output + chunk.toString()).slice(-8_192);
      });
    }
    member.process = child;
  }

  /** Resolves when they have found each other: only then has a test's own patience begun. */
  async #ready(): Promise<void> {
    const { env } = this.#options;
    const timings = PROFILES.default.etcd;
    const { store } = openEtcdStore({
      endpoints: this.endpoints,
      tls: this.tls,
      env,
      timings,
      compactionIntervalMs: 0,
    });
    try {
      await eventually('etcd answers', async () => (await store.revision(AbortSignal.timeout(READY_MS))) > 0, READY_MS);
    } finally {
      await store.close();
    }
  }

  /** Makes a member's data directory of a snapshot. */
  async #restore(index: number, snapshot: string): Promise<void> {
    const member = this.#members[index]!;
    const url = (m: Member): string => `https://127.0.0.1:${m.peerRelay.port}`;
    const args = [
      'snapshot',
      'restore',
      snapshot,
      `--name=${member.name}`,
      `--data-dir=${member.directory}`,
      `--initial-cluster=${this.#members.map((m) => `${m.name}=${url(m)}`).join(',')}`,
      `--initial-advertise-peer-urls=${url(member)}`,
    ];
    const child = spawn(this.#programs.etcdctl, args, { stdio: 'ignore', env: { ...process.env, ETCDCTL_API: '3' } });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`etcdctl snapshot restore ended with ${code}`);
  }

  async kill(index: number): Promise<void> {
    const { process } = this.#members[index]!;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    process.kill('SIGCONT');
    process.kill('SIGKILL');
    await once(process, 'exit');
  }

  pause(index: number): void {
    this.#members[index]!.process!.kill('SIGSTOP');
  }

  resume(index: number): void {
    this.#members[index]!.process!.kill('SIGCONT');
  }

  /**
   * Cuts a member off from the other members, in both directions, and `fromClients` also from clients: bytes are swallowed, as
   * by a pulled cable.
   */
  cut(index: number, { fromClients }: { readonly fromClients: boolean }): void {
    const member = this.#members[index]!;
    member.peerRelay.cut(() => true);
    if (fromClients) member.clientRelay.cut(() => true);
    const own = member.process!.pid!;
    for (const other of this.#members) {
      if (other !== member) other.peerRelay.cut((port) => ownsPort(own, port));
    }
  }

  heal(): void {
    for (const { peerRelay, clientRelay } of this.#members) {
      peerRelay.heal();
      clientRelay.heal();
    }
  }

  async stop(): Promise<void> {
    for (let i = 0; this.#members.length > i; i++) await this.kill(i);
    for (const { peerRelay, clientRelay } of this.#members) {
      await peerRelay.close();
      await clientRelay.close();
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function writeKeys(directory: string, { clock, random }: Environment): Promise<EtcdTls> {
  const common = { nowMs: clock.now(), validityMs: CERTIFICATE_MS, random };
  const ca = createCa({ commonName: 'etcd-ca', ...common });
  const sans = ['127.0.0.1', 'localhost'];
  const member = issue(ca, { commonName: 'etcd', sans, usages: ['server', 'client'], ...common });
  const client = issue(ca, { commonName: 'client', usages: ['client'], ...common });
  await writeFile(join(directory, 'ca.crt'), ca.certificate);
  await writeFile(join(directory, 'member.crt'), member.certificate);
  await writeFile(join(directory, 'member.key'), member.key, { mode: 0o600 });
  await writeFile(join(directory, 'client.crt'), client.certificate);
  await writeFile(join(directory, 'client.key'), client.key, { mode: 0o600 });
  return { ca: ca.certificate, certificate: client.certificate, key: client.key };
}
