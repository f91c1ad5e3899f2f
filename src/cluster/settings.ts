import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AuditLogSettings } from './audit-log.ts';
import type { Topology } from './ha/topology.ts';
import type { ProfileName } from './profiles.ts';

/** What a cluster was started with. Written once by `up`; every process of the cluster reads it. */
export interface Settings {
  readonly name: string;
  /** Address that clients and pods reach the API server at. */
  readonly advertiseAddress: string;
  readonly port: number;
  readonly kubeletPort: number;
  readonly nodeName: string;
  /** Server and agent in two processes. */
  readonly split: boolean;
  /** This many simulated nodes; with any, there is no agent. */
  readonly simulatedNodes: number;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly dnsAddress: string;
  readonly clusterDomain: string;
  readonly bridge: string;
  readonly profile: ProfileName;
  /** What its API server tells of requests, and where; default: nothing. */
  readonly audit?: AuditLogSettings;
  /** The hosts of a highly available cluster. */
  readonly topology?: Topology;
  /** The program that its members of etcd run, when it is not Debian's. */
  readonly etcdProgram?: string;
  /** On such a host: where clients reach the API, other than by `advertiseAddress` and `port`: URLs. */
  readonly apiServers?: readonly string[];
  /** On a control plane of such a cluster: the members of etcd, as URLs. */
  readonly etcdServers?: readonly string[];
  /** Of a cluster with hosts: nothing serves Drill and DrillSchedule, and no controller runs them. Default: both. */
  readonly drills?: boolean;
  /** This node runs a control plane: pods that do not tolerate it go elsewhere. */
  readonly controlPlane?: boolean;
}

/** Where clients reach the API server: one URL, or one of each server. */
export function apiServersOf(settings: Settings): readonly string[] {
  return settings.apiServers ?? [`https://${settings.advertiseAddress}:${settings.port}`];
}

export const DEFAULTS = {
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  dnsAddress: '10.96.0.10',
  clusterDomain: 'cluster.local',
  bridge: 'tsukube0',
  port: 6443,
  kubeletPort: 10250,
} as const;

/** The settings of a cluster, or undefined when there is none. Throws when the file is there and unreadable. */
export async function readSettings(file: string): Promise<Settings | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Settings;
  } catch (cause) {
    const what = 'without it nothing can tell what the cluster is made of';
    throw new Error(`${file} is damaged: put back a whole one, ${what}, and "tsukube down" removes it`, { cause });
  }
}

/** On disk before it takes its name: what a power cut leaves of it is whole too. */
export function writeSettings(file: string, settings: Settings): Promise<void> {
  return writeFileAtomically(file, `${JSON.stringify(settings, null, 2)}\n`, 0o644, true);
}

/** Writes through a temporary file, so that a crash leaves the old or the new text; with `flush`, that of the machine as well. */
export async function writeFileAtomically(
  file: string,
  text: string | Buffer,
  mode = 0o600,
  flush = false,
): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o755 });
  const temporary = `${file}.new`;
  await writeFile(temporary, text, { mode, flush });
  await rename(temporary, file);
}
