// The cluster that drills are run on: what is set up on it for clients to ask, what is known of it, and when it is whole.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HaStatus, haStatus } from '../../cluster/ha/status.ts';
import type { Topology } from '../../cluster/ha/topology.ts';
import { loadImage } from '../../cluster/images.ts';
import type { Layout } from '../../cluster/layout.ts';
import { readSettings, type Settings } from '../../cluster/settings.ts';
import { WEB_IMAGE, webImageArchive } from '../../cluster/web-image.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import type { Situation } from '../faults/operations.ts';
import { administrator } from '../probes/administrator.ts';
import type { Answer, Connection, Question } from '../probes/connection.ts';
import { ask, listPods, lookAtPods } from './asking.ts';
import { NAMESPACE, type PodView, REPLICAS, WORKLOAD } from './workload.ts';

export interface Place {
  readonly layout: Layout;
  readonly env: Environment;
}

const ASK_TIMEOUT_MS = 10_000;
const WHOLE_WITHIN_MS = 120_000;
const LOOK_MS = 250;
const KNOWN_WITHIN_MS = 5_000;

export class Stage {
  readonly env: Environment;
  readonly layout: Layout;
  readonly settings: Settings;
  readonly topology: Topology;
  #nodePort = 0;

  private constructor(place: Place, settings: Settings, topology: Topology) {
    this.env = place.env;
    this.layout = place.layout;
    this.settings = settings;
    this.topology = topology;
  }

  /** Throws for a cluster without hosts of its own. */
  static async open(place: Place): Promise<Stage> {
    const settings = await readSettings(place.layout.settings);
    const name = place.layout.name;
    if (!settings) throw new Error(`there is no cluster "${name}"; start it with "tsukube up --ha"`);
    if (!settings.topology)
      throw new Error(`cluster "${name}" has no hosts to break; "tsukube up --ha" makes one that has`);
    return new Stage(place, settings, settings.topology);
  }

  /** A connection of its own with the administrator's rights: to the API's address, or to one server. */
  connect(server?: string, pingMs?: number): Promise<Connection> {
    return administrator({ layout: this.layout, clock: this.env.clock }, { server, pingMs });
  }

  status(signal: AbortSignal): Promise<HaStatus> {
    return haStatus(this, this.topology, signal);
  }

  /** Who is what now. While a role is open for some moments, it is looked again. */
  async situation(signal: AbortSignal): Promise<Situation> {
    const { clock } = this.env;
    const overMs = clock.monotonic() + KNOWN_WITHIN_MS;
    for (;;) {
      const found = situationOf(await this.status(signal));
      const roles = [found.etcdLeader, found.controllers, found.scheduler];
      if (this.topology.virtualAddress) roles.push(found.addressHolder);
      if (roles.every((host) => host !== undefined) || clock.monotonic() > overMs) return found;
      await sleep(clock, LOOK_MS, signal);
    }
  }

  /** By node port, through one host. */
  serviceUrl(address: string): string {
    return `http://${address}:${this.#nodePort}/`;
  }

