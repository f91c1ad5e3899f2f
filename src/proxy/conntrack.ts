// UDP has no end of a connection: the kernel goes on sending a flow to the endpoint it once chose. Such flows are forgotten.
import type { IpFamily } from '../network/address.ts';
import { CommandError, output, type RunCommand } from '../network/command.ts';
import type { Fragment, UdpTarget } from './rules.ts';

/** Which flows to delete. */
export interface StaleFlow {
  /** Undefined: any address, for node ports. */
  readonly destination: string | undefined;
  readonly port: number;
  /** Where they go; undefined: anywhere. Flows made while a Service had no endpoint were never translated. */
  readonly endpoint: string | undefined;
}

/** The flows that must go when a Service's rules change from one fragment to the other. */
export function staleFlows(before: readonly UdpTarget[], after: readonly UdpTarget[]): readonly StaleFlow[] {
  const next = new Map(after.map((target) => [keyOfTarget(target), target]));
  const known = new Map(before.map((target) => [keyOfTarget(target), target]));
  const stale: StaleFlow[] = [];
  for (const [key, { address: destination, port, endpoints }] of known) {
    const kept = new Set(next.get(key)?.endpoints);
    for (const endpoint of endpoints) if (!kept.has(endpoint)) stale.push({ destination, port, endpoint });
  }
  for (const [key, { address: destination, port, endpoints }] of next) {
    const served = known.get(key)?.endpoints.length ?? 0;
    if (endpoints.length > 0 && served === 0) stale.push({ destination, port, endpoint: undefined });
  }
  return stale;
}

/**
 * The flows in a listing of conntrack that no rule would make now. For the start, when it is not known what the rules were.
 * A node port's flows cannot be told from others by their address: those that were never translated are left alone.
 */
export function staleAmong(listing: string, targets: readonly UdpTarget[]): readonly StaleFlow[] {
  const allowed = new Map(targets.map((target) => [keyOfTarget(target), new Set(target.endpoints)]));
  const stale = new Map<string, StaleFlow>();
  for (const line of listing.split('\n')) {
    const flow = parseFlow(line);
    if (!flow) continue;
    const vip = allowed.get(`${flow.destination} ${flow.port}`);
    const nodePort = flow.endpoint === flow.destination ? undefined : allowed.get(` ${flow.port}`);
    const endpoints = vip ?? nodePort;
    if (!endpoints || endpoints.has(flow.endpoint)) continue;
    stale.set(`${flow.destination} ${flow.port} ${flow.endpoint}`, flow);
  }
  return [...stale.values()];
}

/** What `staleAmong` reads. */
export function listUdpFlows(family: IpFamily, run: RunCommand, signal: AbortSignal): Promise<string> {
  return output(run, ['conntrack', '-L', '-f', family.toLowerCase(), '-p', 'udp'], { signal });
}

/** Deletes the flows; resolves with how many deletions found any. That there is none is the usual case and no error. */
export async function deleteFlows(
  flows: readonly StaleFlow[],
  family: IpFamily,
  run: RunCommand,
  signal: AbortSignal,
): Promise<number> {
  let found = 0;
  for (const flow of flows) {
    const argv = ['conntrack', '-D', '-f', family.toLowerCase(), '-p', 'udp', '--orig-port-dst', String(flow.port)];
    if (flow.destination !== undefined) argv.push('--orig-dst', flow.destination);
    if (flow.endpoint !== undefined) argv.push('--reply-src', flow.endpoint);
    const result = await run(argv, { signal });
    if (result.code === 0) found++;
    else if (!result.stderr.includes('0 flow entries')) throw new CommandError(argv, result);
  }
  return found;
}

/** All of the fragments' targets. */
export function udpTargets(fragments: Iterable<Fragment>): readonly UdpTarget[] {
  return [...fragments].flatMap((fragment) => fragment.udp);
}

function parseFlow(line: string): { destination: string; port: number; endpoint: string } | undefined {
  const [, endpoint] = collect(line, 'src');
  const [destination] = collect(line, 'dst');
  const [port] = collect(line, 'dport');
  if (!line.startsWith('udp') || !endpoint || !destination || !port) return undefined;
  return { destination, port: Number(port), endpoint };
}

/** A line names each field twice: as the flow was sent, and as its answers come. */
function collect(line: string, field: string): readonly string[] {
  return Array.from(line.matchAll(new RegExp(` ${field}=(\\S+)`, 'g')), (match) => match[1]!);
}

function keyOfTarget(target: UdpTarget): string {
  return `${target.address ?? ''} ${target.port}`;
}
