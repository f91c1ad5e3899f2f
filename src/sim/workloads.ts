// What the scenario's user asks of the cluster.
import type {
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  PodDisruptionBudget,
  PodTemplateSpec,
  Service,
  StatefulSet,
} from '../api/generated/types.ts';
import { APART_LABEL } from './safety.ts';

export const NAMESPACE = 'app';
export const SCRATCH = 'scratch';

function template(app: string, image: string, cpu: string): PodTemplateSpec {
  return {
    metadata: { labels: { app } },
    spec: {
      containers: [{ name: 'main', image, resources: { requests: { cpu, memory: '256Mi' } } }],
      terminationGracePeriodSeconds: 10,
    },
  };
}

const named = (name: string, namespace = NAMESPACE) => ({ name, namespace, labels: { app: name } });

export function deployment(name: string, replicas: number, image: string, namespace = NAMESPACE): Deployment {
  return {
    metadata: named(name, namespace),
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      template: template(name, image, '700m'),
    },
  };
}

export function service(name: string, headless = false): Service {
  return {
    metadata: named(name),
    spec: { selector: { app: name }, ports: [{ port: 80 }], ...(headless && { clusterIP: 'None' }) },
  };
}

export function budget(name: string, maxUnavailable: number | string): PodDisruptionBudget {
  return { metadata: named(name), spec: { maxUnavailable, selector: { matchLabels: { app: name } } } };
}

/** Its pods stay off each other's nodes. */
export function statefulSet(name: string, replicas: number): StatefulSet {
  const plain = template(name, 'db:1', '500m');
  return {
    metadata: named(name),
    spec: {
      serviceName: name,
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name, [APART_LABEL]: name } },
        spec: {
          ...plain.spec!,
          affinity: {
            podAntiAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: [
                { labelSelector: { matchLabels: { app: name } }, topologyKey: 'kubernetes.io/hostname' },
              ],
            },
          },
        },
      },
    },
  };
}

export function daemonSet(name: string): DaemonSet {
  return {
    metadata: named(name),
    spec: { selector: { matchLabels: { app: name } }, template: template(name, 'agent:1', '50m') },
  };
}

function work(app: string, seconds: number): PodTemplateSpec {
  const plain = template(app, 'work:1', '100m');
  const annotations = { 'simulated.tsukube.dev/run-seconds': String(seconds) };
  return { metadata: { labels: { app }, annotations }, spec: { ...plain.spec!, restartPolicy: 'Never' } };
}

export function job(name: string, completions: number): Job {
  return {
    metadata: named(name),
    spec: { completions, parallelism: 3, backoffLimit: 10, template: work(name, 15) },
  };
}

export function cronJob(name: string): CronJob {
  return {
    metadata: named(name),
    spec: {
      schedule: '* * * * *',
      successfulJobsHistoryLimit: 2,
      jobTemplate: { spec: { backoffLimit: 10, template: work(name, 5) } },
    },
  };
}
