// `tsukube server`: the control plane over the embedded store or etcd, and with --agent the node's parts in the same process.
import { join } from 'node:path';
import { WATCH_PACE_MS } from '../apiserver/http/watch-pace.ts';
import { uuid } from '../lib/random.ts';
import { runAgent } from './agent.ts';
import { type AuditLogSettings, openAudit } from './audit-log.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Host } from './host.ts';
import type { Layout } from './layout.ts';
import { keepLogsBounded } from './log-bound.ts';
import { ensurePki, type Pki } from './pki.ts';
import { PROFILES, type ProfileName } from './profiles.ts';
import { type EtcdFlags, etcdEndpoints, openServerStore } from './server-store.ts';
import { readSettings, type Settings } from './settings.ts';

export { DamagedStoreError } from '../store/lmdb-check.ts';

export interface ServerFlags {
  readonly withAgent: boolean;
  readonly profile?: ProfileName | undefined;
  /** How long to serve on after /readyz has begun to fail. */
  readonly shutdownDelayMs?: number | undefined;
  readonly goawayChance?: number | undefined;
  readonly etcd?: EtcdFlags;
  /** Default: what the cluster was started with. */
  readonly audit?: AuditLogSettings | undefined;
}

/** Runs until the signal aborts. Throws when the store cannot be opened or the port not be listened on. */
export async function runServerProcess(
  host: Host,
  layout: Layout,
  { withAgent, profile, shutdownDelayMs, goawayChance, etcd = {}, ...flags }: ServerFlags,
  signal: AbortSignal,
): Promise<void> {
  const { env } = host;
  const written = await readSettings(layout.settings);
  if (!written) throw new Error(`there is no cluster "${layout.name}"; start it with "tsukube up"`);
  const settings: Settings = { ...written, ...(profile && { profile }) };
  const timings = PROFILES[settings.profile].server;
  /** Others may take over what this one leaves. */
  const several = etcdEndpoints(settings, etcd).length > 0;
  const auditLog = flags.audit ?? settings.audit;
  const audit = auditLog && (await openAudit(auditLog, env.clock));
  const pki = await ensurePki(layout, settings, env);
  const store = await openServerStore(layout, settings, etcd, env);
  const stop = new AbortController();
  // The agent ends first, so that its last writes are taken; then the server drains.
  const agentEnds = AbortSignal.any([signal, stop.signal]);
  const serverEnds = new AbortController();
  const logs = keepLogsBounded([join(layout.logs, 'server.log')], env, serverEnds.signal);
  let plane: ControlPlane | undefined;
  try {
    plane = await startControlPlane(
      {
        env,
        store,
        identity: several ? `${settings.nodeName}_${uuid(env.random)}` : settings.nodeName,
        hostname: settings.nodeName,
        clusterCidr: settings.clusterCidr,
        profile: settings.profile,
        goawayChance: goawayChance ?? (several ? timings.goawayChance : 0),
        ...(settings.simulatedNodes === 0 && { dnsAddress: settings.dnsAddress }),
        apiServer: { ...apiServerOptions(settings, pki), ...(audit && { audit }) },
      },
      serverEnds.signal,
    );
    plane.ended.catch((error: unknown) => stop.abort(error));
    env.log.info('ready', { url: plane.apiServer.url });
    if (settings.simulatedNodes > 0) await plane.simulate(settings.simulatedNodes);
    if (withAgent) {
      const user = { username: `system:node:${settings.nodeName}`, groups: ['system:nodes', 'system:authenticated'] };
      await runAgent({ layout, settings, pki, env, client: plane.clientAs(user) }, agentEnds);
    } else {
      await untilAborted(agentEnds);
    }
    const delayMs = shutdownDelayMs ?? (several ? timings.shutdownDelayMs : 0);
    await plane.leave({ delayMs, graceMs: timings.shutdownGraceMs });
  } finally {
    serverEnds.abort(new Error('the server ends'));
    // What ends writes to the last: the store is there until it has. Why it failed is thrown already, or below.
    await plane?.ended.catch(() => undefined);
    await logs;
    await store.close();
  }
  if (stop.signal.aborted) throw stop.signal.reason;
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function apiServerOptions(settings: Settings, pki: Pki) {
  return {
    tls: { certificate: pki.server.certificate, key: pki.server.key, clientCa: pki.ca.certificate },
    caCertificate: pki.ca.certificate,
    signingKey: pki.serviceAccountKey,
    issuer: `https://kubernetes.default.svc.${settings.clusterDomain}`,
    address: '0.0.0.0',
    port: settings.port,
    advertiseAddress: settings.advertiseAddress,
    servers: { addresses: [settings.advertiseAddress], port: settings.port },
    watchPaceMs: WATCH_PACE_MS,
    frontProxy: pki.frontProxy,
    requestHeaderCa: pki.frontProxy.ca,
    kubelet: { certificate: pki.kubeletClient.certificate, key: pki.kubeletClient.key, ca: pki.ca.certificate },
    network: { cidr: settings.serviceCidr, nodePorts: { first: 30000, last: 32767 } },
  };
}
