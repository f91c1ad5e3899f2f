// The conditions and derived values that rows of data/defaults.json name, each as a function of the object around the field.
import { aggregateContainerResources, isPodLevelResource, type ResourceList } from '../machinery/pods.ts';
import { formatTime } from '../machinery/time.ts';
import type { Container, Pod } from './generated/types.ts';

export type Members = { [key: string]: unknown };

/** Where in which object defaulting is. */
export interface DefaultContext {
  readonly root: Members;
  readonly rootType: string;
  /** Field names from the root down to the object, without indexes. */
  readonly fields: string[];
  readonly nowMs: number | undefined;
}

type Condition = (object: Members, context: DefaultContext) => boolean;

const POD = 'io.k8s.api.core.v1.Pod';
const CORE = 'io.k8s.api.core.v1';
const APPS = 'io.k8s.api.apps.v1';

const inContainersOfPod: Condition = (_object, { rootType, fields }) =>
  rootType === POD && (fields[1] === 'containers' || fields[1] === 'initContainers');

const isService: Condition = (_object, { rootType }) => rootType === `${CORE}.Service`;

/** Domain, path and a tag or digest, as the container tools' reference grammar has it. */
const IMAGE =
  /^(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]*[A-Z][A-Za-z0-9-]*)(?::\d+)?\/|[A-Za-z0-9-]+:\d+\/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(?::([\w][\w.-]{0,127}))?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,})?$/;

/** Whether an image may change under its name: tag latest, or neither tag nor digest. Not so for what is no reference. */
export function isLatestImage(image: unknown): boolean {
  const match = typeof image === 'string' ? IMAGE.exec(image) : null;
  if (!match) return false;
  const [, tag, digest] = match;
  return tag === 'latest' || (tag === undefined && digest === undefined);
}

const hasNo =
  (...names: string[]): Condition =>
  (object) =>
    names.every((name) => isAbsent(object[name]));

const typeIs =
  (...types: string[]): Condition =>
  (object) =>
    types.includes(object.type as string);

