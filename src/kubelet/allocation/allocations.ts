// What this node has set aside for its pods: decided here, kept beside each pod's other files, so that a kubelet that is
// started again goes on with what was decided, whatever has been asked for meanwhile.
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Pod } from '../../api/generated/types.ts';
import { isJsonObject } from '../../api/json.ts';
import type { Log } from '../../lib/log.ts';
import { type Allocation, allocationOf, isResized, withAllocation } from '../../machinery/pod-resize.ts';
import { qosClass } from '../../machinery/pods.ts';
import type { Directories } from '../directories.ts';

export class Allocations {
  readonly #directories: Directories;
  readonly #log: Log;
  readonly #byUid = new Map<string, Allocation>();
  readonly #unsaved = new Set<string>();

  constructor(directories: Directories, log: Log) {
    this.#directories = directories;
    this.#log = log;
  }

  /** What an earlier kubelet has decided. */
  async load(): Promise<void> {
    for (const uid of await readdir(this.#directories.pods)) {
      try {
        this.#byUid.set(uid, read(await readFile(this.#directories.allocation(uid), 'utf8')));
      } catch (error) {
        // Pods that ask for nothing have none.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        this.#log.warn('what was set aside for a pod cannot be read', { uid, error: String(error) });
      }
    }
  }

  has(pod: Pod): boolean {
    return this.#byUid.has(pod.metadata.uid!);
  }

  /** The pod with what is set aside for it instead of what it asks for. */
  laidOver(pod: Pod): Pod {
    const allocation = this.#byUid.get(pod.metadata.uid!);
    return allocation ? withAllocation(pod, allocation) : pod;
  }

  /** Whether the pod asks for something else than is set aside for it. */
  differs(pod: Pod): boolean {
    const allocation = this.#byUid.get(pod.metadata.uid!);
    return allocation !== undefined && isResized(pod, allocation);
  }

  /** What the pod asks for is set aside from now on. To be saved before anything is done about it. */
  set(pod: Pod): void {
    const uid = pod.metadata.uid!;
    this.#byUid.set(uid, allocationOf(pod));
    // A pod that asks for nothing never comes to ask for something: its class may not change.
    if (qosClass(pod) !== 'BestEffort') this.#unsaved.add(uid);
  }

  /** When this resolves, what is set aside for the pod is on disk. */
  async save(uid: string): Promise<void> {
    const path = this.#directories.allocation(uid);
    // What is set aside anew while it is being written is written too.
    while (this.#unsaved.delete(uid)) {
      try {
        const text = JSON.stringify(this.#byUid.get(uid));
        await mkdir(dirname(path), { recursive: true, mode: 0o750 });
        await writeFile(`${path}.new`, text, { mode: 0o600, flush: true });
        await rename(`${path}.new`, path);
      } catch (error) {
        this.#unsaved.add(uid);
        throw error;
      }
    }
  }

  /** The pod has gone, and its directory with it. */
  forget(uid: string): void {
    this.#byUid.delete(uid);
    this.#unsaved.delete(uid);
  }
}

/** Throws an Error that says what is wrong with it. */
function read(text: string): Allocation {
  const value: unknown = JSON.parse(text);
  const allocation = isJsonObject(value) ? value : {};
  const { containers, pod = {} } = allocation;
  if (!isJsonObject(containers) || !Object.values(containers).every(isJsonObject) || !isJsonObject(pod)) {
    throw new Error('it names no containers with their resources');
  }
  return allocation as unknown as Allocation;
}
