// The pods that the runtime has, read over CRI.
import { open } from 'node:fs/promises';
import { type Clock, sleep } from '../../lib/clock.ts';
import { type CriClient, isNotFound } from '../cri/client.ts';
import type { RuntimeContainer, RuntimeContainerStatus, Sandbox, SandboxStatus } from '../cri/types.ts';
import { tailText } from '../logs/tail.ts';
import type { ContainerStateName, ObservedContainer, ObservedPod, ObservedSandbox } from '../pod/observed.ts';
import { POD_NAME, POD_NAMESPACE, POD_UID, readNotes } from './labels.ts';
import { actualResources } from './resources.ts';

const STATES: { readonly [state: string]: ContainerStateName } = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
  CONTAINER_UNKNOWN: 'unknown',
};

/** A termination message's size, and that of the part of a log that stands in for it. */
const MAX_MESSAGE_BYTES = 4096;
const MAX_LOG_MESSAGE_BYTES = 2048;
const MAX_LOG_MESSAGE_LINES = 80;

/** How much later than of an end the runtime may learn that memory ran out. */
const OOM_SETTLE_MS = 150;
const NEVER = new AbortController().signal;

/** One listing: all that is needed to see what changed. */
export interface PodRecord {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly RuntimeContainer[];
  /** Equal for two listings between which nothing changed. */
  readonly fingerprint: string;
}

export async function listPods(cri: CriClient, uid?: string, signal?: AbortSignal): Promise<Map<string, PodRecord>> {
  const labelSelector = uid === undefined ? undefined : { [POD_UID]: uid };
  const options = { ...(signal && { signal }) };
  const [sandboxes, containers] = await Promise.all([
    cri.listPodSandboxes({ ...options, ...(labelSelector && { labelSelector }) }),
    cri.listContainers({ ...options, ...(labelSelector && { filter: { labelSelector } }) }),
  ]);
  interface Group {
    labels: { readonly [key: string]: string };
    sandboxes: Sandbox[];
    containers: RuntimeContainer[];
  }
  const groups = new Map<string, Group>();
  const group = (labels: { readonly [key: string]: string }): Group | undefined => {
    const id = labels[POD_UID];
    if (id === undefined) return undefined;
    let found = groups.get(id);
    if (!found) {
      found = { labels, sandboxes: [], containers: [] };
      groups.set(id, found);
    }
    return found;
  };
  for (const sandbox of sandboxes) group(sandbox.labels)?.sandboxes.push(sandbox);
  for (const container of containers) group(container.labels)?.containers.push(container);
  const records = new Map<string, PodRecord>();
  for (const [id, { labels, sandboxes: boxes, containers: list }] of groups) {
    const fingerprint = [...boxes, ...list].map((item) => `${item.id}=${item.state}`).sort();
    records.set(id, {
      uid: id,
      name: labels[POD_NAME] ?? '',
      namespace: labels[POD_NAMESPACE] ?? '',
      sandboxes: boxes,
      containers: list,
      fingerprint: fingerprint.join(' '),
    });
  }
  return records;
}

/** Turns listings into observed pods; what cannot change any more is asked only once. */
export class PodObserver {
  readonly #cri: CriClient;
  readonly #clock: Clock;
  readonly #containers = new Map<string, ObservedContainer>();
  readonly #sandboxes = new Map<string, ObservedSandbox>();

  constructor(cri: CriClient, clock: Clock) {
    this.#cri = cri;
    this.#clock = clock;
  }

