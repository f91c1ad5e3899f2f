// Policy rules in short form, so that the standard roles can be read as a table:
//   "get,list core pods,pods/log"             verbs, API groups, resources
//   "get core configmaps =kubeadm-config"     and resource names
//   "get url /version,/livez"                 verbs, non-resource URLs
// `core` is the group ""; read, write and readwrite stand for their verbs.
import type { PolicyRule } from '../../api/generated/types.ts';

const WRITE = ['create', 'update', 'patch', 'delete', 'deletecollection'];
const READ = ['get', 'list', 'watch'];
const VERBS: { readonly [name: string]: readonly string[] } = {
  read: READ,
  write: WRITE,
  readwrite: [...READ, ...WRITE],
};

export function parseRule(text: string): PolicyRule {
  const [verbs = '', groups = '', things = '', names] = text.split(' ');
  const all = verbs.split(',').flatMap((verb) => VERBS[verb] ?? [verb]);
  if (groups === 'url') return { verbs: all, nonResourceURLs: things.split(',') };
  return {
    verbs: all,
    apiGroups: groups.split(',').map((group) => (group === 'core' ? '' : group)),
    resources: things.split(','),
    ...(names && { resourceNames: names.slice(1).split(',') }),
  };
}
