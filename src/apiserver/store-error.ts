import { StatusError } from '../machinery/status.ts';
import { StoreUnavailableError } from '../store/contract.ts';

/** What a store's failure says to a client. */
export function storeError(error: unknown): unknown {
  if (!(error instanceof StoreUnavailableError)) return error;
  const details = { retryAfterSeconds: 1 };
  return new StatusError('ServiceUnavailable', `the store cannot serve now: ${error.message}`, details, {
    cause: error,
  });
}
