// A control plane in this process: API server, controllers, scheduler, simulated nodes. Used by `tsukube server` and by tests.
import { Tables } from '../api/tables.ts';
import type { UserInfo } from '../apiserver/contract.ts';
import { API_SERVER_USER, type ApiServer, type ApiServerOptions, startApiServer } from '../apiserver/server.ts';
import type { Client, Informers } from '../client/contract.ts';
import { inProcessClient } from '../client/in-process.ts';
import { makeInformers } from '../client/informers.ts';
import { ensureDnsService } from '../dns/dns.ts';
import { isAbort } from '../lib/abort.ts';
import type { Environment } from '../lib/environment.ts';
import { runSimulatedNodes, type SimulatedNodes, type SimulatedNodesOptions } from '../simulated/simulated-nodes.ts';
import type { Store } from '../store/contract.ts';
import { CONTROLLER_MANAGER, leadControllers, leadScheduler } from './leading.ts';
import { PROFILES, type ProfileName } from './profiles.ts';

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
  const manager = clientAs(CONTROLLER_MANAGER);
  const informers = makeInformers({ client: manager, tables, env });
  if (options.dnsAddress) await ensureDnsService(clientAs(API_SERVER_USER), options.dnsAddress, signal);
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  const simulations: Promise<void>[] = [];
  const { identity, clusterCidr } = options;
  const leading = { env, tables, identity, profile, clientAs };
  const parts = [
    leadControllers({ ...leading, informers, clusterCidr, rootCa: apiServer.caCertificate }, ends),
    leadScheduler(leading, ends),
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
