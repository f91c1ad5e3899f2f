// What `tsukube status` prints of a cluster of several hosts.
import type { KnownApiServer } from '../client/https.ts';
import type { HostFacts } from '../cluster/ha/judge.ts';
import type { HaStatus } from '../cluster/ha/status.ts';
import type { ClusterStatus } from '../cluster/status.ts';
import type { Supervised } from '../cluster/supervise.ts';
import { columns } from './host-command.ts';

export function haStatusText(status: ClusterStatus, ha: HaStatus): string {
  const state = status.ready ? 'ready' : ha.isAvailable ? 'DEGRADED' : 'NOT AVAILABLE';
  const lines = [`cluster   ${status.name}  ${state}  ${status.server ?? ''}`, toleranceLine(ha)];
  if (ha.virtualAddress) lines.push(`address   ${ha.virtualAddress} on ${ha.holders.join(' and ') || 'nobody'}`);
  lines.push(`etcd      led by ${ha.leader ?? 'nobody'}`);
  for (const { name, holder, isCurrent } of ha.leases) {
    lines.push(`leader    ${name}: ${holder || 'nobody'}${isCurrent ? '' : ' (expired)'}`);
  }
  if (ha.pods !== undefined) lines.push(`pods      ${ha.pods}`);
  for (const one of status.components) lines.push(`beside    ${one.component}: ${stateText(one)}`);
  lines.push('', hostTable(ha), '', agentTable(ha));
  const remarks = [
    ...status.problems.map((text) => `problem   ${text}`),
    ...ha.warnings.map((text) => `warning   ${text}`),
  ];
  if (remarks.length > 0) lines.push('', ...remarks);
  return lines.join('\n');
}

export function stateText({ process, supervisor }: Supervised): string {
  if (process !== undefined) return `pid ${process}`;
  return supervisor === undefined ? 'not running' : 'restarting';
}

function toleranceLine({ tolerates, isAvailable }: HaStatus): string {
  if (!isAvailable) {
    const gone = Object.entries({
      'a quorum of etcd': tolerates.etcd,
      'an API server': tolerates.servers,
      'the address': tolerates.address,
    });
    const missing = gone.filter(([, left]) => left !== undefined && left < 0).map(([what]) => what);
    return `failures  it lacks ${missing.join(' and ')}`;
  }
  const more =
    tolerates.all === 0
      ? 'no more control plane may be lost'
      : `${tolerates.all} more control plane${tolerates.all === 1 ? '' : 's'} may be lost`;
  return `failures  ${more}`;
}

function hostTable(ha: HaStatus): string {
  return columns([
    ['HOST', 'ADDRESS', 'STATE', 'NODE', 'ETCD', 'API', 'RUNS'],
    ...ha.hosts.map((host) => [
      host.name,
      host.address,
      host.isOn ? (host.isPlugged ? 'on' : 'unplugged') : 'off',
      nodeText(ha, host.name),
      host.role === 'worker' ? '-' : etcdText(ha, host),
      host.role === 'worker' ? '-' : serverText(host),
      host.components.join(' ') || '-',
    ]),
  ]);
}

/** Which API servers each agent uses, and what it thinks of the others. */
function agentTable({ hosts }: HaStatus): string {
  const names = new Set(hosts.map(({ name }) => name));
  const serverText = ({ url, isHealthy, isLive, answeredBy, connections }: KnownApiServer): string => {
    const state = isHealthy ? 'healthy' : isLive ? 'not ready' : 'left out';
    const by = answeredBy.filter((name) => names.has(name)).join(' and ');
    return `${new URL(url).host} ${state}${connections > 0 ? ` (used${by && `: ${by}`})` : ''}`;
  };
  return columns([
    ['AGENT', 'API SERVERS'],
    ...hosts.map(({ name, apiServers }) => [name, apiServers?.map(serverText).join(', ') ?? '-']),
  ]);
}

function nodeText({ nodes }: HaStatus, name: string): string {
  if (!nodes) return 'unknown';
  const node = nodes.find((one) => one.name === name);
  return node ? (node.ready ? 'ready' : 'not ready') : 'missing';
}

function etcdText({ leader }: HaStatus, { name, etcd }: HostFacts): string {
  if (!etcd) return 'no answer';
  if (!etcd.isHealthy) return 'unhealthy';
  return name === leader ? 'leader' : 'healthy';
}

function serverText({ server }: HostFacts): string {
  if (server?.isReady) return 'ready';
  return server?.isLive ? 'live' : 'no answer';
}
