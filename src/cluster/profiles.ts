// Every time that decides how soon a failure is noticed and mended, in two profiles. Nothing here computes: components are
// handed their rows. ARCHITECTURE.md prints the table.
import type { ElectionTimings } from '../client/election.ts';
import type { NodeTimings } from '../controllers/node-health.ts';
import type { EvictionRates } from '../controllers/node-zones.ts';
import type { BackoffPolicy } from '../lib/backoff.ts';

/** "default": Kubernetes' own timings. "fast": seconds, for machines that are near each other. */
export type ProfileName = 'default' | 'fast';

export const PROFILE_NAMES: readonly ProfileName[] = ['default', 'fast'];

export interface Profile {
  /** Leases kube-controller-manager and kube-scheduler. */
  readonly election: ElectionTimings;
  readonly node: NodeTimings & {
    /** Of a kubelet's Lease; renewed four times within it. */
    readonly leaseDurationSeconds: number;
    /** A failed renewal or registration is tried again after this. */
    readonly leaseRetryMs: number;
    /** The kubelet looks at its node's state this often (--node-status-update-frequency). */
    readonly statusCheckMs: number;
    /** An unchanged status is posted this often all the same (nodeStatusReportFrequency). */
    readonly statusReportMs: number;
    /** A node that is not ready is looked at again this often (--node-monitor-period). */
    readonly monitorPeriodMs: number;
    /** Pods of nodes that are out of service or no longer exist are looked for this often; a node must be missing this long. */
    readonly podGcPeriodMs: number;
    readonly podGcQuarantineMs: number;
  };
  readonly eviction: EvictionRates & {
    /** Given to pods that say nothing themselves (--default-not-ready-toleration-seconds and -unreachable-). */
    readonly notReadyTolerationSeconds: number;
    readonly unreachableTolerationSeconds: number;
  };
  /** Connections, on both sides of them. */
  readonly connection: {
    /** A connection from which nothing came for this long is asked by an HTTP/2 ping whether it lives. */
    readonly pingAfterMs: number;
    /** And is given up when it does not answer within this. */
    readonly pingTimeoutMs: number;
    readonly connectTimeoutMs: number;
    /** TCP keepalive begins after this much silence (HTTP/1.1 connections have no pings). */
    readonly tcpKeepAliveMs: number;
  };
  /** A client that knows several servers. */
  readonly balancer: {
    /** Every server is asked for /readyz this often. */
    readonly checkIntervalMs: number;
    readonly checkTimeoutMs: number;
    /** Failed checks until a server is left out, and good ones until it is used again. */
    readonly unhealthyThreshold: number;
    readonly healthyThreshold: number;
  };
  /** Between failed lists and watches of one informer. */
  readonly relistBackoff: BackoffPolicy;
  readonly server: {
    /** The Lease apiserver-HASH in kube-system: how long it lives unrenewed, how often it is renewed, how often dead ones are swept. */
    readonly identityLeaseDurationSeconds: number;
    readonly identityRenewMs: number;
    readonly identitySweepMs: number;
    /** The entry that puts a server into the endpoints of Service kubernetes: expires after, renewed every. */
    readonly masterLeaseSeconds: number;
    readonly masterRenewMs: number;
    /** With several servers: /readyz fails for this long before connections are ended (--shutdown-delay-duration). */
    readonly shutdownDelayMs: number;
    /** And requests under way get this long to end. */
    readonly shutdownGraceMs: number;
    /** /readyz says that etcd is gone when it has not answered for this long: before HAProxy's check gives up. */
    readonly storeCheckTimeoutMs: number;
    /** With several servers: the share of HTTP/2 requests after which the client is asked to connect anew (--goaway-chance). */
    readonly goawayChance: number;
  };
  readonly etcd: {
    /** --heartbeat-interval and --election-timeout of the members. */
    readonly heartbeatMs: number;
    readonly electionMs: number;
    /** API servers ask each member how it does this often, and leave one that does not say within that. */
    readonly healthIntervalMs: number;
    readonly healthTimeoutMs: number;
    readonly dialTimeoutMs: number;
    /** And ask who the members are this often. */
    readonly membersIntervalMs: number;
    /** Deadline of one call. */
    readonly requestTimeoutMs: number;
    /** A request that no member takes for this long is refused. */
    readonly unavailableAfterMs: number;
    /** When no member has known a leader for this long, requests are refused at once: longer than an election with a split vote. */
    readonly leaderlessAfterMs: number;
    /** Requests from before a change of leader are given up after this: they may have died with the old one. */
    readonly leaderChangeGraceMs: number;
  };
  readonly haproxy: {
    /** `inter`, `fastinter`, `fall`, `rise`, `timeout connect`, `timeout check` of its server lines. */
    readonly checkIntervalMs: number;
    readonly fastCheckIntervalMs: number;
    readonly fall: number;
    readonly rise: number;
    readonly connectTimeoutMs: number;
    readonly checkTimeoutMs: number;
    /** `tcp-ut`: a connection whose bytes the server's host does not acknowledge for this long is ended. */
    readonly unacknowledgedMs: number;
    /** TCP keepalive on both sides: so much silence, and so long between two questions. */
    readonly keepAliveSeconds: number;
  };
  readonly keepalived: {
    /** VRRP `advert_int`: the address moves after about three of them. */
    readonly advertisementMs: number;
    /** `vrrp_script`: whether this host's HAProxy lives. */
    readonly checkIntervalMs: number;
    readonly fall: number;
    readonly rise: number;
  };
}

