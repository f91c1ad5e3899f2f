// Answers of requests that make or show no object of their own.
import type { KubeObject } from '../../api/object.ts';
import { StatusError } from '../../machinery/status.ts';

/** The answer to a request that has no object to show. */
export function success(): KubeObject {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
  return status as unknown as KubeObject;
}

export function notOffered(what: string): StatusError {
  return new StatusError('MethodNotAllowed', `this server does not offer ${what}`);
}
