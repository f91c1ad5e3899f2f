// All validation rules, by type.
import { ADMISSION_RULES } from './admission-kinds.ts';
import { API_RULES } from './api-kinds.ts';
import { CONTAINER_RULES } from './containers.ts';
import { CORE_RULES } from './core-kinds.ts';
import { JOB_RULES } from './jobs.ts';
import { POD_RULES } from './pods.ts';
import type { RuleTable } from './rules.ts';
import { SELECTOR_RULES } from './selectors.ts';
import { VOLUME_RULES } from './volumes.ts';
import { WORKLOAD_RULES } from './workload-kinds.ts';

/** Kinds whose strategies check everything themselves: what the table of types says of them is not looked at. */
const BY_STRATEGY = [
  'apiregistration.v1.APIServiceSpec',
  'certificates.v1.CertificateSigningRequestSpec',
  'core.v1.ServiceSpec',
  'rbac.v1.RoleRef',
  'rbac.v1.Subject',
];

export const RULES: RuleTable = {
  ...SELECTOR_RULES,
  ...CONTAINER_RULES,
  ...VOLUME_RULES,
  ...POD_RULES,
  ...CORE_RULES,
  ...WORKLOAD_RULES,
  ...JOB_RULES,
  ...API_RULES,
  ...ADMISSION_RULES,
};

/** True for a type that its kind's strategy checks alone. */
export function isCheckedByStrategy(type: string): boolean {
  return BY_STRATEGY.some((name) => type.endsWith(name));
}
