import type { Container, Pod } from '../api/generated/types.ts';
import type { EventRecorder } from '../client/event-recorder.ts';

/** Events about pods and their containers, in upstream's reasons and words. */
export class PodEvents {
  readonly #recorder: EventRecorder;

  constructor(recorder: EventRecorder) {
    this.#recorder = recorder;
  }

  pod(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#recorder.event({ apiVersion: 'v1', kind: 'Pod', ...reference(pod) }, type, reason, message);
  }

  /** An event about one container: its involvedObject carries the field path. */
  container(pod: Pod, container: Container, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const fieldPath = containerPath(pod, container);
    this.#recorder.event({ apiVersion: 'v1', kind: 'Pod', ...reference(pod), fieldPath }, type, reason, message);
  }
}

function reference(pod: Pod): {
  namespace: string;
  name: string;
  uid: string;
  resourceVersion: string;
} {
  const { namespace = '', name, uid = '', resourceVersion = '' } = pod.metadata;
  return { namespace, name, uid, resourceVersion };
}

function containerPath(pod: Pod, container: Container): string {
  const lists = ['containers', 'initContainers', 'ephemeralContainers'] as const;
  const list = lists.find((name) => pod.spec[name]?.some((c) => c.name === container.name)) ?? 'containers';
  return `spec.${list}{${container.name}}`;
}
