// What runs, and whether it is well: asked of the processes and of the API, never remembered.

import { Tables } from '../api/tables.ts';
import { httpsClient } from '../client/https.ts';
import { accessFrom, readKubeconfig } from '../client/kubeconfig.ts';
import { type HaStatus, haStatus } from './ha/status.ts';
import type { Host } from './host.ts';
import type { Layout } from './layout.ts';
import { type NodeStatus, nodeStatus } from './node-status.ts';
import { apiServersOf, readSettings, type Settings } from './settings.ts';
import { type Supervised, supervised } from './supervise.ts';
import { componentsOf } from './up.ts';

export interface ClusterStatus {
  readonly name: string;
  /** There is such a cluster on this machine, running or not. */
  readonly exists: boolean;
  /** Everything that was asked for runs and answers, and every node is ready. */
  readonly ready: boolean;
  readonly server: string | undefined;
  readonly components: readonly Supervised[];
  readonly nodes: readonly NodeStatus[];
  readonly pods: number | undefined;
  /** What is not well, in words. */
  readonly problems: readonly string[];
  /** Of a cluster of several hosts. */
  readonly ha?: HaStatus;
}

const ASK_TIMEOUT_MS = 3000;

export async function clusterStatus(host: Host, layout: Layout, signal: AbortSignal): Promise<ClusterStatus> {
  const settings = await readSettings(layout.settings);
  if (!settings) {
    const problems = [`there is no cluster "${layout.name}"; start it with "tsukube up"`];
    return {
      name: layout.name,
      exists: false,
      ready: false,
      server: undefined,
      components: [],
      nodes: [],
      pods: undefined,
      problems,
    };
  }
  const components = await Promise.all(componentsOf(settings).map(({ name }) => supervised(layout, name)));
  const problems = components.filter((c) => c.process === undefined).map((c) => `${c.component} does not run`);
  const known = { name: layout.name, exists: true, server: apiServersOf(settings)[0]!, components, problems };
  if (settings.topology) {
    const ha = await haStatus({ layout, env: host.env }, settings.topology, signal);
    problems.push(...ha.problems);
    return { ...known, ready: problems.length === 0, nodes: ha.nodes ?? [], pods: ha.pods, ha };
  }
  const asked =
    problems.length === 0 ? await ask(host, layout, settings, signal) : { nodes: [], pods: undefined, problems: [] };
  problems.push(...asked.problems);
  return { ...known, ready: problems.length === 0, nodes: asked.nodes, pods: asked.pods };
}

interface Asked {
  readonly nodes: readonly NodeStatus[];
  readonly pods: number | undefined;
  readonly problems: readonly string[];
}

async function ask(host: Host, layout: Layout, settings: Settings, signal: AbortSignal): Promise<Asked> {
  const access = await accessFrom(await readKubeconfig(layout.adminKubeconfig));
  const client = httpsClient({ access, tables: new Tables(), clock: host.env.clock, requestTimeoutMs: ASK_TIMEOUT_MS });
  try {
    await client.request('GET', '/readyz', { signal });
    const { items } = await client.resource('nodes').list({}, signal);
    const pods = await client.resource('pods').list({}, signal);
    const nodes = items.map(nodeStatus);
    const expected = Math.max(1, settings.simulatedNodes);
    const problems = nodes.filter((n) => !n.ready).map((n) => `node ${n.name} is not ready: ${n.reason}`);
    if (nodes.length < expected) problems.push(`${nodes.length} of ${expected} nodes have registered`);
    return { nodes, pods: pods.items.length, problems };
  } catch (error) {
    signal.throwIfAborted();
    const text = error instanceof Error ? error.message : String(error);
    return { nodes: [], pods: undefined, problems: [`the API server does not answer: ${text}`] };
  } finally {
    client.close();
  }
}
