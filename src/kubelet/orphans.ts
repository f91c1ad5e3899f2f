import type { Allocations } from './allocation/allocations.ts';
import type { CriClient } from './cri/client.ts';
import type { Cgroups } from './runtime/cgroups.ts';
import { readNotes } from './runtime/labels.ts';
import type { PodRecord } from './runtime/observe.ts';
import type { PodRuntime } from './runtime/pod-runtime.ts';
import type { VolumeManager } from './volumes/manager.ts';

export interface OrphanContext {
  readonly cri: CriClient;
  readonly runtime: PodRuntime;
  readonly volumes: VolumeManager;
  readonly cgroups: Cgroups;
  readonly allocations: Allocations;
  readonly signal: AbortSignal;
}

/**
 * Takes away a pod of which only runtime and disk know: its deletion was missed while no kubelet ran. Its containers get
 * the grace period that was noted on them.
 */
export async function removeOrphan(uid: string, record: PodRecord | undefined, context: OrphanContext): Promise<void> {
  const { cri, runtime, volumes, cgroups, allocations, signal } = context;
  const running = (record?.containers ?? []).filter((c) => c.state === 'CONTAINER_RUNNING');
  await Promise.all(running.map((c) => cri.stopContainer(c.id, readNotes(c.annotations).graceSeconds, { signal })));
  for (const sandbox of record?.sandboxes ?? []) await runtime.removeSandbox(sandbox.id, signal);
  if (record) await runtime.removeLogs({ namespace: record.namespace, name: record.name, uid });
  await volumes.removeDirectory(uid);
  allocations.forget(uid);
  await cgroups.removeByUid(uid);
}
