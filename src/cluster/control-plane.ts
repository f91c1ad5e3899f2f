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
import { simulatedNodeRefusal } from '../simulated/node-stages.ts';
import { runSimulatedNodes, type SimulatedNodes, type SimulatedNodesOptions } from '../simulated/simulated-nodes.ts';
import type { Store } from '../store/contract.ts';
import { CONTROLLER_MANAGER, leadControllers, leadScheduler } from './leading.ts';
import { PROFILES, type ProfileName } from './profiles.ts';
import { userAgentOf } from './user-agents.ts';

export interface ControlPlaneOptions {
  readonly env: Environment;
  readonly store: Store;
  /** The candidate's name in elections: of no other process, unless nobody else can have the store; then kept over restarts. */
  readonly identity: string;
  /** This machine's name. Default: the identity. */
  readonly hostname?: string;
  readonly clusterCidr: string;
  readonly profile: ProfileName;
  /** A Service kube-dns at this address; absent: none. */
  readonly dnsAddress?: string;
  /** With several servers: the share of HTTP/2 requests after which clients are asked to connect anew. Default 0. */
  readonly goawayChance?: number;
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
  /**
   * Ends in order: the Leases are given back and /readyz fails at once, then connections end as ApiServer.leave says. Resolves
   * when everything has ended.
   */
  leave(timing: { readonly delayMs: number; readonly graceMs: number }): Promise<void>;
  /** Settles when everything has ended after the signal; rejects when a part failed. */
  readonly ended: Promise<void>;
}

/** Starts everything; resolves when the API server is ready. Ends with the signal; the store stays the caller's. */
export async function startControlPlane(options: ControlPlaneOptions, signal: AbortSignal): Promise<ControlPlane> {
  const { env, store } = options;
  const tables = new Tables();
  const profile = PROFILES[options.profile];
  const tolerationSeconds = profile.eviction;
  const presence = { hostname: options.hostname ?? options.identity, ...profile.server };
  const { storeCheckTimeoutMs } = profile.server;
  const connection = { ...profile.connection, goawayChance: options.goawayChance ?? 0 };
  const apiServer = await startServing(
    {
      tolerationSeconds,
      presence,
      connection,
      storeCheckTimeoutMs,
      nodeRefusal: simulatedNodeRefusal,
      ...options.apiServer,
      env,
      store,
      tables,
    },
    options.dnsAddress,
    signal,
  );
  const clientAs = (user: UserInfo, userAgent = userAgentOf(user)): Client =>
    inProcessClient({ api: apiServer.pipeline, tables, user, clock: env.clock, userAgent });
  const manager = clientAs(CONTROLLER_MANAGER);
  const backoff = profile.relistBackoff;
  const informers = makeInformers({ client: manager, tables, env, backoff });
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  let leaving = Promise.resolve();
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
    await leaving;
    await apiServer.close();
    const failed = results.find((r) => r.status === 'rejected' && !isAbort(r.reason, ends));
    if (failed?.status === 'rejected') throw failed.reason;
  });
  return {
    apiServer,
    tables,
    clientAs,
    informers,
    ended,
    async leave(timing) {
      leaving = apiServer.leave(timing);
      stop.abort(new Error('the server leaves'));
      await ended;
    },
    simulate: async (wanted) => {
      const client = clientAs(API_SERVER_USER, 'kubelet');
      const own = makeInformers({ client, tables, env, backoff });
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

/**
 * Starts the API server, with a Service kube-dns at `dnsAddress`. The signal only gives up starting: the server outlives its
 * controllers and its scheduler, which give their Leases back through it, until it is closed.
 */
async function startServing(
  options: ApiServerOptions,
  dnsAddress: string | undefined,
  signal: AbortSignal,
): Promise<ApiServer> {
  const { env, tables } = options;
  const serving = new AbortController();
  const giveUp = (): void => serving.abort(signal.reason);
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  let apiServer: ApiServer | undefined;
  try {
    apiServer = await startApiServer(options, serving.signal);
    const { pipeline: api } = apiServer;
    const user = API_SERVER_USER;
    const client = inProcessClient({ api, tables, user, clock: env.clock, userAgent: userAgentOf(user) });
    if (dnsAddress) await ensureDnsService(client, dnsAddress, signal);
    return apiServer;
  } catch (error) {
    // What an API server that did not come to be had begun ends with its signal.
    serving.abort(error);
    await apiServer?.close();
    throw error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
