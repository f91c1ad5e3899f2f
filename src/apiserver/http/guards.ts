import { badRequest } from '../../machinery/status.ts';
import { type Guard, MAX_GUARDS } from '../../store/contract.ts';

/** Carries a leader's guards: `key=revision`, the key percent-encoded, several with commas. */
export const GUARDS_HEADER = 'tsukube-guards';

/** Terms are kept in Leases. Other keys are not to be guessed at by how a write ends. */
const GUARDABLE = '/registry/leases/';

/** The guards of a request. Throws BadRequest. */
export function parseGuards(header: string | undefined): readonly Guard[] | undefined {
  if (header === undefined || header === '') return undefined;
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
