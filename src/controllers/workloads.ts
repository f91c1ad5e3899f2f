import { cronJobController } from './cron-job.ts';
import { daemonSetController } from './daemon-set.ts';
import { deploymentController } from './deployment.ts';
import { disruptionController } from './disruption.ts';
import { endpointSliceController } from './endpoint-slice.ts';
import { endpointSliceMirroringController } from './endpoint-slice-mirroring.ts';
import { endpointsController } from './endpoints.ts';
import { jobController } from './job.ts';
import { replicaSetController, replicationController } from './replica-set.ts';
import { resourceQuotaController } from './resource-quota.ts';
import type { Controller } from './runtime.ts';
import { staleDisruptionController } from './stale-disruption.ts';
import { statefulSetController } from './stateful-set.ts';
import { ttlAfterFinishedController } from './ttl-after-finished.ts';

/** The controllers of workloads and services, made afresh for one run. */
export function workloadControllers(): readonly Controller[] {
  return [
    replicaSetController(),
    replicationController(),
    deploymentController(),
    daemonSetController(),
    statefulSetController(),
    jobController(),
    ttlAfterFinishedController(),
    cronJobController(),
    disruptionController(),
    staleDisruptionController(),
    resourceQuotaController(),
    endpointSliceController(),
    endpointsController(),
    endpointSliceMirroringController(),
  ];
}
