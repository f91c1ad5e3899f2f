// Drill and DrillSchedule as custom resources, and who may do what with them.

export const GROUP = 'drills.tsukube.dev';
export const VERSION = 'v1alpha1';

export interface DrillSpec {
  /** Of `tsukube drill list`. */
  readonly drills: readonly string[];
  /** In place of each drill's own. */
  readonly objective?: string;
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean;
  /** Ends the drill that runs; everything is healed. */
  readonly abort?: boolean;
}

export type DrillPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Aborted';

export interface DrillStatus {
  readonly phase?: DrillPhase;
  /** Why it waits, in one word; null in a patch takes it back. */
  readonly reason?: string | null;
  readonly message?: string;
  readonly startTime?: string;
  readonly completionTime?: string;
  /** What a dry run would do. */
  readonly plan?: readonly string[];
  readonly results?: readonly {
    readonly drill: string;
    readonly outcome: string;
    readonly problems?: readonly string[];
    /** Milliseconds by measure; `failed` is a count. */
    readonly measures?: Readonly<Record<string, number>>;
  }[];
}

/** As everywhere in Kubernetes. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime?: string;
}

export interface DrillScheduleSpec {
  /** As a CronJob's, in UTC. */
  readonly schedule: string;
  readonly suspend?: boolean;
  readonly template: DrillSpec;
  /** So many that have ended are kept. Default 3. */
  readonly historyLimit?: number;
}

export interface DrillScheduleStatus {
  readonly lastScheduleTime?: string;
  readonly conditions?: readonly Condition[];
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

const DRILL_SPEC = {
  type: 'object',
  required: ['drills'],
  properties: {
    drills: { type: 'array', minItems: 1, maxItems: 100, items: { type: 'string', maxLength: 63 } },
    objective: { type: 'string', maxLength: 1_000 },
    dryRun: flag,
    abort: flag,
  },
} as const;

const DRILL_STATUS = {
  type: 'object',
  properties: {
    phase: { type: 'string', enum: ['Pending', 'Running', 'Succeeded', 'Failed', 'Aborted'] },
    reason: text,
    message: text,
    startTime: { type: 'string', format: 'date-time' },
    completionTime: { type: 'string', format: 'date-time' },
    plan: { type: 'array', items: text },
    results: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          drill: text,
          outcome: text,
          problems: { type: 'array', items: text },
          measures: { type: 'object', additionalProperties: { type: 'number' } },
        },
      },
    },
  },
} as const;

const column = (name: string, jsonPath: string, type = 'string') => ({ name, jsonPath, type });

function definition(
  kind: string,
  plural: string,
  of: { readonly properties: object; readonly columns: readonly object[] },
) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Cluster',
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List`, categories: ['drills'] },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', required: ['spec'], properties: of.properties } },
          subresources: { status: {} },
          additionalPrinterColumns: [...of.columns, column('Age', '.metadata.creationTimestamp', 'date')],
        },
      ],
    },
  };
}

const role = (name: string, verbs: readonly string[]) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name },
  rules: [{ apiGroups: [GROUP], resources: ['drills', 'drillschedules'], verbs }],
});

const SCHEDULE_SPEC = {
  type: 'object',
  required: ['schedule', 'template'],
  properties: {
    schedule: { type: 'string', minLength: 1, maxLength: 100 },
    suspend: flag,
    template: DRILL_SPEC,
    historyLimit: { type: 'integer', minimum: 0, maximum: 100 },
  },
} as const;

const SCHEDULE_STATUS = {
  type: 'object',
  properties: {
    lastScheduleTime: { type: 'string', format: 'date-time' },
    conditions: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
      items: {
        type: 'object',
        required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
        properties: {
          type: text,
          status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
          reason: text,
          message: text,
          observedGeneration: { type: 'integer', format: 'int64' },
          lastTransitionTime: { type: 'string', format: 'date-time' },
        },
      },
    },
  },
} as const;

/** Cluster-wide: whoever may create one may break the cluster, so no role for users of a namespace includes it. */
export const MANIFESTS: readonly {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}[] = [
  definition('Drill', 'drills', {
    properties: { spec: DRILL_SPEC, status: DRILL_STATUS },
    columns: [column('Drills', '.spec.drills'), column('Phase', '.status.phase'), column('Message', '.status.message')],
  }),
  definition('DrillSchedule', 'drillschedules', {
    properties: {
      spec: SCHEDULE_SPEC,
      status: SCHEDULE_STATUS,
    },
    columns: [
      column('Schedule', '.spec.schedule'),
      column('Suspend', '.spec.suspend', 'boolean'),
      column('Ready', '.status.conditions[?(@.type=="Ready")].status'),
      column('Last', '.status.lastScheduleTime', 'date'),
    ],
  }),
  role('tsukube:drill-runner', ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete']),
  role('tsukube:drill-viewer', ['get', 'list', 'watch']),
];
