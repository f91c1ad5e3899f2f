// A control plane in this process: API server, controllers, scheduler, simulated nodes. Used by `tsukube server` and by tests.
import { Tables } from '../api/tables.ts';
import type { UserInfo } from '../apiserver/contract.ts';
import { API_SERVER_USER, type ApiServer, type ApiServerOptions, startApiServer } from '../apiserver/server.ts';
import type { Client, Informers } from '../client/contract.ts';
import { recordEvents } from '../client/events.ts';
import { inProcessClient } from '../client/in-process.ts';
import { makeInformers } from '../client/informers.ts';
import { electLeader } from '../client/leader-election.ts';
import { coreControllers } from '../controllers/core.ts';
import { runControllers } from '../controllers/runtime.ts';
import { workloadControllers } from '../controllers/workloads.ts';
import { ensureDnsService } from '../dns/dns.ts';
import { isAbort } from '../lib/abort.ts';
import type { Environment } from '../lib/environment.ts';
import { runScheduler } from '../scheduler/scheduler.ts';
import { runSimulatedNodes, type SimulatedNodes, type SimulatedNodesOptions } from '../simulated/simulated-nodes.ts';
import type { Store } from '../store/contract.ts';
import { PROFILES, type Profile, type ProfileName } from './profiles.ts';

export interface ControlPlaneOptions {
  readonly env: Environment;
  readonly store: Store;
  /** The candidate's name in elections: the same after a restart where nobody else can have the store. */
  readonly identity: string;
  readonly clusterCidr: string;
  readonly profile: ProfileName;
  /** A Service kube-dns at this address; absent: none. */
  readonly dnsAddress?: string;
  readonly apiServer: Omit<ApiServerOptions, 'env' | 'store' | 'tables'>;
}

export interface ControlPlane {
  readonly apiServer: ApiServer;
  readonly tables: Tables;
  /** A client in this process with this user's rights. */
  clientAs(user: UserInfo): Client;
  /** Informers over the watch cache, with the rights of the controller manager. */
  readonly informers: Informers;
  /** Adds simulated nodes; they end with the control plane. */
  simulate(nodes: number | SimulatedNodesOptions): Promise<SimulatedNodes>;
  /** Settles when everything has ended after the signal; rejects when a part failed. */
  readonly ended: Promise<void>;
}

/** Starts everything; resolves when the API server is ready. Ends with the signal; the store stays the caller's. */
export async function startControlPlane(options: ControlPlaneOptions, signal: AbortSignal): Promise<ControlPlane> {
  const { env, store } = options;
  const tables = new Tables();
  const profile = PROFILES[options.profile];
  const tolerationSeconds = profile.eviction;
  const apiServer = await startApiServer({ tolerationSeconds, ...options.apiServer, env, store, tables }, signal);
  const clientAs = (user: UserInfo): Client =>
    inProcessClient({ api: apiServer.pipeline, tables, user, clock: env.clock, userAgent: 'tsukube' });
  const manager = clientAs(systemUser('system:kube-controller-manager'));
  const informers = makeInformers({ client: manager, tables, env });
  if (options.dnsAddress) await ensureDnsService(clientAs(API_SERVER_USER), options.dnsAddress, signal);
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  const simulations: Promise<void>[] = [];
  const parts = [
    leadControllers(options, profile, { clientAs, apiServer, informers, manager }, ends),
    leadScheduler(options, profile, clientAs, tables, ends),
  ];
  const ended = Promise.allSettled(
    parts.map((part) =>
      part.catch((error: unknown) => {
        if (!isAbort(error, ends)) stop.abort(error);
        throw error;
      }),
    ),
  ).then(async (results) => {
    await Promise.allSettled(simulations);
    await apiServer.close();
    const failed = results.find((r) => r.status === 'rejected' && !isAbort(r.reason, signal));
    if (failed?.status === 'rejected') throw failed.reason;
  });
  return {
    apiServer,
    tables,
    clientAs,
    informers,
    ended,
    simulate: async (wanted) => {
      const client = clientAs(API_SERVER_USER);
      const own = makeInformers({ client, tables, env });
      const nodes = await runSimulatedNodes(
        { client, informers: own, env },
        {
          leaseDurationSeconds: profile.node.leaseDurationSeconds,
          ...(typeof wanted === 'number' ? { count: wanted } : wanted),
        },
        ends,
      );
      simulations.push(nodes.done);
      return nodes;
    },
  };
}

interface Parts {
  readonly clientAs: (user: UserInfo) => Client;
  readonly apiServer: ApiServer;
  readonly informers: Informers;
  readonly manager: Client;
}

function leadControllers(
  options: ControlPlaneOptions,
  profile: Profile,
  parts: Parts,
  signal: AbortSignal,
): Promise<void> {
  const { env } = options;
  const { clientAs, apiServer, informers, manager } = parts;
  const log = env.log.child('controllers');
  return electLeader(
    {
      client: manager,
      env: { ...env, log },
      namespace: 'kube-system',
      name: 'kube-controller-manager',
      identity: options.identity,
      timings: profile.election,
      fenced: true,
      events: recordEvents({ client: manager, env, component: 'kube-controller-manager' }, signal),
      lead: async (fenced, leading, guards) => {
        // What a deposed leader still has to report is refused like everything else that it does.
        const events = recordEvents({ client: fenced, env, component: 'kube-controller-manager' }, leading);
        const controllers = [
          ...coreControllers({
            rootCa: apiServer.caCertificate,
            nodeIpam: { clusterCidr: options.clusterCidr },
            nodeLifecycle: {
              timings: profile.node,
              rates: profile.eviction,
              monitorPeriodMs: profile.node.monitorPeriodMs,
            },
          }),
          ...workloadControllers(),
        ];
        const clientFor = (account: string): Client => clientAs(serviceAccount(account)).fenced(guards);
        await runControllers(controllers, { informers, env: { ...env, log }, events, clientFor }, leading);
      },
    },
    signal,
  );
}

function leadScheduler(
  options: ControlPlaneOptions,
  profile: Profile,
  clientAs: (user: UserInfo) => Client,
  tables: Tables,
  signal: AbortSignal,
): Promise<void> {
  const env = { ...options.env, log: options.env.log.child('scheduler') };
  const client = clientAs(systemUser('system:kube-scheduler'));
  return electLeader(
    {
      client,
      env,
      namespace: 'kube-system',
      name: 'kube-scheduler',
      identity: options.identity,
      timings: profile.election,
      fenced: true,
      events: recordEvents({ client, env, component: 'default-scheduler' }, signal),
      lead: async (fenced, leading) => {
        const events = recordEvents({ client: fenced, env, component: 'default-scheduler' }, leading);
        const informers = makeInformers({ client: fenced, tables, env });
        await runScheduler({ client: fenced, informers, env, events }, {}, leading);
      },
    },
    signal,
  );
}

function systemUser(username: string): UserInfo {
  return { username, groups: ['system:authenticated'] };
}

/** A controller's own account in kube-system, whose rights are system:controller:NAME. */
function serviceAccount(name: string): UserInfo {
  return {
    username: `system:serviceaccount:kube-system:${name}`,
    groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
  };
}