  /** Loads the image, and makes what clients ask for, or finds it. */
  async prepare(signal: AbortSignal): Promise<void> {
    await this.#loadImage(signal);
    const connection = await this.connect();
    try {
      while (!(await this.#makeWorkload(connection, signal))) await sleep(this.env.clock, LOOK_MS, signal);
      const path = `/api/v1/namespaces/${NAMESPACE}/services/web`;
      const { text } = await this.ask(connection, { method: 'GET', path, timeoutMs: ASK_TIMEOUT_MS }, signal);
      const { spec } = JSON.parse(text) as {
        readonly spec: { readonly ports: readonly { readonly nodePort: number }[] };
      };
      this.#nodePort = spec.ports[0]!.nodePort;
    } finally {
      connection.close();
    }
  }

  /** False: what the last session left is still on its way out. */
  async #makeWorkload(connection: Connection, signal: AbortSignal): Promise<boolean> {
    for (const { path, body } of WORKLOAD) {
      const answer = await this.ask(connection, { method: 'POST', path, body, timeoutMs: ASK_TIMEOUT_MS }, signal);
      if (answer.code === 201 || answer.code === 409) continue;
      if (answer.code === 403 && answer.text.includes('NamespaceTerminating')) return false;
      throw new Error(`POST ${path}: ${answer.code} ${answer.text}`);
    }
    return true;
  }

  /** Takes away what `prepare` made, and does not wait until it is gone. */
  async clear(signal: AbortSignal): Promise<void> {
    const connection = await this.connect();
    try {
      const path = `/api/v1/namespaces/${NAMESPACE}`;
      await connection.ask({ method: 'DELETE', path, timeoutMs: ASK_TIMEOUT_MS }, signal);
    } finally {
      connection.close();
    }
  }

  /** Waits until everything is as it was asked for. Throws with what is wrong when it is not within the time. */
  async whole(
    signal: AbortSignal,
    { withinMs = WHOLE_WITHIN_MS, onWrong }: { withinMs?: number; onWrong?: (wrong: readonly string[]) => void } = {},
  ): Promise<HaStatus> {
    const { clock } = this.env;
    const overMs = clock.monotonic() + withinMs;
    const connection = await this.connect();
    try {
      for (;;) {
        const status = await this.status(signal);
        const wrong = [...status.problems, ...(await this.#podProblems(connection, signal))];
        if (wrong.length === 0) return status;
        onWrong?.(wrong);
        if (clock.monotonic() > overMs) throw new Error(`the cluster is not whole: ${wrong.slice(0, 5).join('; ')}`);
        await sleep(clock, LOOK_MS, signal);
      }
    } finally {
      connection.close();
    }
  }

  /** Pods of the service that share a node give way, so that the loss of one worker costs one of three. */
  async spread(signal: AbortSignal): Promise<void> {
    const { clock } = this.env;
    const connection = await this.connect();
    try {
      for (let round = 0; round < 20; round++) {
        const taken = new Set<string>();
        const pods = (await this.pods(connection, signal)).filter((pod) => pod.app === 'web' && !pod.isLeaving);
        const spare = pods.filter(({ node }) => taken.size === taken.add(node).size);
        if (spare.length === 0 || taken.size >= this.#workers()) return;
        const path = `/api/v1/namespaces/${NAMESPACE}/pods/${spare[0]!.name}?gracePeriodSeconds=0`;
        await this.ask(connection, { method: 'DELETE', path, timeoutMs: ASK_TIMEOUT_MS }, signal);
        await this.whole(signal);
        await sleep(clock, LOOK_MS, signal);
      }
    } finally {
      connection.close();
    }
  }

  /** As soon as somebody answers. */
  pods(connection: Connection, signal: AbortSignal): Promise<readonly PodView[]> {
    return listPods({ connection, clock: this.env.clock }, signal);
  }

  /** Asks again until there is an answer: what is asked here may be done twice. */
  ask(connection: Connection, question: Question, signal: AbortSignal): Promise<Answer> {
    return ask({ connection, clock: this.env.clock }, question, signal);
  }

  #workers(): number {
    return Math.min(REPLICAS.web, this.topology.hosts.filter(({ role }) => role === 'worker').length);
  }

  async #podProblems(connection: Connection, signal: AbortSignal): Promise<readonly string[]> {
    const pods = await lookAtPods({ connection }, signal).catch((error: Error) => {
      signal.throwIfAborted();
      return error.message;
    });
    if (typeof pods === 'string') return [pods];
    const problems: string[] = [];
    for (const [app, replicas] of Object.entries(REPLICAS)) {
      const ready = pods.filter((pod) => pod.app === app && pod.isReady && !pod.isLeaving).length;
      if (ready !== replicas) problems.push(`${ready} of ${replicas} pods of ${app} are ready`);
    }
    const leaving = pods.filter((pod) => pod.isLeaving).length;
    return leaving === 0 ? problems : [...problems, `${leaving} pods are being deleted`];
  }

  async #loadImage(signal: AbortSignal): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'tsukube-drill-'));
    try {
      const file = join(directory, 'web.tar');
      await writeFile(file, await webImageArchive());
      await loadImage(this, file, signal);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

export const IMAGE = WEB_IMAGE;

/** A holder's identity is its host's name, "_" and a uuid. */
export function situationOf(status: HaStatus): Situation {
  const holder = (lease: string): string | undefined => {
    const found = status.leases.find(({ name, isCurrent }) => name === lease && isCurrent);
    return found?.holder.split('_')[0];
  };
  return {
    hosts: status.hosts,
    etcdLeader: status.leader,
    addressHolder: status.holders[0],
    controllers: holder('kube-controller-manager'),
    scheduler: holder('kube-scheduler'),
  };
}
