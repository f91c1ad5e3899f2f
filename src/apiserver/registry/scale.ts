// The scale subresource: autoscaling/v1 Scale, read from and written to spec.replicas of the kinds that have one.
import type { LabelSelector, Scale } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { labelSelectorFromObject, selectorFromLabels } from '../../machinery/selector-parse.ts';
import { type FieldError, invalid, StatusError } from '../../machinery/status.ts';
import type { CachedObject } from '../contract.ts';
import { invalidValue } from '../strategies/field-errors.ts';
import { strategyOf } from '../strategies/strategies.ts';
import { AnswerObject } from './answer-object.ts';

interface Scaled extends KubeObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly selector?: LabelSelector & { readonly [key: string]: string };
  };
  readonly status?: { readonly replicas?: number };
}

/** The Scale of an object; throws for a resource that has none. */
export function scaleOf(cached: CachedObject, resource: Resource): CachedObject {
  const rule = strategyOf(resource).scale;
  if (!rule) throw new StatusError('NotFound', 'the server could not find the requested resource');
  return cached.derived('scale', (self) => {
    const object = self.object as Scaled;
    const written = object.spec?.selector;
    const selector = rule.selector === 'map' ? selectorFromLabels(written) : labelSelectorFromObject(written);
    const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
    const scale: Scale = {
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      metadata: {
        name,
        ...(namespace !== undefined && { namespace }),
        ...(uid !== undefined && { uid }),
        ...(resourceVersion !== undefined && { resourceVersion }),
        ...(creationTimestamp !== undefined && { creationTimestamp }),
      },
      spec: { ...(object.spec?.replicas && { replicas: object.spec.replicas }) },
      status: { replicas: object.status?.replicas ?? 0, selector: selector.toString() },
    };
    return new AnswerObject(scale, self);
  });
}

/** Writes a Scale's wish into the object's draft; throws Invalid for a bad one. */
export function applyScale(object: Draft<KubeObject>, scale: KubeObject): void {
  const replicas = (scale as Scale).spec?.replicas ?? 0;
  const errors: FieldError[] = [];
  if (replicas < 0) errors.push(invalidValue('spec.replicas', replicas, 'must be greater than or equal to 0'));
  if (errors.length > 0) throw invalid({ group: 'autoscaling', kind: 'Scale' }, scale.metadata.name, errors);
  (object as unknown as { spec: { replicas: number } }).spec.replicas = replicas;
}
