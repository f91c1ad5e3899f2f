import type { Pod } from '../api/generated/types.ts';
import type { EventSubject } from '../client/event-recorder.ts';

/** A pod as an event names it; objects from lists need not carry their kind. */
export function podReference(pod: Pod): EventSubject {
  const { namespace, name, uid, resourceVersion } = pod.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    name,
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
}
