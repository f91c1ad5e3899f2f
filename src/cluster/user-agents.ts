// The names by which this cluster's own components are known as clients: in managedFields, and to flow control and logs.
import type { UserInfo } from '../apiserver/contract.ts';

const BY_USER: { readonly [user: string]: string | undefined } = {
  'system:kube-controller-manager': 'kube-controller-manager',
  'system:kube-scheduler': 'kube-scheduler',
  'system:apiserver': 'kube-apiserver',
};

/** Names of users with a name of their own: controllers run with accounts of kube-system, kubelets as their nodes. */
const BY_PREFIX: readonly (readonly [prefix: string, agent: string])[] = [
  ['system:serviceaccount:kube-system:', 'kube-controller-manager'],
  ['system:node:', 'kubelet'],
];

/** What upstream's component of a user calls itself; others are tsukube's own. */
export function userAgentOf({ username }: UserInfo): string {
  return BY_USER[username] ?? BY_PREFIX.find(([prefix]) => username.startsWith(prefix))?.[1] ?? 'tsukube';
}
