// The rules of resourceVersion and resourceVersionMatch (API concepts, "Resource versions").
import type { Clock } from '../../lib/clock.ts';
import { badRequest, type FieldError, invalid, StatusError } from '../../machinery/status.ts';
import type { Revision } from '../../store/contract.ts';
import type { ListOptions, ResourceCache, WatchOptions } from '../contract.ts';
import { forbiddenField, notSupported } from '../strategies/field-errors.ts';

/** How long a read waits for a revision that is not here yet. */
export const FRESH_WAIT_MS = 3000;

/** A revision that a client sent; 0 for "" and "0". */
export function parseRevision(text: string | undefined): Revision {
  if (text === undefined || text === '') return 0;
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw badRequest(
    `invalid resource version ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
  );
}

export function tooLargeRevision(asked: Revision, current: Revision): StatusError {
  const causes = [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }];
  const message = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  return new StatusError('Timeout', message, { causes, retryAfterSeconds: 1 });
}

/** Waits until the cache shows `revision`; after FRESH_WAIT_MS the revision is too large. */
export async function waitForRevision(
  cache: ResourceCache,
  revision: Revision,
  wait: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  if (cache.revision >= revision) return;
  const late = new AbortController();
  const timer = wait.clock.timer(FRESH_WAIT_MS, () => late.abort());
  try {
    await cache.reached(revision, AbortSignal.any([wait.signal, late.signal]));
  } catch (error) {
    if (late.signal.aborted && !wait.signal.aborted) throw tooLargeRevision(revision, cache.revision);
    throw error;
  } finally {
    timer.cancel();
  }
}

const LIST_OPTIONS = { group: 'meta.k8s.io', kind: 'ListOptions' };
const EXACT = 'Exact';
const NOT_OLDER = 'NotOlderThan';

export function checkListOptions(options: ListOptions): void {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch ?? '';
  const at = 'resourceVersionMatch';
  if (match !== '') {
    if (!options.resourceVersion)
      errors.push(forbiddenField(at, 'resourceVersionMatch is forbidden unless resourceVersion is provided'));
    if (options.continue)
      errors.push(forbiddenField(at, 'resourceVersionMatch is forbidden when continue is provided'));
    if (match !== EXACT && match !== NOT_OLDER) errors.push(notSupported(at, match, [EXACT, NOT_OLDER, '']));
    if (match === EXACT && options.resourceVersion === '0') {
      errors.push(forbiddenField(at, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
    }
  }
  if (options.sendInitialEvents !== undefined) {
    errors.push(forbiddenField('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  }
  if (errors.length > 0) throw invalid(LIST_OPTIONS, '', errors);
  if (options.continue && options.resourceVersion && options.resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
}

export function checkWatchOptions(options: WatchOptions): void {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch ?? '';
  const at = 'resourceVersionMatch';
  if (options.sendInitialEvents !== undefined && match !== NOT_OLDER) {
    errors.push(forbiddenField(at, `sendInitialEvents requires setting resourceVersionMatch to ${NOT_OLDER}`));
  }
  if (match !== '') {
    if (options.sendInitialEvents === undefined) {
      errors.push(
        forbiddenField(at, 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'),
      );
    }
    if (match !== NOT_OLDER) errors.push(notSupported(at, match, [NOT_OLDER]));
  }
  if (errors.length > 0) throw invalid(LIST_OPTIONS, '', errors);
}

/** What a list reads: a consistent present, whatever the cache has, at least a revision, or exactly one. */
export type ListMode =
  | { readonly kind: 'present' }
  | { readonly kind: 'any' }
  | { readonly kind: 'notOlderThan'; readonly revision: Revision }
  | { readonly kind: 'exact'; readonly revision: Revision };

export function listMode(options: ListOptions): ListMode {
  if (!options.resourceVersion) return { kind: 'present' };
  const revision = parseRevision(options.resourceVersion);
  if (revision === 0) return { kind: 'any' };
  // Without a match, a limit asks for exactly that revision, as upstream has always done.
  const exact = options.resourceVersionMatch === EXACT || (!options.resourceVersionMatch && (options.limit ?? 0) > 0);
  return { kind: exact ? 'exact' : 'notOlderThan', revision };
}
