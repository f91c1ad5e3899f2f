// Deployments, ReplicaSets, StatefulSets, DaemonSets and ReplicationControllers.
import type {
  DaemonSet,
  Deployment,
  LabelSelector,
  PodTemplateSpec,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { labelSelectorFromObject } from '../../machinery/selector-parse.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import { forbiddenField, invalidValue, notSupported, required } from './field-errors.ts';
import { defineStrategy } from './strategy.ts';

const ALWAYS = ['Always'];

/** What upstream says of a selector that selects everything: the field's value, and the words. */
const EMPTY_SELECTOR: { readonly [kind: string]: string } = {
  deployment: 'empty selector is invalid for deployment',
  daemonset: 'empty selector is invalid for daemonset',
  statefulset: 'empty selector is invalid for statefulset',
};

interface TemplateHolder {
  readonly selector: LabelSelector | undefined;
  readonly template?: PodTemplateSpec;
}

/** A selector must select something particular, and must select what the template makes, which runs for ever. */
function validateTemplate({ selector, template }: TemplateHolder, kind: string): FieldError[] {
  const errors: FieldError[] = template ? validateRestart(template, 'spec.template', ALWAYS) : [];
  const labelsDiffer = (): FieldError => {
    const labels = template?.metadata?.labels;
    return invalidValue('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
  };
  // No selector selects nothing, so it does not select what the template makes either.
  if (!selector) return [required('spec.selector'), labelsDiffer(), ...errors];
  let compiled: ReturnType<typeof labelSelectorFromObject>;
  try {
    compiled = labelSelectorFromObject(selector);
  } catch {
    // What is wrong with it, the rules of selectors say.
    return [...errors, invalidValue('spec.selector', selector, 'invalid label selector')];
  }
  if (compiled.empty) errors.push(invalidValue('spec.selector', selector, EMPTY_SELECTOR[kind] ?? ''));
  else if (!compiled.matches(template?.metadata?.labels)) errors.push(labelsDiffer());
  return errors;
}

/** Whatever runs pods says which restart policies they may have. */
export function validateRestart(template: PodTemplateSpec, path: string, allowed: readonly string[]): FieldError[] {
  const policy = template.spec?.restartPolicy;
  if (policy && allowed.includes(policy)) return [];
  // What is missing is defaulted to Always: for what ends by itself that says nothing yet.
  if (policy === 'Always') {
    return [
      required(`${path}.spec.restartPolicy`, `valid values: ${allowed.map((p) => JSON.stringify(p)).join(', ')}`),
    ];
  }
  return [notSupported(`${path}.spec.restartPolicy`, policy ?? '', allowed)];
}

export const deploymentStrategy = defineStrategy<Deployment>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  validate: (d) => validateTemplate(d.spec, 'deployment'),
  resetFields: { '': ['status'], status: ['spec', 'metadata.labels'] },
  endpoints: {
    status: {
      prepareForUpdate: (d, old) => {
        d.spec = structuredClone(old.spec) as Draft<Deployment>['spec'];
        d.metadata.labels = structuredClone(old.metadata.labels) as Draft<Deployment>['metadata']['labels'];
      },
    },
  },
});

export const replicaSetStrategy = defineStrategy<ReplicaSet>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  selectable: { 'status.replicas': (rs) => String(rs.status?.replicas ?? 0) },
  validate: (rs) => validateTemplate(rs.spec, 'deployment'),
});

function validateController(rc: ReplicationController): FieldError[] {
  const errors: FieldError[] = [];
  const selector = rc.spec.selector ?? {};
  if (Object.keys(selector).length === 0) errors.push(required('spec.selector'));
  const labels = rc.spec.template?.metadata?.labels ?? {};
  if (Object.entries(selector).some(([key, value]) => labels[key] !== value)) {
    const text = '`selector` does not match template `labels`';
    errors.push(invalidValue('spec.template.metadata.labels', labels, text));
  }
  if (rc.spec.template) errors.push(...validateRestart(rc.spec.template, 'spec.template', ALWAYS));
  else errors.push(required('spec.template'));
  if (rc.spec.template?.spec?.activeDeadlineSeconds !== undefined) {
    const text = 'activeDeadlineSeconds in ReplicationController is not Supported';
    errors.push(forbiddenField('spec.template.spec.activeDeadlineSeconds', text));
  }
  return errors;
}

export const replicationControllerStrategy = defineStrategy<ReplicationController>({
  countsGenerations: true,
  defaultPropagation: 'orphan',
  scale: { selector: 'map' },
  selectable: { 'status.replicas': (rc) => String(rc.status?.replicas ?? 0) },
  validate: validateController,
});

const STATEFULSET_FIELDS = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const;

function validateStatefulSetUpdate(set: StatefulSet, old: StatefulSet): FieldError[] {
  const errors = validateTemplate(set.spec, 'statefulset');
  const allowed: Record<string, unknown> = { ...old.spec };
  for (const field of STATEFULSET_FIELDS) allowed[field] = set.spec[field];
  if (!sameMeaning(set.spec, allowed)) {
    const text =
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', " +
      "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    errors.push(forbiddenField('spec', text));
  }
  return errors;
}

export const statefulSetStrategy = defineStrategy<StatefulSet>({
  countsGenerations: true,
  scale: { selector: 'labelSelector' },
  validate: (set) => validateTemplate(set.spec, 'statefulset'),
  validateUpdate: validateStatefulSetUpdate,
});

export const daemonSetStrategy = defineStrategy<DaemonSet>({
  countsGenerations: true,
  validate: (ds) => validateTemplate(ds.spec, 'daemonset'),
});
