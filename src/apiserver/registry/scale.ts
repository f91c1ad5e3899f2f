// The scale subresource: autoscaling/v1 Scale, read from and written to spec.replicas of the kinds that have one.
import type { LabelSelector, Scale } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { compileJsonPath, plainMembers } from '../../machinery/json-path.ts';
import { labelSelectorFromObject, selectorFromLabels } from '../../machinery/selector-parse.ts';
import { type FieldError, invalid, StatusError } from '../../machinery/status.ts';
import type { CachedObject } from '../contract.ts';
import { invalidValue } from '../strategies/field-errors.ts';
import { strategyOf } from '../strategies/strategies.ts';
import type { ScaleRule } from '../strategies/strategy.ts';
import { AnswerObject } from './answer-object.ts';

type Members = { [name: string]: unknown };

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
    const replicas = rule.paths ? numberAt(object, rule.paths.specReplicasPath) : object.spec?.replicas;
    const observed = rule.paths ? numberAt(object, rule.paths.statusReplicasPath) : object.status?.replicas;
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
      spec: { ...(replicas && { replicas }) },
      status: { replicas: observed ?? 0, selector: selectorText(object, rule) },
    };
    return new AnswerObject(scale, self);
  });
}

function selectorText(object: Scaled, { selector, paths }: ScaleRule): string {
  const written = object.spec?.selector;
  if (selector === 'map') return selectorFromLabels(written).toString();
  if (selector === 'labelSelector') return labelSelectorFromObject(written).toString();
  const [found] = paths?.labelSelectorPath ? compileJsonPath(paths.labelSelectorPath)(object) : [];
  return typeof found === 'string' ? found : '';
}

function numberAt(object: object, path: string): number | undefined {
  const [found] = compileJsonPath(path)(object);
  return typeof found === 'number' ? found : undefined;
}

/** Writes a Scale's wish into the object's draft; throws Invalid for a bad one. */
export function applyScale(object: Draft<KubeObject>, scale: KubeObject, resource: Resource): void {
  const replicas = (scale as Scale).spec?.replicas ?? 0;
  const errors: FieldError[] = [];
  if (replicas < 0) errors.push(invalidValue('spec.replicas', replicas, 'must be greater than or equal to 0'));
  if (errors.length > 0) throw invalid({ group: 'autoscaling', kind: 'Scale' }, scale.metadata.name, errors);
  const path = strategyOf(resource).scale?.paths?.specReplicasPath ?? '.spec.replicas';
  const members = plainMembers(path) ?? [];
  let parent = object as unknown as Members;
  for (const name of members.slice(0, -1)) {
    if (typeof parent[name] !== 'object' || parent[name] === null) parent[name] = {};
    parent = parent[name] as Members;
  }
  parent[members.at(-1) ?? 'replicas'] = replicas;
}
