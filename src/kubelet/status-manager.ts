import type { Pod, PodStatus } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import { type BackoffPolicy, backoffMs } from '../lib/backoff.ts';
import type { Timer } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { isReason } from '../machinery/status.ts';
import { RESIZE_CONDITIONS } from './pod/resize-report.ts';

const RETRY: BackoffPolicy = { initialMs: 500, maximumMs: 10_000, factor: 2, jitter: 0.2 };

interface Entry {
  pod: Pod;
  desired: PodStatus;
  /** What the API is known to have; undefined before the first write of this process. */
  sent: PodStatus | undefined;
  /** The object's version after the last write of this process. */
  sentVersion: number;
  /** Containers and volumes are gone: the pod may be deleted from the API. */
  finished: boolean;
  writing: boolean;
  failures: number;
  retry: Timer | undefined;
}

/** Conditions that the kubelet writes; all others belong to those who set them. */
const OWN = new Set<string>([
  ...['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'],
  ...RESIZE_CONDITIONS,
]);

/**
 * Writes pods' statuses to the API when they change, the newest only, and takes a deleted pod out of the API once the node
 * has nothing left of it.
 */
export class StatusManager {
  readonly #client: Client;
  readonly #env: Environment;
  readonly #signal: AbortSignal;
  readonly #entries = new Map<string, Entry>();

