import type { Client } from '../../client/contract.ts';
import type { BindPlugin } from '../framework.ts';

/** Binds through the pod's binding subresource; the uid keeps it from binding another pod of the same name. */
export function defaultBinder(client: Client): BindPlugin {
  const pods = client.resource('pods');
  return {
    name: 'DefaultBinder',
    bind: async ({ namespace, pod, uid }, nodeName, signal) => {
      const { name } = pod.metadata;
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { namespace, name, uid },
        target: { kind: 'Node', name: nodeName },
      };
      await pods.createOn({ namespace, name }, 'binding', binding, signal);
    },
  };
}
