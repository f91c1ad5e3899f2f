// The agent: what makes this machine a node. containerd, kubelet, pod network, service proxy, cluster DNS.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Tables } from '../api/tables.ts';
import { balancerMetrics } from '../client/balancer/metrics.ts';
import type { Client } from '../client/contract.ts';
import { recordEvents } from '../client/events.ts';
import { httpsClient } from '../client/https.ts';
import { makeInformers } from '../client/informers.ts';
import { accessFrom, readKubeconfig } from '../client/kubeconfig.ts';
import { runDns } from '../dns/dns.ts';
import { readMachineTraits, runContainerd } from '../kubelet/containerd.ts';
import { type Kubelet, runKubelet } from '../kubelet/kubelet.ts';
import { isAbort } from '../lib/abort.ts';
import type { Environment } from '../lib/environment.ts';
import { setUpNodeNetwork } from '../network/node-network.ts';
import { runRoutes, waitForPodCidr } from '../network/route-controller.ts';
import { ServiceProxy } from '../proxy/proxy.ts';
import { showServers } from './agent-servers.ts';
import type { Host } from './host.ts';
import type { Layout } from './layout.ts';
import { keepLogsBounded } from './log-bound.ts';
import { cgroupRoot, containerdOptions, networkNames, proxyTable } from './node-options.ts';
import { type AgentPki, agentPki } from './pki.ts';
import { PROFILES, type ProfileName } from './profiles.ts';
import { readSettings, type Settings } from './settings.ts';

export const KUBELET_VERSION = 'v1.36.0';

/** Label and taint of nodes that run a control plane. */
const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane';

const HOST_LOGS = ['agent', 'containerd', 'etcd', 'haproxy', 'keepalived', 'init'];

export interface AgentOptions {
  readonly layout: Layout;
  readonly settings: Settings;
  readonly pki: AgentPki;
  readonly env: Environment;
  /** Acts as system:node:NAME. */
  readonly client: Client;
}

/** `tsukube agent`: runs until the signal aborts, over HTTPS. Containers, network and rules stay for the next agent. */
export async function runAgentProcess(
  host: Host,
  layout: Layout,
  {
    profile,
    servers,
  }: { readonly profile?: ProfileName | undefined; readonly servers?: readonly string[] | undefined },
  signal: AbortSignal,
): Promise<void> {
  const written = await readSettings(layout.settings);
  if (!written) throw new Error(`there is no cluster "${layout.name}"; start it with "tsukube up"`);
  const settings: Settings = { ...written, ...(profile && { profile }) };
  const pki = await agentPki(layout, settings, host.env);
  const { env } = host;
  const fromFile = await accessFrom(await readKubeconfig(layout.agent.kubeconfig));
  const access = { ...fromFile, servers: servers ?? settings.apiServers ?? fromFile.servers };
  const { connection, balancer: timings } = PROFILES[settings.profile];
  const client = httpsClient({
    access,
    tables: new Tables(),
    clock: env.clock,
    userAgent: 'kubelet',
    ...connection,
    balancer: { timings, source: settings.nodeName, log: env.log.child('balancer') },
  });
  try {
    const ends = new AbortController();
    const following = access.servers.length > 1 ? client.followServers(ends.signal) : Promise.resolve();
    const showing = showServers(client, { layout, clock: env.clock }, ends.signal);
    balancerMetrics(env.metrics, client);
    await runAgent({ layout, settings, pki, env, client }, signal).finally(() => ends.abort());
    await Promise.all([following, showing]);
  } finally {
    client.close();
  }
}

/** Runs the parts of a node until the signal aborts; rejects when one of them fails for good. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { layout, settings, env, client } = options;
  const stop = new AbortController();
  const ends = AbortSignal.any([signal, stop.signal]);
  // On one of several hosts, the agent minds all of its logs.
  const names = settings.apiServers ? HOST_LOGS : ['agent', 'containerd'];
  const files = names.map((name) => join(layout.logs, `${name}.log`));
  const logs = keepLogsBounded(files, env, ends);
  const backoff = PROFILES[settings.profile].relistBackoff;
  const informers = makeInformers({ client, tables: new Tables(), env, backoff });
  const network = async (): Promise<void> => {
    const { run } = networkNames(layout, settings);
    const podCidr = await waitForPodCidr(informers, settings.nodeName, ends);
    await setUpNodeNetwork({ ...networkNames(layout, settings), podCidr }, ends);
    const proxy = new ServiceProxy({
      informers,
      env,
      run,
      nodeName: settings.nodeName,
      podRanges: [settings.clusterCidr],
      serviceRanges: [settings.serviceCidr],
      table: proxyTable(layout),
    });
    await Promise.all([
      guarded(proxy.run(ends)),
      guarded(runRoutes({ informers, env, run, nodeName: settings.nodeName }, ends)),
      guarded(runDns({ informers, env, addresses: [settings.dnsAddress], zone: settings.clusterDomain }, ends)),
    ]);
  };
  /** The first part that fails ends the others: the supervising loop starts the whole agent again. */
  const guarded = async (part: Promise<void>): Promise<void> => {
    try {
      await part;
    } catch (error) {
      if (isAbort(error, ends)) return;
      stop.abort(error);
      throw error;
    }
  };
  let kubelet: Kubelet | undefined;
  try {
    const containerd = await runContainerd(containerdOptions(layout, env), ends);
    kubelet = await startKubelet(options, containerd.socket, ends);
    await guarded(network());
  } finally {
    stop.abort(new Error('the agent ends'));
    await kubelet?.ended;
    await logs;
  }
}

async function startKubelet(options: AgentOptions, criEndpoint: string, signal: AbortSignal) {
  const { layout, settings, pki, env, client } = options;
  await mkdir(layout.agent.kubelet, { recursive: true, mode: 0o711 });
  const systemd = readMachineTraits().systemdCgroup;
  return runKubelet(
    {
      env,
      client,
      events: recordEvents({ client, env, component: 'kubelet', host: settings.nodeName }, signal),
      nodeName: settings.nodeName,
      ...(settings.controlPlane && {
        labels: { [CONTROL_PLANE]: '' },
        taints: [{ key: CONTROL_PLANE, effect: 'NoSchedule' }],
      }),
      nodeIPs: [settings.advertiseAddress],
      criEndpoint,
      rootDir: layout.agent.kubelet,
      podLogsDir: layout.agent.podLogs,
      clusterDns: [settings.dnsAddress],
      clusterDomain: settings.clusterDomain,
      tls: { key: pki.kubeletServer.key, cert: pki.kubeletServer.certificate, clientCa: pki.ca.certificate },
      port: settings.kubeletPort,
      resolvConfPath: '/etc/resolv.conf',
      cgroupRoot: cgroupRoot(layout, settings.name),
      cgroupDriver: systemd ? 'systemd' : 'cgroupfs',
      timings: PROFILES[settings.profile].node,
      relistBackoff: PROFILES[settings.profile].relistBackoff,
      version: KUBELET_VERSION,
    },
    signal,
  );
}