function isAbsent(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** Nothing is asked: the row's own step sets only what is absent. */
const always: Condition = () => true;

/** By the text of the row's condition. Rows are applied in order, after the defaults of the rows before them. */
export const CONDITIONS: { readonly [text: string]: Condition | undefined } = {
  absent: always,
  empty: always,
  otherwise: always,
  'name set': (object) => !isAbsent((object.metadata as Members | undefined)?.name),
  'kind Pod only, not templates': (_object, { rootType }) => rootType === POD,
  'containers of kind Pod': inContainersOfPod,
  'PodSpec.hostNetwork true': (object, context) =>
    inContainersOfPod(object, context) && (context.root.spec as Members).hostNetwork === true,
  'image tag is latest or absent and no digest': (object) => isLatestImage(object.image),
  'reference tag is latest or absent and no digest': (object) => isLatestImage(object.reference),
  'no volume source set': (object) => Object.keys(object).every((key) => key === 'name' || object[key] === undefined),
  'Service with ingress ip set': (object, context) =>
    isService(object, context) && (context.root.spec as Members).type === 'LoadBalancer' && !isAbsent(object.ip),
  'absent and capacity set': hasNo('allocatable'),
  'absent and no egress': hasNo('policyTypes', 'egress'),
  'absent and egress set': (object) => isAbsent(object.policyTypes) && !isAbsent(object.egress),
  'allocationMode ExactCount': (object) => object.allocationMode === 'ExactCount',
  'backoffLimitPerIndex absent': (object) => object.backoffLimitPerIndex === undefined,
  'backoffLimitPerIndex set': (object) => object.backoffLimitPerIndex !== undefined,
  'podFailurePolicy absent': (object) => object.podFailurePolicy === undefined,
  'podFailurePolicy set': (object) => object.podFailurePolicy !== undefined,
  'completions and parallelism both absent': (object) =>
    object.completions === undefined && object.parallelism === undefined,
  'behavior set; absent sub-fields filled': always,
  'kind User or Group': (object) => object.kind === 'User' || object.kind === 'Group',
  'kind ServiceAccount': (object) => object.kind === 'ServiceAccount',
  'sessionAffinity None (removed)': (object) => object.sessionAffinity === 'None',
  'type Container': typeIs('Container'),
  'type LoadBalancer': typeIs('LoadBalancer'),
  'type ClusterIP, NodePort or LoadBalancer': typeIs('ClusterIP', 'NodePort', 'LoadBalancer'),
  'type NodePort or LoadBalancer, or externalIPs set with type ClusterIP': (object) =>
    object.type === 'NodePort' ||
    object.type === 'LoadBalancer' ||
    (object.type === 'ClusterIP' && !isAbsent(object.externalIPs)),
  // The parent is created by CREATED_PARENTS, or the row does not apply.
  'parent is created': always,
  'sessionAffinity ClientIP; parent is created': always,
  'type RollingUpdate; parent is created': (_object, context) => updateStrategyType(context) === 'RollingUpdate',
  'type RollingUpdate; parent is created when type was absent': (_object, context) =>
    updateStrategyType(context) === 'RollingUpdate',
};

function updateStrategyType({ root, fields }: DefaultContext): unknown {
  let object: Members = root;
  for (const field of fields.slice(0, -1)) object = (object[field] ?? {}) as Members;
  return object.type;
}

type Step = (object: Members, context: DefaultContext) => void;

/** Sets a field of the object, when absent, to another one of its members. */
const fromMember =
  (from: string) =>
  (name: string): Step =>
  (object) => {
    if (isAbsent(object[name]) || object[name] === 0) {
      if (!isAbsent(object[from])) object[name] = structuredClone(object[from]);
    }
  };

/** Adds to a map of resources those of other maps that it lacks. */
const resourcesFrom =
  (...from: string[]) =>
  (name: string): Step =>
  (object) => {
    const own = (object[name] ?? {}) as Members;
    let target = own;
    for (const other of from) {
      for (const [resource, quantity] of Object.entries((object[other] ?? {}) as Members)) {
        if (target[resource] !== undefined) continue;
        if (target === own) target = { ...own };
        target[resource] = quantity;
      }
    }
    if (target !== own) object[name] = target;
  };

/** Sets a path of members ("metadata.labels["key"]") from the object. */
const templateLabels =
  (path: string): Step =>
  (object) => {
    const spec = path === 'selector' ? object : (object.spec as Members | undefined);
    const template = spec?.template as { metadata?: { labels?: Members } } | undefined;
    const labels = template?.metadata?.labels;
    if (isAbsent(labels)) return;
    const target = path === 'selector' ? object : (object.metadata as Members);
    const name = path === 'selector' ? 'selector' : 'labels';
    if (isAbsent(target[name])) target[name] = { ...labels };
  };

/** By the text of the row's value. Each makes the step for a field name. */
export const DERIVED: { readonly [text: string]: ((name: string) => Step) | undefined } = {
  '=containerPort': fromMember('containerPort'),
  '=port': fromMember('port'),
  '=capacity': fromMember('capacity'),
  '=limits for each resource absent from requests': resourcesFrom('limits'),
  '=max for absent resources': resourcesFrom('max'),
  '=default, else min, for absent resources': resourcesFrom('default', 'min'),
  '=template labels': templateLabels,
  '=lowercase kind': (name) => (object) => {
    if (isAbsent(object[name]) && typeof object.kind === 'string') object[name] = object.kind.toLowerCase();
  },
  '=kind + "List"': (name) => (object) => {
    if (isAbsent(object[name]) && !isAbsent(object.kind)) object[name] = `${object.kind}List`;
  },
  '=metadata.name': () => (object) => {
    const metadata = object.metadata as Members;
    const labels = (metadata.labels ?? {}) as Members;
    const key = 'kubernetes.io/metadata.name';
    if (labels[key] !== metadata.name) metadata.labels = { ...labels, [key]: metadata.name };
  },
  '=now truncated to seconds': (name) => (object, context) => {
    if (object[name] === undefined && context.nowMs !== undefined) object[name] = formatTime(context.nowMs);
  },
};

/** Rows whose value is a struct: the members that are given stay, the others are filled in. */
export const FILLED_MEMBERS = new Set([
  'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior scaleUp',
  'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior scaleDown',
]);

const create =
  (name: string, when: Condition): Step =>
  (object, context) => {
    if (object[name] === undefined && when(object, context)) object[name] = {};
  };

const typeAbsentOr =
  (type: string): Condition =>
  (object) =>
    isAbsent(object.type) || object.type === type;

/** Parents that rows need and that are made for them, by the type that holds the parent. They come before the type's rows. */
export const CREATED_PARENTS: { readonly [type: string]: readonly Step[] | undefined } = {
  [`${APPS}.DeploymentStrategy`]: [create('rollingUpdate', typeAbsentOr('RollingUpdate'))],
  [`${APPS}.DaemonSetUpdateStrategy`]: [create('rollingUpdate', typeAbsentOr('RollingUpdate'))],
  [`${APPS}.StatefulSetUpdateStrategy`]: [create('rollingUpdate', hasNo('type'))],
  [`${APPS}.StatefulSetSpec`]: [create('persistentVolumeClaimRetentionPolicy', always)],
  [`${CORE}.ServiceSpec`]: [
    (object) => {
      if (object.sessionAffinity !== 'ClientIP') return;
      const config = object.sessionAffinityConfig as Members | undefined;
      if (!config?.clientIP) object.sessionAffinityConfig = { clientIP: {} };
    },
  ],
};

/** Types whose rows count only in objects of one type: inside others nobody sets them. */
export const ROOT_ONLY: { readonly [type: string]: string | undefined } = {
  'io.k8s.api.batch.v1.JobSpec': 'io.k8s.api.batch.v1.Job',
  [`${CORE}.PersistentVolumeSpec`]: `${CORE}.PersistentVolume`,
};

/** Types that share another type's rows. */
export const SAME_DEFAULTS: { readonly [type: string]: string | undefined } = {
  [`${CORE}.EphemeralContainerCommon`]: `${CORE}.Container`,
};

/** What is done to an object of a type as a whole, before its rows. */
export const ROOT_STEPS: { readonly [type: string]: ((object: Members) => void) | undefined } = {
  [POD]: podLevelResources,
};

/**
 * Resources given for the pod as a whole (KEP-2837): huge page limits come from the containers; requests from what the
 * containers request, else from the limits; limits from the containers' when each of them has one.
 */
function podLevelResources(object: Members): void {
  const pod = object as unknown as Pod;
  const own = pod.spec?.resources as { requests?: Members; limits?: Members } | undefined;
  if (!own || (isAbsent(own.requests) && isAbsent(own.limits))) return;
  const requested = withContainerDefaults(pod);
  const hugeLimits = { ...own.limits };
  for (const [resource, limit] of Object.entries(aggregateContainerResources(pod, 'limits'))) {
    if (resource.startsWith('hugepages-') && own.requests?.[resource] === undefined) hugeLimits[resource] ??= limit;
  }
  if (!isAbsent(hugeLimits)) own.limits = hugeLimits;
  if (!isAbsent(own.limits)) own.requests = podRequests(own, requested);
  else podLimits(pod, own);
}

/** Containers' requests as they will be, with those that default to limits. */
function withContainerDefaults(pod: Pod): ResourceList {
  const filled = (list: readonly Container[] | undefined): Container[] =>
    (list ?? []).map((c) => ({
      ...c,
      resources: { ...c.resources, requests: { ...c.resources?.limits, ...c.resources?.requests } },
    }));
  const { containers, initContainers } = pod.spec!;
  const spec = { ...pod.spec!, containers: filled(containers), initContainers: filled(initContainers) };
  return aggregateContainerResources({ ...pod, spec }, 'requests');
}

function podRequests(own: { requests?: Members; limits?: Members }, requested: ResourceList): Members | undefined {
  const requests = { ...own.requests };
  for (const [resource, quantity] of Object.entries(requested)) {
    if (resource === 'cpu' || resource === 'memory') requests[resource] ??= quantity;
  }
  for (const [resource, limit] of Object.entries(own.limits ?? {})) {
    if (isPodLevelResource(resource)) requests[resource] ??= limit;
  }
  return isAbsent(requests) ? own.requests : requests;
}

function podLimits(pod: Pod, own: { requests?: Members; limits?: Members }): void {
  if (!Object.keys(own.requests ?? {}).some(isPodLevelResource)) return;
  const limits: Members = {};
  const containers = [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])];
  for (const [resource, limit] of Object.entries(aggregateContainerResources(pod, 'limits'))) {
    const overcommittable = resource === 'cpu' || resource === 'memory';
    if (overcommittable && containers.every((c) => c.resources?.limits?.[resource] !== undefined))
      limits[resource] = limit;
  }
  if (!isAbsent(limits)) own.limits = limits;
}
