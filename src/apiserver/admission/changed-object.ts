// What admission makes of an object from outside (webhooks, policies): made whole again, and put in the draft's place.
import { decode } from '../../api/codec.ts';
import { applyDefaults } from '../../api/defaults.ts';
import { cloneJson, sameJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource, type Subresource } from '../../api/tables.ts';
import type { AdmissionRequest, AdmissionWorld } from './plugin.ts';

/** The options of a connection. No resource is of their kinds: they stand beside the resource's own type. */
export function optionsType(resource: Resource, { kind }: Subresource): string {
  return resource.type.replace(/[^.]+$/, kind);
}

/** The table's type of what a request writes, in the version `as`. */
export function writtenType(world: AdmissionWorld, as: Resource, { target, connect }: AdmissionRequest): string {
  const sub = target.subresource === undefined ? undefined : as.subresources.get(target.subresource);
  if (sub && connect) return optionsType(as, sub);
  return (sub && world.tables.typeOfKind(apiVersionOf(sub), sub.kind)) ?? as.type;
}

/** A document of the version `as`: pruned, with defaults, in the version of the request's row. The document is not changed. */
export async function completed(
  world: AdmissionWorld,
  as: Resource,
  request: AdmissionRequest,
  document: KubeObject,
): Promise<Draft<KubeObject>> {
  const type = writtenType(world, as, request);
  const { object } = decode<KubeObject>(world.tables, type, cloneJson(document), { fieldValidation: 'Ignore' });
  applyDefaults(world.tables, type, object);
  return cloneJson(await world.inVersion(object as KubeObject, request.row, as)) as Draft<KubeObject>;
}

/** Puts `made` in the draft's place; says whether anything changed. */
export function replaceBy(draft: Draft<KubeObject>, made: Draft<KubeObject>): boolean {
  if (sameJson(made, draft)) return false;
  const members = draft as unknown as { [member: string]: unknown };
  for (const member of Object.keys(members)) delete members[member];
  Object.assign(members, made);
  return true;
}
