// What clients are warned of with every answer about a resource whose version is on its way out.
import type { Target } from '../contract.ts';

/** The built-in versions that 1.36 serves and advises against, by type, in upstream's words. */
const DEPRECATED: ReadonlyMap<string, string> = new Map([
  ['io.k8s.api.core.v1.ComponentStatus', 'v1 ComponentStatus is deprecated in v1.19+'],
  ['io.k8s.api.core.v1.Endpoints', 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice'],
]);

export function deprecationOf({ resource }: Target): string | undefined {
  return resource.custom ? resource.custom.deprecation : DEPRECATED.get(resource.type);
}
