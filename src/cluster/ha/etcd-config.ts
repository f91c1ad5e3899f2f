// How a host's etcd member is started. Pure.
import { join } from 'node:path';
import type { Profile } from '../profiles.ts';
import { ETCD_CLIENT_PORT, ETCD_PEER_PORT } from './topology.ts';

export interface EtcdMemberOptions {
  readonly program: string;
  readonly name: string;
  readonly address: string;
  readonly dataDir: string;
  /** With ca.crt, server.crt, peer.crt and their keys. */
  readonly pkiDir: string;
  readonly cluster: string;
  /** Names of all members that there are at the start, this one included. */
  readonly members: readonly string[];
  /** A member that joins others. */
  readonly joins: boolean;
  readonly timings: Pick<Profile['etcd'], 'heartbeatMs' | 'electionMs'>;
}

/** Debian's. */
export const ETCD_PROGRAM = '/usr/bin/etcd';
const QUOTA_BYTES = 8 * 2 ** 30;
/** Entries kept in memory for members that lag; more of them costs memory, fewer a snapshot over the network. */
const SNAPSHOT_COUNT = 10_000;

export function peerUrl(name: string): string {
  return `https://${name}:${ETCD_PEER_PORT}`;
}

export function etcdCommand(options: EtcdMemberOptions): readonly string[] {
  const { name, address, pkiDir, timings } = options;
  const flags: Readonly<Record<string, string>> = {
    name,
    'data-dir': options.dataDir,
    'listen-client-urls': `https://${address}:${ETCD_CLIENT_PORT},https://127.0.0.1:${ETCD_CLIENT_PORT}`,
    'advertise-client-urls': `https://${name}:${ETCD_CLIENT_PORT}`,
    'listen-peer-urls': `https://${address}:${ETCD_PEER_PORT}`,
    'initial-advertise-peer-urls': peerUrl(name),
    'initial-cluster': options.members.map((member) => `${member}=${peerUrl(member)}`).join(','),
    'initial-cluster-state': options.joins ? 'existing' : 'new',
    'initial-cluster-token': options.cluster,
    'client-cert-auth': 'true',
    'trusted-ca-file': join(pkiDir, 'ca.crt'),
    'cert-file': join(pkiDir, 'server.crt'),
    'key-file': join(pkiDir, 'server.key'),
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': join(pkiDir, 'ca.crt'),
    'peer-cert-file': join(pkiDir, 'peer.crt'),
    'peer-key-file': join(pkiDir, 'peer.key'),
    'heartbeat-interval': String(timings.heartbeatMs),
    'election-timeout': String(timings.electionMs),
    // A member that was cut off must not depose the leader when it comes back.
    'pre-vote': 'true',
    'quota-backend-bytes': String(QUOTA_BYTES),
    'snapshot-count': String(SNAPSHOT_COUNT),
    logger: 'zap',
    'log-outputs': 'stderr',
  };
  return [options.program, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)];
}
