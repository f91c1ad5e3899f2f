// The plugins that are on by default, in upstream's order.
import { defaultIngressClass, defaultStorageClass, taintNodesByCondition } from './cluster-defaults.ts';
import { limitRangerBounds, limitRangerClaims, limitRangerDefaults, limitRangerResize } from './limit-ranger.ts';
import { namespaceLifecycle, namespaceProtection } from './namespace-lifecycle.ts';
import { nodeRestriction } from './node-restriction.ts';
import type { AdmissionPlugin } from './plugin.ts';
import {
  defaultTolerationSeconds,
  oneDefaultPriority,
  priority,
  runtimeClass,
  type TolerationSeconds,
} from './pod-defaults.ts';
import { mutatingPolicies } from './policies/mutating.ts';
import { validatingPolicies } from './policies/validating.ts';
import { bindingEscalation, roleEscalation } from './rbac-escalation.ts';
import { resourceQuota, resourceQuotaResize } from './resource-quota.ts';
import { serviceAccount } from './service-account.ts';
import { mutatingWebhooks } from './webhooks/mutating.ts';
import { validatingWebhooks } from './webhooks/validating.ts';

export const defaultAdmission = (seconds: TolerationSeconds): readonly AdmissionPlugin[] => [
  namespaceLifecycle,
  namespaceProtection,
  limitRangerDefaults,
  limitRangerBounds,
  limitRangerResize,
  limitRangerClaims,
  serviceAccount,
  ...nodeRestriction,
  taintNodesByCondition,
  priority,
  oneDefaultPriority,
  defaultTolerationSeconds(seconds),
  defaultStorageClass,
  runtimeClass,
  defaultIngressClass,
  mutatingPolicies,
  mutatingWebhooks,
  roleEscalation,
  bindingEscalation,
  validatingPolicies,
  validatingWebhooks,
  // Last: what is counted is what will be stored.
  resourceQuota,
  resourceQuotaResize,
];
