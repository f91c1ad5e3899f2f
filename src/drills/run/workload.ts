// What runs on the cluster during a drill: a service of three pods that keep apart, pods with names of their own, a budget.
import { WEB_IMAGE } from '../../cluster/web-image.ts';

export const NAMESPACE = 'drill';
/** By the label "app". */
export const REPLICAS = { web: 3, ordered: 2 } as const;
export type App = keyof typeof REPLICAS;
/** By their budgets. */
export const MIN_AVAILABLE: Readonly<Record<App, number>> = { web: 2, ordered: 1 };
export const SELECTOR = `app in (${Object.keys(REPLICAS).join(', ')})`;

const template = (app: App, more: object = {}) => ({
  metadata: { labels: { app } },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'web',
        image: WEB_IMAGE,
        imagePullPolicy: 'Never',
        readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 2 },
      },
    ],
    ...more,
  },
});

const spread = {
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'ScheduleAnyway',
      labelSelector: { matchLabels: { app: 'web' } },
    },
  ],
};

/** In this order; what is there already stays as it is. */
export const WORKLOAD: readonly { readonly path: string; readonly body: object }[] = [
  { path: '/api/v1/namespaces', body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } } },
  {
    path: `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`,
    body: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: { replicas: REPLICAS.web, selector: { matchLabels: { app: 'web' } }, template: template('web', spread) },
    },
  },
  {
    path: `/apis/apps/v1/namespaces/${NAMESPACE}/statefulsets`,
    body: {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'ordered' },
      spec: {
        replicas: REPLICAS.ordered,
        serviceName: 'ordered',
        selector: { matchLabels: { app: 'ordered' } },
        template: template('ordered'),
      },
    },
  },
  {
    path: `/api/v1/namespaces/${NAMESPACE}/services`,
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 80 }] },
    },
  },
  ...Object.entries(MIN_AVAILABLE).map(([app, minAvailable]) => ({
    path: `/apis/policy/v1/namespaces/${NAMESPACE}/poddisruptionbudgets`,
    body: {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: app },
      spec: { minAvailable, selector: { matchLabels: { app } } },
    },
  })),
];

export interface PodView {
  readonly name: string;
  readonly uid: string;
  readonly app: string;
  readonly node: string;
  readonly isReady: boolean;
  readonly isLeaving: boolean;
  /** By somebody who asked its budget; nodes that are lost ask none. */
  readonly isEvicted: boolean;
}

export function podView(pod: {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels?: { readonly [key: string]: string };
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName?: string };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
  };
}): PodView {
  const { metadata, spec, status } = pod;
  const is = (type: string) => status?.conditions?.find((one) => one.type === type && one.status === 'True');
  return {
    name: metadata.name,
    uid: metadata.uid,
    app: metadata.labels?.app ?? '',
    node: spec.nodeName ?? '',
    isReady: is('Ready') !== undefined,
    isLeaving: metadata.deletionTimestamp !== undefined,
    isEvicted: is('DisruptionTarget')?.reason === 'EvictionByEvictionAPI',
  };
}