  /** The pod as it is now. */
  async observe(uid: string, signal?: AbortSignal): Promise<ObservedPod> {
    const record = (await listPods(this.#cri, uid, signal)).get(uid);
    if (!record) return { uid, name: '', namespace: '', sandboxes: [], containers: [] };
    const sandboxes = await Promise.all(record.sandboxes.map((s) => this.#sandbox(s, signal)));
    const containers = await Promise.all(record.containers.map((c) => this.#container(c, signal)));
    return {
      uid,
      name: record.name,
      namespace: record.namespace,
      sandboxes: sandboxes.filter((s) => s !== undefined).sort((a, b) => b.createdAtMs - a.createdAtMs),
      containers: containers
        .filter((c) => c !== undefined)
        .sort((a, b) => b.createdAtMs - a.createdAtMs || b.restartCount - a.restartCount),
    };
  }

  /** Forgets what the runtime no longer has. */
  retain(records: ReadonlyMap<string, PodRecord>): void {
    const containers = new Set<string>();
    const sandboxes = new Set<string>();
    for (const record of records.values()) {
      for (const c of record.containers) containers.add(c.id);
      for (const s of record.sandboxes) sandboxes.add(s.id);
    }
    for (const id of this.#containers.keys()) if (!containers.has(id)) this.#containers.delete(id);
    for (const id of this.#sandboxes.keys()) if (!sandboxes.has(id)) this.#sandboxes.delete(id);
  }

  /** What is known of a container has been changed: it is asked for again. */
  forget(id: string): void {
    this.#containers.delete(id);
  }

  async #sandbox(listed: Sandbox, signal: AbortSignal | undefined): Promise<ObservedSandbox | undefined> {
    const ready = listed.state === 'SANDBOX_READY';
    const known = this.#sandboxes.get(listed.id);
    if (known?.ready === ready) return known;
    let status: SandboxStatus;
    try {
      status = await this.#cri.podSandboxStatus(listed.id, { ...(signal && { signal }) });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    const { ip = '', additionalIps = [] } = status.network ?? {};
    const observed: ObservedSandbox = {
      id: listed.id,
      attempt: listed.metadata.attempt,
      ready: status.state === 'SANDBOX_READY',
      createdAtMs: nanosToMs(listed.createdAt),
      hostNetwork: status.linux?.namespaces?.options?.network === 'NODE',
      ips: [ip, ...additionalIps.map((a) => a.ip)].filter((text) => text !== ''),
    };
    this.#sandboxes.set(listed.id, observed);
    return observed;
  }

  async #container(listed: RuntimeContainer, signal: AbortSignal | undefined): Promise<ObservedContainer | undefined> {
    const known = this.#containers.get(listed.id);
    if (known && known.state === STATES[listed.state]) return known;
    let status: RuntimeContainerStatus;
    try {
      status = await this.#cri.containerStatus(listed.id, { ...(signal && { signal }) });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    if (mayHaveRunOutOfMemory(status)) {
      await sleep(this.#clock, OOM_SETTLE_MS, signal ?? NEVER);
      status = await this.#cri.containerStatus(listed.id, { ...(signal && { signal }) }).catch((error) => {
        if (!isNotFound(error)) throw error;
        return status;
      });
    }
    const observed = await fromStatus(status, listed.podSandboxId);
    this.#containers.set(listed.id, observed);
    return observed;
  }
}

/**
 * That memory ran out reaches the runtime by another way than that the container ended: who asks in between is told of an end
 * without a reason, for ever, as ends are asked for once.
 */
function mayHaveRunOutOfMemory({ state, exitCode, reason, resources }: RuntimeContainerStatus): boolean {
  const limited = Number(resources?.linux?.memoryLimitInBytes ?? 0) > 0;
  return state === 'CONTAINER_EXITED' && exitCode === 137 && reason !== 'OOMKilled' && limited;
}

async function fromStatus(status: RuntimeContainerStatus, sandboxId: string): Promise<ObservedContainer> {
  const notes = readNotes(status.annotations);
  const state = STATES[status.state] ?? 'unknown';
  const written = state === 'exited' ? await terminationMessage(status) : '';
  // The runtime's own message (why it could not be started) stands where the container left none.
  const message = written || (state === 'exited' ? status.message : '');
  return {
    id: status.id,
    name: status.metadata.name,
    sandboxId,
    state,
    createdAtMs: nanosToMs(status.createdAt),
    startedAtMs: nanosToMs(status.startedAt),
    finishedAtMs: nanosToMs(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message,
    image: status.image?.image ?? '',
    imageId: status.imageRef,
    restartCount: notes.restartCount,
    hash: notes.hash,
    logPath: status.logPath,
    ...(status.resources?.linux && { resources: actualResources(status.resources.linux) }),
  };
}

/** What the container wrote to its termination log; on an error without one, the end of its log if its policy says so. */
async function terminationMessage(status: RuntimeContainerStatus): Promise<string> {
  const { terminationHostPath, terminationPolicy } = readNotes(status.annotations);
  if (terminationHostPath) {
    const text = await readStart(terminationHostPath, MAX_MESSAGE_BYTES);
    if (text !== '') return text;
  }
  if (terminationPolicy !== 'FallbackToLogsOnError' || status.exitCode === 0) return '';
  return tailText(status.logPath, { maxBytes: MAX_LOG_MESSAGE_BYTES, maxLines: MAX_LOG_MESSAGE_LINES });
}

async function readStart(path: string, maxBytes: number): Promise<string> {
  try {
    const file = await open(path);
    try {
      const buffer = Buffer.alloc(maxBytes);
      const { bytesRead } = await file.read(buffer, 0, maxBytes, 0);
      return buffer.subarray(0, bytesRead).toString();
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}

function nanosToMs(nanos: string): number {
  const value = BigInt(nanos);
  return value > 0n ? Number(value / 1_000n) / 1_000 : 0;
}
