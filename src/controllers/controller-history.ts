// The history of a workload's template: ControllerRevisions of DaemonSets and StatefulSets (API concept "ControllerRevision").
import type { ControllerRevision, PodTemplateSpec } from '../api/generated/types.ts';
import { type Draft, draft, type KubeObject } from '../api/object.ts';
import { templateHash } from '../machinery/hash.ts';
import { controllerReference } from '../machinery/meta.ts';
import type { Selector } from '../machinery/selector.ts';
import { isReason } from '../machinery/status.ts';
import { byController, claim, decideClaims, ORPHANS, type OwnerKind } from './pod-ownership.ts';
import { type ControllerContext, type Watch, watch } from './runtime.ts';

/** The label of pods that names the revision they were made from. */
export const REVISION_HASH = 'controller-revision-hash';

/** A name is cut to leave room for the hash, as upstream. */
const MAX_PREFIX = 223;

/** Names that are tried before a collision is given back as an error. */
const MAX_COLLISIONS = 10;

export interface HistoryOwner {
  readonly object: KubeObject;
  readonly kind: OwnerKind;
  readonly selector: Selector;
  readonly template: PodTemplateSpec;
  readonly collisionCount: number | undefined;
  /** The label of a revision that carries the hash of its name: it differs between the kinds. */
  readonly hashLabel: string;
}

/** JSON with members in the order of their names: what clients compare templates by (kubectl rollout undo). */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, member]) => [key, sorted(member)]));
}

/** What a revision stores: the strategic merge patch that brings the template back. */
export function revisionData(template: PodTemplateSpec): NonNullable<ControllerRevision['data']> {
  return sorted({ spec: { template: { ...template, $patch: 'replace' } } }) as NonNullable<ControllerRevision['data']>;
}

/** The template that a revision stores. */
export function revisionTemplate(revision: ControllerRevision): PodTemplateSpec {
  const { $patch: _, ...template } = (revision.data as { spec: { template: Record<string, unknown> } }).spec.template;
  return template as unknown as PodTemplateSpec;
}

const textOf = (data: unknown): string => JSON.stringify(sorted(data));

export function byRevision(revisions: readonly ControllerRevision[]): readonly ControllerRevision[] {
  return [...revisions].sort(
    (a, b) => Number(a.revision) - Number(b.revision) || (a.metadata.name < b.metadata.name ? -1 : 1),
  );
}

export interface HistoryDecision {
  /** The revision of the declared template; undefined when it is to be made. */
  readonly current: ControllerRevision | undefined;
  /** The number that it must have: above all others. */
  readonly revision: number;
  /** Revisions of other templates, the oldest first. */
  readonly old: readonly ControllerRevision[];
  /** Further revisions of the same template, to be deleted. */
  readonly duplicates: readonly ControllerRevision[];
}

/** Which of the revisions is the template's, and what number it has to carry. */
export function decideHistory(template: PodTemplateSpec, revisions: readonly ControllerRevision[]): HistoryDecision {
  const wanted = textOf(revisionData(template));
  const all = byRevision(revisions);
  const same = all.filter((revision) => textOf(revision.data) === wanted);
  const old = all.filter((revision) => !same.includes(revision));
  const current = same.at(-1);
  const above = Number(old.at(-1)?.revision ?? 0) + 1;
  return { current, revision: Math.max(Number(current?.revision ?? 0), above), old, duplicates: same.slice(0, -1) };
}

/** What goes beyond the limit: the oldest that nothing uses. */
export function surplusRevisions(
  unused: readonly ControllerRevision[],
  total: number,
  limit: number | undefined,
): readonly ControllerRevision[] {
  return byRevision(unused).slice(0, Math.max(0, total - (limit ?? 10)));
}

/** The watch that a controller with a history needs. */
export function watchRevisions(keys: (revision: KubeObject, previous: KubeObject | undefined) => string[]): Watch {
  return watch('controllerrevisions.apps', { indexes: byController, keys });
}

