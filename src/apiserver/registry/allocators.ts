// Kinds whose objects are given something that no other object may have.
import type { Draft, KubeObject } from '../../api/object.ts';
import { groupResource, type Resource } from '../../api/tables.ts';
import type { Guard } from '../../store/contract.ts';
import type { RequestContext } from '../contract.ts';
import type { Core } from './context.ts';
import { allocateForService } from './service-allocation.ts';

/** What was allocated holds only if the object is written under these guards. `release` is called when that is over. */
export interface Allocation {
  readonly guards: readonly Guard[];
  readonly release: () => void;
}

/** Fills in what `object` is to be given. Throws Invalid when it asks for something that it cannot have. */
export type Allocator = (
  core: Core,
  ctx: RequestContext,
  object: Draft<KubeObject>,
  old: KubeObject | undefined,
  dryRun: boolean,
) => Promise<Allocation | undefined>;

const ALLOCATORS: { readonly [resource: string]: Allocator } = { services: allocateForService };

export function allocatorOf(row: Resource): Allocator | undefined {
  return ALLOCATORS[groupResource(row)];
}
