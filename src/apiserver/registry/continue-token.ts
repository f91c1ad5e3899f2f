// Continue tokens: opaque to clients, the same shape as upstream's.
import { badRequest } from '../../machinery/status.ts';
import type { Revision } from '../../store/contract.ts';

/** `rv` -1: go on at the present (the list is inconsistent). `start` is the last key returned, relative to the prefix. */
export interface ContinueToken {
  readonly rv: Revision | -1;
  readonly start: string;
}

const VERSION = 'meta.k8s.io/v1';

export function encodeContinue(token: ContinueToken): string {
  const text = JSON.stringify({ v: VERSION, rv: token.rv, start: token.start });
  return Buffer.from(text).toString('base64url');
}

export function decodeContinue(text: string): ContinueToken {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch (cause) {
    throw badRequest('invalid continue token: continue key is not valid: it does not decode', cause);
  }
  const { v, rv, start } = (parsed ?? {}) as { v?: unknown; rv?: unknown; start?: unknown };
  if (v !== VERSION) {
    throw badRequest(
      `invalid continue token: continue key is not valid: server does not recognize this encoded version ${JSON.stringify(v)}`,
    );
  }
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv) || (rv <= 0 && rv !== -1)) {
    throw badRequest(
      'invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)',
    );
  }
  if (typeof start !== 'string' || start === '') {
    throw badRequest(
      'invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)',
    );
  }
  // A start that climbs out of the prefix would list what the caller did not ask for.
  if (start.split('/').includes('..') || start.startsWith('/')) {
    throw badRequest(`invalid continue token: continue key is not valid: ${start}`);
  }
  return { rv, start };
}
