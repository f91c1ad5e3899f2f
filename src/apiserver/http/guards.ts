import { badRequest, StatusError } from '../../machinery/status.ts';
import { type Guard, MAX_GUARDS } from '../../store/contract.ts';
import { PRIVILEGED_GROUP } from '../auth/rbac.ts';
import type { UserInfo } from '../contract.ts';

/** Carries a leader's guards: `key=revision`, the key percent-encoded, several with commas. */
export const GUARDS_HEADER = 'tsukube-guards';

/** Terms are kept in Leases. Other keys are not to be guessed at by how a write ends. */
const GUARDABLE = '/registry/leases/';

const COMPONENTS: ReadonlySet<string> = new Set(['system:kube-controller-manager', 'system:kube-scheduler']);
/** Controllers act as service accounts of this namespace. */
const COMPONENT_ACCOUNTS = 'system:serviceaccounts:kube-system';

function isComponent({ username, groups }: UserInfo): boolean {
  return COMPONENTS.has(username) || groups.includes(COMPONENT_ACCOUNTS) || groups.includes(PRIVILEGED_GROUP);
}

/**
 * The guards of a request. Throws BadRequest, and Forbidden for anybody but components of the control plane: a guard that was
 * silently left out would be taken for protection.
 */
export function parseGuards(header: string | undefined, user: UserInfo): readonly Guard[] | undefined {
  if (header === undefined || header === '') return undefined;
  if (!isComponent(user)) {
    throw new StatusError('Forbidden', `only components of the control plane may send ${GUARDS_HEADER}`);
  }
  const parts = header.split(',');
  if (parts.length > MAX_GUARDS) throw badRequest(`at most ${MAX_GUARDS} guards are taken`);
  return parts.map((part) => {
    const match = /^\s*([^=\s]+)=(\d{1,15})\s*$/.exec(part);
    const key = match ? decoded(match[1]!) : '';
    if (!match || !key.startsWith(GUARDABLE)) throw badRequest(`not a guard: ${JSON.stringify(part)}`);
    return { key, revision: Number(match[2]) };
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
