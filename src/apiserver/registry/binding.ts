// pods/binding: the scheduler's decision. A pod is assigned once.
import type { Binding, Pod } from '../../api/generated/types.ts';
import { cloneJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { isPlanted } from '../../lib/planted.ts';
import { setCondition } from '../../machinery/meta.ts';
import { badRequest, conflict, type FieldError, invalid } from '../../machinery/status.ts';
import { admit, reviewAdmission } from '../admission/admit.ts';
import type { RequestContext, Target, WriteOptions } from '../contract.ts';
import { notSupported, required } from '../strategies/field-errors.ts';
import { type Change, change } from './change.ts';
import { builtIn, type Core } from './context.ts';
import { success } from './plain-answers.ts';

export async function bindPod(
  core: Core,
  ctx: RequestContext,
  target: Target,
  body: KubeObject,
  options: WriteOptions,
): Promise<KubeObject> {
  const binding = body as Binding;
  const name = target.name ?? binding.metadata?.name ?? '';
  if (binding.metadata?.name && binding.metadata.name !== name) {
    throw badRequest('name in URL does not match name in Binding object');
  }
  validateBinding(binding, name);
  const row = builtIn(core, '', 'pods');
  const dryRun = options.dryRun === true;
  const pods: Target = { ...target, resource: row, name, subresource: 'binding' };
  const admission = { operation: 'CREATE' as const, target: pods, row, old: undefined, dryRun };
  await admit(core, ctx, admission, binding as Draft<KubeObject>);
  await reviewAdmission(core, ctx, admission, binding);
  const decide = async ({ object }: { object: KubeObject }): Promise<Change> => {
    return { kind: 'put', object: assigned(object as Pod, binding, core.env.clock.now()) };
  };
  await change(core, ctx, { row, namespace: target.namespace, name }, decide, { dryRun });
  return success();
}

function validateBinding(binding: Binding, name: string): void {
  const errors: FieldError[] = [];
  const kind = binding.target?.kind ?? '';
  if (kind !== '' && kind !== 'Node') errors.push(notSupported('target.kind', kind, ['Node', '<empty>']));
  if (!binding.target?.name) errors.push(required('target.name'));
  if (errors.length > 0) throw invalid({ group: '', kind: 'Binding' }, name, errors);
}

/** The pod with its node; throws Conflict when it cannot be assigned (any more). */
export function assigned(pod: Pod, binding: Binding, nowMs: number): Draft<KubeObject> {
  const { name, uid, resourceVersion } = pod.metadata;
  const refuse = (why: string): never => {
    throw conflict({ group: '', resource: 'pods/binding' }, name, why);
  };
  const wants = binding.metadata ?? {};
  if (wants.uid && wants.uid !== uid) {
    refuse(`Precondition failed: UID in precondition: ${wants.uid}, UID in object meta: ${uid}`);
  }
  if (wants.resourceVersion && wants.resourceVersion !== resourceVersion) {
    refuse(
      `Precondition failed: ResourceVersion in precondition: ${wants.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`,
    );
  }
  if (pod.metadata.deletionTimestamp) refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  if (pod.spec.nodeName && !isPlanted('bind-twice'))
    refuse(`pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
  if ((pod.spec.schedulingGates ?? []).length > 0) refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  const draft = cloneJson(pod) as Draft<Pod>;
  draft.spec.nodeName = binding.target.name!;
  if (wants.annotations) draft.metadata.annotations = { ...draft.metadata.annotations, ...wants.annotations };
  if (wants.labels) draft.metadata.labels = { ...wants.labels, ...draft.metadata.labels };
  const scheduled = { type: 'PodScheduled', status: 'True' } as const;
  const conditions = setCondition(pod.status?.conditions, scheduled as never, nowMs);
  draft.status = {
    ...draft.status,
    conditions: structuredClone(conditions) as NonNullable<Draft<Pod>['status']>['conditions'],
  };
  return draft as Draft<KubeObject>;
}