  constructor(client: Client, env: Environment, signal: AbortSignal) {
    this.#client = client;
    this.#env = env;
    this.#signal = signal;
    const stop = (): void => {
      for (const entry of this.#entries.values()) entry.retry?.cancel();
    };
    signal.addEventListener('abort', stop, { once: true });
  }

  /** The newest status of a pod, written or about to be. */
  get(uid: string): PodStatus | undefined {
    return this.#entries.get(uid)?.desired;
  }

  set(pod: Pod, status: PodStatus): void {
    const uid = pod.metadata.uid!;
    const entry = this.#entries.get(uid);
    if (!entry) {
      const fresh: Entry = {
        pod,
        desired: status,
        sent: undefined,
        sentVersion: 0,
        finished: false,
        writing: false,
        failures: 0,
        retry: undefined,
      };
      this.#entries.set(uid, fresh);
      // After a restart the API mostly has it already.
      if (pod.status && sameStatus(pod.status, status)) fresh.sent = status;
      this.#pump(uid, fresh);
      return;
    }
    entry.pod = pod;
    entry.desired = status;
    if (wasOverruled(pod, entry)) entry.sent = undefined;
    this.#pump(uid, entry);
  }

  /** The node has nothing of this deleted pod any more. */
  finish(pod: Pod): void {
    const entry = this.#entries.get(pod.metadata.uid!);
    if (!entry) return;
    entry.pod = pod;
    entry.finished = true;
    this.#pump(pod.metadata.uid!, entry);
  }

  /** The pod is no longer in the API. */
  forget(uid: string): void {
    this.#entries.get(uid)?.retry?.cancel();
    this.#entries.delete(uid);
  }

  #pump(uid: string, entry: Entry): void {
    if (entry.writing || entry.retry || this.#signal.aborted) return;
    const dirty = entry.sent === undefined || !sameStatus(entry.sent, entry.desired);
    const remove = entry.finished && entry.pod.metadata.deletionTimestamp !== undefined;
    if (!dirty && !remove) return;
    entry.writing = true;
    this.#write(entry, dirty)
      .then(
        () => {
          entry.failures = 0;
          entry.writing = false;
          if (this.#entries.get(uid) === entry) this.#pump(uid, entry);
        },
        (error) => {
          entry.writing = false;
          this.#failed(uid, entry, error);
        },
      )
      .catch((error) => this.#env.log.error('writing a pod status failed', error, { uid }));
  }

  async #write(entry: Entry, dirty: boolean): Promise<void> {
    const { namespace, name, uid } = entry.pod.metadata;
    const pods = this.#client.resource('pods');
    if (dirty) {
      const { desired } = entry;
      const patch = {
        type: 'strategic' as const,
        body: statusPatch(entry.pod, entry.sent ?? entry.pod.status, desired),
      };
      const query = { subresource: 'status', signal: this.#signal };
      const { metadata } = await pods.patch({ namespace, name }, patch, query);
      entry.sent = desired;
      entry.sentVersion = Number(metadata.resourceVersion ?? 0);
      return;
    }
    const preconditions = uid === undefined ? {} : { uid };
    await pods.delete({ namespace, name }, { gracePeriodSeconds: 0, preconditions, signal: this.#signal });
    entry.finished = false;
  }

  #failed(uid: string, entry: Entry, error: unknown): void {
    if (this.#signal.aborted || this.#entries.get(uid) !== entry) return;
    // Gone, or another pod of that name is there by now: nothing more is to be said of this one.
    if (isReason(error, 'NotFound', 'Conflict')) {
      entry.sent = entry.desired;
      entry.finished = false;
      if (isReason(error, 'NotFound')) return;
    }
    if (entry.failures === 0)
      this.#env.log.warn('writing a pod status failed, will retry', { uid, error: String(error) });
    entry.retry = this.#env.clock.timer(backoffMs(RETRY, entry.failures++, this.#env.random), () => {
      entry.retry = undefined;
      this.#pump(uid, entry);
    });
  }
}

/**
 * Somebody has changed a condition of the kubelet's since it was written: while a node is not heard of, its pods are said not to be
 * ready, and only the kubelet can say that they are.
 */
function wasOverruled(pod: Pod, { sent, sentVersion, writing }: Entry): boolean {
  if (!sent || writing || Number(pod.metadata.resourceVersion ?? 0) <= sentVersion) return false;
  const told = (status: PodStatus | undefined, type: string): string | undefined =>
    status?.conditions?.find((c) => c.type === type)?.status;
  return [...OWN].some((type) => told(sent, type) !== undefined && told(pod.status, type) !== told(sent, type));
}

/** Whether two statuses say the same of what the kubelet writes. */
export function sameStatus(a: PodStatus, b: PodStatus): boolean {
  return JSON.stringify(comparable(a)) === JSON.stringify(comparable(b));
}

function comparable(status: PodStatus): unknown {
  const own = (status.conditions ?? []).filter((c) => OWN.has(c.type)).sort((a, b) => (a.type < b.type ? -1 : 1));
  return sortKeys({ ...status, conditions: own });
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, v]) => v !== undefined && v !== null && !isEmpty(v));
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, sortKeys(v)]));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** A strategic merge patch of the kubelet's part of a status; the uid in it makes it miss another pod of that name. */
export function statusPatch(pod: Pod, before: PodStatus | undefined, after: PodStatus): object {
  const status: Record<string, unknown> = { ...after };
  const own = (after.conditions ?? []).filter((c) => OWN.has(c.type));
  // Conditions merge by type: one that is over must be taken out.
  const over = RESIZE_CONDITIONS.filter(
    (type) => before?.conditions?.some((c) => c.type === type) && !own.some((c) => c.type === type),
  );
  status.conditions = [...own, ...over.map((type) => ({ type, $patch: 'delete' }))];
  for (const key of Object.keys(before ?? {}) as (keyof PodStatus)[]) {
    const ours = KUBELET_FIELDS.has(key);
    if (ours && after[key] === undefined && before?.[key] !== undefined && before[key] !== null) status[key] = null;
  }
  // Lists that merge by address: an address that is gone must go.
  for (const key of ['podIPs', 'hostIPs'] as const) {
    const old = before?.[key]?.map((a) => a.ip) ?? [];
    const fresh = after[key]?.map((a) => a.ip);
    if (fresh && old.some((ip, i) => fresh[i] !== ip)) status[key] = [...after[key]!, { $patch: 'replace' }];
  }
  return { metadata: { uid: pod.metadata.uid }, status };
}

const KUBELET_FIELDS = new Set<keyof PodStatus>([
  'phase',
  'message',
  'reason',
  'hostIP',
  'hostIPs',
  'podIP',
  'podIPs',
  'initContainerStatuses',
  'containerStatuses',
  'ephemeralContainerStatuses',
  'resources',
  'allocatedResources',
]);
