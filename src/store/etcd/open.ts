// etcd as a server uses it: the client to all members, the store over it, and its turn at compaction, and its members as they come and go.
import type { Environment } from '../../lib/environment.ts';
import type { Store } from '../contract.ts';
import { runCompactor } from './compactor.ts';
import type { EtcdTls } from './connection.ts';
import type { EtcdTimings } from './endpoint.ts';
import { EtcdStore } from './etcd-store.ts';
import { followMembers } from './follow-members.ts';
import { GrpcRpc } from './grpc-rpc.ts';
import type { EtcdRpc } from './rpc.ts';

export interface OpenEtcdOptions {
  /** https://HOST:PORT or http://HOST:PORT, in the order of preference. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  readonly env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly timings: EtcdTimings;
  /** The members are asked this often who they are, and are used as they advertise themselves. Absent: `endpoints` stay. */
  readonly membersIntervalMs?: number;
  /** 0: this server never compacts. Default: upstream's five minutes. */
  readonly compactionIntervalMs?: number;
}

export interface OpenedEtcd {
  readonly store: Store;
  readonly rpc: EtcdRpc;
}

/** Connects in the background: the first read waits for a member, and says which were tried when none comes. */
export function openEtcdStore({ compactionIntervalMs, membersIntervalMs, ...options }: OpenEtcdOptions): OpenedEtcd {
  const { clock, log } = options.env;
  const rpc = new GrpcRpc(options);
  const closing = new AbortController();
  const store = new EtcdStore({ rpc, clock, log, onClose: () => closing.abort(new Error('the store is closed')) });
  if (compactionIntervalMs !== 0) {
    const interval = compactionIntervalMs === undefined ? {} : { intervalMs: compactionIntervalMs };
    void runCompactor({ rpc, clock, log, ...interval }, closing.signal);
  }
  if (membersIntervalMs !== undefined) {
    const use = (endpoints: readonly string[]): void => rpc.useEndpoints(endpoints);
    void followMembers({ rpc, use, clock, log, intervalMs: membersIntervalMs }, closing.signal);
  }
  return { store, rpc };
}
