import { join } from 'node:path';
import type { Pod } from '../api/generated/types.ts';

/** Where the kubelet keeps what belongs to pods. */
export class Directories {
  readonly root: string;
  readonly logs: string;

  constructor(root: string, logs: string) {
    this.root = root;
    this.logs = logs;
  }

  get pods(): string {
    return join(this.root, 'pods');
  }

  get seccomp(): string {
    return join(this.root, 'seccomp');
  }

  pod(uid: string): string {
    return join(this.pods, uid);
  }

  /** Those of one kind. */
  volumesOf(uid: string, plugin: string): string {
    return join(this.pod(uid), 'volumes', `kubernetes.io~${plugin}`);
  }

  volume(uid: string, plugin: string, name: string): string {
    return join(this.volumesOf(uid, plugin), name);
  }

  subPath(uid: string, volume: string, container: string, index: number): string {
    return join(this.pod(uid), 'volume-subpaths', volume, container, String(index));
  }

  /** What is set aside for a pod. */
  allocation(uid: string): string {
    return join(this.pod(uid), 'allocated-resources.json');
  }

  container(uid: string, name: string): string {
    return join(this.pod(uid), 'containers', name);
  }

  hostsFile(uid: string): string {
    return join(this.pod(uid), 'etc-hosts');
  }

  /** A pod's log directory carries its name, for those who look with their own eyes. */
  podLogs(pod: Pod): string {
    return podLogDirectory(this.logs, pod.metadata.namespace ?? '', pod.metadata.name, pod.metadata.uid ?? '');
  }
}

export function podLogDirectory(logs: string, namespace: string, name: string, uid: string): string {
  return join(logs, `${namespace}_${name}_${uid}`);
}
