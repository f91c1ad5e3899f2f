// The membership of etcd, by the JSON gateway that every member serves (etcd's api_grpc_gateway): no client needed.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../lib/environment.ts';
import type { Layout } from '../layout.ts';
import { type Answer, ask, type Question } from './ask.ts';
import { ETCD_CLIENT_PORT, type HostSpec } from './topology.ts';

export interface EtcdMember {
  readonly id: string;
  /** Empty until it has started for the first time. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Receives everything and has no vote. */
  readonly isLearner: boolean;
}

/** How one member sees itself and the others. */
export interface EtcdEndpoint {
  readonly memberId: string;
  readonly leaderId: string | undefined;
  readonly term: string;
  /** It can read with the consent of a majority. */
  readonly isHealthy: boolean;
  readonly databaseBytes: number;
}

const TIMEOUT_MS = 2_000;
/** A change of the membership waits until it is committed. */
const CHANGE_TIMEOUT_MS = 10_000;

export class EtcdAdmin {
  readonly #env: Environment;
  readonly #tls: Question['tls'];

  private constructor(env: Environment, tls: Question['tls']) {
    this.#env = env;
    this.#tls = tls;
  }

  /** With the administrator's certificate from the cluster's keys. */
  static async open(layout: Layout, env: Environment): Promise<EtcdAdmin> {
    const read = (file: string): Promise<string> => readFile(join(layout.pki, file), 'utf8');
    const [ca, certificate, key] = await Promise.all(['etcd-ca.crt', 'etcd-admin.crt', 'etcd-admin.key'].map(read));
    return new EtcdAdmin(env, { ca: ca!, certificate: certificate!, key: key! });
  }

  async endpoint(host: HostSpec, signal: AbortSignal): Promise<EtcdEndpoint> {
    const status = (await this.#call(host, '/v3/maintenance/status', {}, signal)) as {
      readonly header: { readonly member_id: string };
      readonly leader?: string;
      readonly raftTerm?: string;
      readonly dbSize?: string;
    };
    return {
      memberId: status.header.member_id,
      leaderId: status.leader && status.leader !== '0' ? status.leader : undefined,
      term: status.raftTerm ?? '0',
      isHealthy: await this.#isHealthy(host, signal),
      databaseBytes: Number(status.dbSize ?? 0),
    };
  }

  async members(host: HostSpec, signal: AbortSignal): Promise<readonly EtcdMember[]> {
    const { members = [] } = (await this.#call(host, '/v3/cluster/member/list', {}, signal)) as MemberList;
    return members.map(({ ID, name = '', peerURLs = [], isLearner = false }) => ({
      id: ID,
      name,
      peerUrls: peerURLs,
      isLearner,
    }));
  }

  /** Adds a member that has no vote yet; returns its id. */
  async addLearner(host: HostSpec, peerUrl: string, signal: AbortSignal): Promise<string> {
    const body = { peerURLs: [peerUrl], isLearner: true };
    const { member } = (await this.#call(host, '/v3/cluster/member/add', body, signal)) as { member: { ID: string } };
    return member.ID;
  }

  /** Gives a learner its vote; refused until it has nearly everything. */
  async promote(host: HostSpec, id: string, signal: AbortSignal): Promise<void> {
    await this.#call(host, '/v3/cluster/member/promote', { ID: id }, signal);
  }

  async remove(host: HostSpec, id: string, signal: AbortSignal): Promise<void> {
    await this.#call(host, '/v3/cluster/member/remove', { ID: id }, signal);
  }

  /** Has the leader, which must be asked, hand over to another member, so that nobody has to notice its absence. */
  async moveLeader(leader: HostSpec, targetId: string, signal: AbortSignal): Promise<void> {
    await this.#call(leader, '/v3/maintenance/transfer-leadership', { targetID: targetId }, signal);
  }

  /** How many messages to another member this one could not send, since it started. Source: etcd's metrics. */
  async sendFailures(host: HostSpec, toId: string, signal: AbortSignal): Promise<number> {
    const { code, text } = await this.#ask({ url: url(host, '/metrics') }, TIMEOUT_MS, signal);
    if (code !== 200) throw new Error(`etcd on ${host.name}: HTTP ${code}`);
    return sendFailuresIn(text, toId);
  }

  async #isHealthy(host: HostSpec, signal: AbortSignal): Promise<boolean> {
    const { code, text } = await this.#ask({ url: url(host, '/health') }, TIMEOUT_MS, signal);
    return code === 200 && (JSON.parse(text) as { readonly health?: string }).health === 'true';
  }

  async #call(host: HostSpec, path: string, body: object, signal: AbortSignal): Promise<unknown> {
    const timeoutMs = path === '/v3/maintenance/status' ? TIMEOUT_MS : CHANGE_TIMEOUT_MS;
    const { code, text } = await this.#ask({ url: url(host, path), body }, timeoutMs, signal);
    if (code === 200) return JSON.parse(text);
    const { error } = parsed(text) as { readonly error?: string };
    throw new Error(`etcd on ${host.name}: ${error ?? `HTTP ${code}`}`);
  }

  #ask(question: Pick<Question, 'url' | 'body'>, timeoutMs: number, signal: AbortSignal): Promise<Answer> {
    return ask({ ...question, tls: this.#tls, timeoutMs }, this.#env.clock, signal);
  }
}

/** Of metrics in Prometheus' text form; a member's id is decimal in etcd's JSON and hexadecimal in its metrics. */
export function sendFailuresIn(metrics: string, toId: string): number {
  const name = `etcd_network_peer_sent_failures_total{To="${BigInt(toId).toString(16)}"}`;
  const line = metrics.split('\n').find((one) => one.startsWith(name));
  return Number(line?.slice(name.length) ?? 0);
}

interface MemberList {
  readonly members?: readonly {
    readonly ID: string;
    readonly name?: string;
    readonly peerURLs?: readonly string[];
    readonly isLearner?: boolean;
  }[];
}

function parsed(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    return {};
  }
}

function url(host: HostSpec, path: string): string {
  return `https://${host.address}:${ETCD_CLIENT_PORT}${path}`;
}
