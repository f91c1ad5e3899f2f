import type { Namespace } from '../api/generated/types.ts';
import { isTerminating } from '../machinery/meta.ts';
import { isReason, type StatusError } from '../machinery/status.ts';
import { type Controller, watch } from './runtime.ts';

const DEFAULT = 'default';

/** Keeps a service account "default" in every namespace. */
export function serviceAccountController(): Controller {
  return {
    name: 'service-account-controller',
    watches: () => [
      watch('namespaces', { keys: (namespace) => [namespace.metadata.name] }),
      watch('serviceaccounts', {
        keys: (account, _previous, change) =>
          change === 'deleted' && account.metadata.name === DEFAULT ? [account.metadata.namespace ?? ''] : [],
      }),
    ],
    async reconcile({ client, informers }, name, signal) {
      const namespace = informers.for('namespaces').get(name);
      const exists = informers.for('serviceaccounts').get(`${name}/${DEFAULT}`) !== undefined;
      if (!needsDefaultAccount(namespace, exists)) return;
      const account = { metadata: { namespace: name, name: DEFAULT } };
      await client.resource('serviceaccounts').create(account, { signal }).catch(ignoreExistingOrLeaving);
    },
  };
}

export function needsDefaultAccount(namespace: Namespace | undefined, exists: boolean): boolean {
  if (exists || !namespace || isTerminating(namespace)) return false;
  return (namespace.status?.phase ?? 'Active') === 'Active';
}

/** Somebody made it meanwhile, or the namespace is going: there is nothing to do. */
export function ignoreExistingOrLeaving(error: unknown): void {
  const leaving =
    isReason(error, 'Forbidden') &&
    (error as StatusError).details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating');
  if (!leaving && !isReason(error, 'AlreadyExists', 'NotFound')) throw error;
}
