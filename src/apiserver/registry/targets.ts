// What a request may be about.
import type { Resource, Subresource } from '../../api/tables.ts';
import { StatusError } from '../../machinery/status.ts';
import type { Target } from '../contract.ts';

/** Reviews and bindings are answered, never kept. */
export function isPersisted(resource: Resource): boolean {
  return resource.etcdPrefix !== undefined;
}

/** The subresource of a request; throws when the resource has none of that name, or not this verb. */
export function subresourceOf(target: Target, verb: string): Subresource | undefined {
  if (target.subresource === undefined) return undefined;
  const found = target.resource.subresources.get(target.subresource);
  if (!found) throw new StatusError('NotFound', 'the server could not find the requested resource');
  if (!found.verbs.includes(verb)) throw unsupportedVerb();
  return found;
}

export function definitionTerminates(): StatusError {
  return new StatusError('MethodNotAllowed', 'create not allowed while custom resource definition is terminating');
}

export function unsupportedVerb(): StatusError {
  return new StatusError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
}