const DEFAULT_PROFILE: Profile = {
  election: { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 },
  node: {
    graceMs: 50_000,
    startupGraceMs: 60_000,
    leaseDurationSeconds: 40,
    leaseRetryMs: 1_000,
    statusCheckMs: 10_000,
    statusReportMs: 300_000,
    monitorPeriodMs: 5_000,
    podGcPeriodMs: 20_000,
    podGcQuarantineMs: 40_000,
  },
  eviction: {
    evictionRate: 0.1,
    secondaryEvictionRate: 0.01,
    largeClusterSize: 50,
    unhealthyZoneThreshold: 0.55,
    notReadyTolerationSeconds: 300,
    unreachableTolerationSeconds: 300,
  },
  connection: { pingAfterMs: 30_000, pingTimeoutMs: 15_000, connectTimeoutMs: 10_000, tcpKeepAliveMs: 15_000 },
  balancer: { checkIntervalMs: 5_000, checkTimeoutMs: 2_000, unhealthyThreshold: 2, healthyThreshold: 2 },
  relistBackoff: { initialMs: 100, maximumMs: 30_000, factor: 2, jitter: 1 },
  server: {
    identityLeaseDurationSeconds: 3_600,
    identityRenewMs: 10_000,
    identitySweepMs: 3_600_000,
    masterLeaseSeconds: 15,
    masterRenewMs: 10_000,
    shutdownDelayMs: 5_000,
    shutdownGraceMs: 60_000,
    storeCheckTimeoutMs: 2_000,
    goawayChance: 0.001,
  },
  etcd: {
    heartbeatMs: 100,
    electionMs: 1_000,
    healthIntervalMs: 2_000,
    healthTimeoutMs: 3_000,
    dialTimeoutMs: 5_000,
    membersIntervalMs: 10_000,
    requestTimeoutMs: 10_000,
    unavailableAfterMs: 5_000,
    leaderlessAfterMs: 3_000,
    leaderChangeGraceMs: 1_000,
  },
  haproxy: {
    checkIntervalMs: 2_000,
    fastCheckIntervalMs: 1_000,
    fall: 3,
    rise: 2,
    connectTimeoutMs: 5_000,
    checkTimeoutMs: 3_000,
    unacknowledgedMs: 5_000,
    keepAliveSeconds: 15,
  },
  keepalived: { advertisementMs: 1_000, checkIntervalMs: 2_000, fall: 2, rise: 2 },
};

/*
 * How the fast figures hang together. A leader that dies is followed within the lease duration of its last renewal, so that a new
 * pod waits less than 2 s. A kubelet renews every 750 ms and tries again after 250 ms, so that 2.5 s without writes (an etcd
 * election at its worst) do not look like a lost node, which is what 4 s of silence are; 2 s of toleration later its pods are made
 * again elsewhere. A peer that vanished is noticed by 300 ms of silence and 650 ms without an answer.
 */
const FAST_PROFILE: Profile = {
  election: { leaseDurationMs: 1_500, renewDeadlineMs: 1_000, retryPeriodMs: 250 },
  node: {
    graceMs: 4_000,
    startupGraceMs: 10_000,
    leaseDurationSeconds: 3,
    leaseRetryMs: 250,
    statusCheckMs: 2_000,
    statusReportMs: 60_000,
    monitorPeriodMs: 500,
    podGcPeriodMs: 1_000,
    podGcQuarantineMs: 5_000,
  },
  eviction: {
    evictionRate: 1,
    secondaryEvictionRate: 0.1,
    largeClusterSize: 50,
    unhealthyZoneThreshold: 0.55,
    notReadyTolerationSeconds: 2,
    unreachableTolerationSeconds: 2,
  },
  connection: { pingAfterMs: 300, pingTimeoutMs: 650, connectTimeoutMs: 1_000, tcpKeepAliveMs: 1_000 },
  balancer: { checkIntervalMs: 500, checkTimeoutMs: 500, unhealthyThreshold: 2, healthyThreshold: 2 },
  relistBackoff: { initialMs: 50, maximumMs: 1_000, factor: 2, jitter: 1 },
  server: {
    identityLeaseDurationSeconds: 60,
    identityRenewMs: 5_000,
    identitySweepMs: 30_000,
    masterLeaseSeconds: 2,
    masterRenewMs: 500,
    shutdownDelayMs: 1_000,
    shutdownGraceMs: 5_000,
    storeCheckTimeoutMs: 150,
    goawayChance: 0.01,
  },
  etcd: {
    heartbeatMs: 50,
    electionMs: 500,
    healthIntervalMs: 200,
    healthTimeoutMs: 600,
    dialTimeoutMs: 1_000,
    membersIntervalMs: 2_000,
    requestTimeoutMs: 3_000,
    unavailableAfterMs: 2_500,
    leaderlessAfterMs: 1_100,
    leaderChangeGraceMs: 300,
  },
  haproxy: {
    checkIntervalMs: 200,
    fastCheckIntervalMs: 100,
    fall: 2,
    rise: 2,
    connectTimeoutMs: 150,
    checkTimeoutMs: 300,
    unacknowledgedMs: 250,
    keepAliveSeconds: 1,
  },
  // keepalived's scripts run at whole seconds.
  keepalived: { advertisementMs: 200, checkIntervalMs: 1_000, fall: 2, rise: 2 },
};

export const PROFILES: { readonly [name in ProfileName]: Profile } = { default: DEFAULT_PROFILE, fast: FAST_PROFILE };

/** The name as one of the profiles' names, or undefined. */
export function profileName(text: string): ProfileName | undefined {
  return PROFILE_NAMES.find((name) => name === text);
}