/** The owner's revisions; those that match and have no owner are adopted first. */
export async function ownedRevisions(
  ctx: ControllerContext,
  owner: HistoryOwner,
  signal: AbortSignal,
): Promise<readonly ControllerRevision[]> {
  const informer = ctx.informers.for('controllerrevisions.apps');
  const owned = informer.byIndex('controller', owner.object.metadata.uid!);
  const orphans = informer.byIndex(ORPHANS, owner.object.metadata.namespace ?? '');
  const claims = decideClaims(owner.object, owner.selector, owned, orphans);
  await claim(ctx.client, owner.kind, owner.object, claims, signal, 'controllerrevisions.apps');
  return [...claims.kept, ...claims.adopt];
}

export interface History {
  readonly current: ControllerRevision;
  readonly old: readonly ControllerRevision[];
  readonly duplicates: readonly ControllerRevision[];
  /** Names that were taken so far; belongs into the owner's status. */
  readonly collisionCount: number | undefined;
}

/** Makes the history say what is declared: the template's revision exists and has the highest number. */
export async function syncHistory(
  ctx: ControllerContext,
  owner: HistoryOwner,
  revisions: readonly ControllerRevision[],
  signal: AbortSignal,
): Promise<History> {
  const { current, revision, old, duplicates } = decideHistory(owner.template, revisions);
  const { collisionCount } = owner;
  if (!current) return { ...(await createRevision(ctx, owner, revision, signal)), old, duplicates };
  if (Number(current.revision) === revision) return { current, old, duplicates, collisionCount };
  const changed: Draft<ControllerRevision> = { ...draft(current), revision };
  const updated = await ctx.client.resource('controllerrevisions.apps').update(changed, { signal });
  return { current: updated, old, duplicates, collisionCount };
}

async function createRevision(
  ctx: ControllerContext,
  owner: HistoryOwner,
  revision: number,
  signal: AbortSignal,
): Promise<{ current: ControllerRevision; collisionCount: number | undefined }> {
  const { object, kind, template, hashLabel } = owner;
  const { name: ownerName, namespace, annotations } = object.metadata;
  const revisions = ctx.client.resource('controllerrevisions.apps');
  let { collisionCount } = owner;
  for (let tries = 1; ; tries++) {
    const hash = templateHash(template, collisionCount);
    const name = `${ownerName.slice(0, MAX_PREFIX)}-${hash}`;
    const wanted: ControllerRevision = {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      metadata: {
        name,
        namespace: namespace!,
        labels: { ...template.metadata?.labels, [hashLabel]: hash },
        ...(annotations && { annotations }),
        ownerReferences: [controllerReference(object, kind)],
      },
      data: revisionData(template),
      revision,
    };
    try {
      return { current: await revisions.create(wanted, { signal }), collisionCount };
    } catch (error) {
      if (!isReason(error, 'AlreadyExists') || tries === MAX_COLLISIONS) throw error;
    }
    // The name is taken: by our own earlier create that the cache does not show yet, or by another template.
    const existing = await revisions.get({ namespace, name }, signal);
    const ours = existing.metadata.ownerReferences?.some((r) => r.uid === object.metadata.uid);
    if (ours && textOf(existing.data) === textOf(wanted.data)) return { current: existing, collisionCount };
    collisionCount = (collisionCount ?? 0) + 1;
  }
}

export async function deleteRevisions(
  ctx: ControllerContext,
  revisions: readonly ControllerRevision[],
  signal: AbortSignal,
): Promise<void> {
  for (const { metadata } of revisions) {
    const { namespace, name, uid } = metadata;
    try {
      const query = { preconditions: { uid: uid! }, signal };
      await ctx.client.resource('controllerrevisions.apps').delete({ namespace, name }, query);
    } catch (error) {
      if (!isReason(error, 'NotFound', 'Conflict')) throw error;
    }
  }
}
