import type { Namespace } from '../../api/generated/types.ts';
import { forbidden, notFound, StatusError } from '../../machinery/status.ts';
import type { AdmissionPlugin, AdmissionRequest } from './plugin.ts';

/** Namespaces that cannot be deleted. */
const IMMORTAL = ['default', 'kube-system', 'kube-public'];

/** Nothing is created in a namespace that is absent or going; the system's namespaces stay. */
export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  operations: ['CREATE'],
  async admit(world, request) {
    if (!request.row.namespaced) return;
    const name = request.target.namespace ?? '';
    const namespace = (world.get('', 'namespaces', undefined, name) ??
      (await world.present('', 'namespaces', undefined, name))) as Namespace | undefined;
    if (!namespace) throw notFound({ group: '', resource: 'namespaces' }, name);
    if (namespace.metadata.deletionTimestamp || namespace.status?.phase === 'Terminating') refuse(request, name);
  },
};

function refuse({ row, target }: AdmissionRequest, namespace: string): never {
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const error = forbidden(row, target.name ?? '', why);
  const cause = {
    reason: 'NamespaceTerminating',
    message: `namespace ${namespace} is being terminated`,
    field: 'metadata.namespace',
  };
  throw new StatusError('Forbidden', error.message, { ...error.details, causes: [cause] });
}

export const namespaceProtection: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  operations: ['DELETE'],
  resources: ['namespaces'],
  validate(_world, { target, row }) {
    const name = target.name ?? '';
    if (IMMORTAL.includes(name)) throw forbidden(row, name, 'this namespace may not be deleted');
  },
};
