// RBAC, disruption budgets, leases, networking, storage, scheduling, certificates and API extension kinds.
import type {
  CertificateSigningRequest,
  ClusterRole,
  ClusterRoleBinding,
  ControllerRevision,
  EndpointSlice,
  Ingress,
  Lease,
  NetworkPolicy,
  PodDisruptionBudget,
  PriorityClass,
  Role,
  RoleBinding,
  RuntimeClass,
  StorageClass,
} from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { FieldError } from '../../machinery/status.ts';
import { sameMeaning } from './equality.ts';
import { FIELD_IMMUTABLE, forbiddenField, invalidValue, notSupported, required } from './field-errors.ts';
import { pathSegment } from './name-rules.ts';
import { defineStrategy } from './strategy.ts';

type Rules = NonNullable<Role['rules']>;

function validateRules(rules: Rules | undefined | null, namespaced: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, rule] of (rules ?? []).entries()) {
    const at = `rules[${i}]`;
    if ((rule.verbs ?? []).length === 0) errors.push(required(`${at}.verbs`, 'verbs must contain at least one value'));
    const urls = rule.nonResourceURLs ?? [];
    if (urls.length > 0) {
      if (namespaced) {
        const text = 'namespaced rules cannot apply to non-resource URLs';
        errors.push(invalidValue(`${at}.nonResourceURLs`, urls, text));
      }
      const both =
        (rule.apiGroups ?? []).length + (rule.resources ?? []).length + (rule.resourceNames ?? []).length > 0;
      if (both) {
        const text = 'rules cannot apply to both regular resources and non-resource URLs';
        errors.push(invalidValue(`${at}.nonResourceURLs`, urls, text));
      }
      continue;
    }
    if ((rule.apiGroups ?? []).length === 0) {
      errors.push(required(`${at}.apiGroups`, 'resource rules must supply at least one api group'));
    }
    if ((rule.resources ?? []).length === 0) {
      errors.push(required(`${at}.resources`, 'resource rules must supply at least one resource'));
    }
  }
  return errors;
}

export const roleStrategy = defineStrategy<Role>({
  nameRule: pathSegment,
  allowCreateOnUpdate: true,
  validate: (role) => validateRules(role.rules, true),
});

export const clusterRoleStrategy = defineStrategy<ClusterRole>({
  nameRule: pathSegment,
  allowCreateOnUpdate: true,
  validate: (role) => validateRules(role.rules, false),
});

const RBAC = 'rbac.authorization.k8s.io';
const ROLE_KINDS = { true: ['ClusterRole', 'Role'], false: ['ClusterRole'] };

function validateBinding(binding: RoleBinding | ClusterRoleBinding, namespaced: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const { roleRef } = binding;
  if (roleRef.apiGroup !== RBAC) errors.push(notSupported('roleRef.apiGroup', roleRef.apiGroup, [RBAC]));
  const kinds = ROLE_KINDS[String(namespaced) as 'true'];
  if (!kinds.includes(roleRef.kind)) errors.push(notSupported('roleRef.kind', roleRef.kind, kinds));
  if (!roleRef.name) errors.push(required('roleRef.name'));
  for (const [i, subject] of (binding.subjects ?? []).entries()) {
    const at = `subjects[${i}]`;
    if (!subject.name) errors.push(required(`${at}.name`));
    if (subject.kind === 'ServiceAccount') {
      if (subject.apiGroup) errors.push(notSupported(`${at}.apiGroup`, subject.apiGroup, ['']));
      if (!namespaced && !subject.namespace) errors.push(required(`${at}.namespace`));
    } else if (subject.kind === 'User' || subject.kind === 'Group') {
      if (subject.apiGroup !== RBAC) errors.push(notSupported(`${at}.apiGroup`, subject.apiGroup ?? '', [RBAC]));
    } else {
      errors.push(notSupported(`${at}.kind`, subject.kind, ['Group', 'ServiceAccount', 'User']));
    }
  }
  return errors;
}

function roleRefImmutable(now: RoleBinding['roleRef'], old: RoleBinding['roleRef']): FieldError[] {
  return sameMeaning(now, old) ? [] : [invalidValue('roleRef', now, 'cannot change roleRef')];
}

export const roleBindingStrategy = defineStrategy<RoleBinding>({
  nameRule: pathSegment,
  allowCreateOnUpdate: true,
  validate: (b) => validateBinding(b, true),
  validateUpdate: (b, old) => [...validateBinding(b, true), ...roleRefImmutable(b.roleRef, old.roleRef)],
});

export const clusterRoleBindingStrategy = defineStrategy<ClusterRoleBinding>({
  nameRule: pathSegment,
  allowCreateOnUpdate: true,
  validate: (b) => validateBinding(b, false),
  validateUpdate: (b, old) => [...validateBinding(b, false), ...roleRefImmutable(b.roleRef, old.roleRef)],
});

export const leaseStrategy = defineStrategy<Lease>({
  allowCreateOnUpdate: true,
  unconditionalUpdate: false,
});

export const podDisruptionBudgetStrategy = defineStrategy<PodDisruptionBudget>({
  countsGenerations: true,
  unconditionalUpdate: false,
});

export const endpointSliceStrategy = defineStrategy<EndpointSlice>({ countsGenerations: true });
export const ingressStrategy = defineStrategy<Ingress>({ countsGenerations: true });
export const networkPolicyStrategy = defineStrategy<NetworkPolicy>({ countsGenerations: true });

/** Priorities above this are the system's. */
export const HIGHEST_USER_PRIORITY = 1_000_000_000;
const SYSTEM_CLASSES: { readonly [name: string]: number } = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

export const priorityClassStrategy = defineStrategy<PriorityClass>({
  countsGenerations: true,
  validate(pc) {
    const known = SYSTEM_CLASSES[pc.metadata.name];
    if (pc.metadata.name.startsWith('system-')) {
      if (known === pc.value) return [];
      return [
        forbiddenField(
          'metadata.name',
          `priority class names with 'system-' prefix are reserved for system use only. error: ${pc.metadata.name} is not a known system priority class`,
        ),
      ];
    }
    if ((pc.value ?? 0) <= HIGHEST_USER_PRIORITY) return [];
    return [forbiddenField('value', `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`)];
  },
  validateUpdate(pc, old) {
    const errors: FieldError[] = [];
    if (pc.value !== old.value) errors.push(forbiddenField('value', 'may not be changed in an update.'));
    if (pc.preemptionPolicy !== old.preemptionPolicy) {
      errors.push(invalidValue('preemptionPolicy', pc.preemptionPolicy, FIELD_IMMUTABLE));
    }
    return errors;
  },
});

export const storageClassStrategy = defineStrategy<StorageClass>({
  validateUpdate(sc, old) {
    const errors: FieldError[] = [];
    const text = 'updates to parameters are forbidden.';
    if (!sameMeaning(sc.parameters, old.parameters)) errors.push(forbiddenField('parameters', text));
    if (sc.provisioner !== old.provisioner)
      errors.push(forbiddenField('provisioner', 'updates to provisioner are forbidden.'));
    for (const field of ['reclaimPolicy', 'volumeBindingMode'] as const) {
      if (sc[field] !== old[field]) errors.push(invalidValue(field, sc[field], FIELD_IMMUTABLE));
    }
    return errors;
  },
});

export const runtimeClassStrategy = defineStrategy<RuntimeClass>({ unconditionalUpdate: false });

export const controllerRevisionStrategy = defineStrategy<ControllerRevision>({});

export const certificateSigningRequestStrategy = defineStrategy<CertificateSigningRequest>({
  nameRule: pathSegment,
  selectable: { 'spec.signerName': (csr) => csr.spec.signerName },
  resetFields: { '': ['status'], status: ['spec', 'status.conditions'], approval: ['spec', 'status.certificate'] },
  prepareForCreate(csr, scope) {
    // Who asks is what the server authenticated, never what the body says.
    csr.spec.username = scope.user.username;
    csr.spec.groups = [...scope.user.groups];
    if (scope.user.uid !== undefined) csr.spec.uid = scope.user.uid;
    else delete csr.spec.uid;
    csr.spec.extra = structuredClone(scope.user.extra ?? {}) as Draft<CertificateSigningRequest>['spec']['extra'];
    csr.status = {};
  },
  prepareForUpdate(csr, old) {
    csr.spec = structuredClone(old.spec) as Draft<CertificateSigningRequest>['spec'];
    csr.status = structuredClone(old.status) as Draft<CertificateSigningRequest>['status'];
  },
  validate(csr) {
    const errors: FieldError[] = [];
    if (!csr.spec.request) errors.push(required('spec.request'));
    if (!csr.spec.signerName) errors.push(required('spec.signerName'));
    if ((csr.spec.usages ?? []).length === 0) errors.push(required('spec.usages'));
    return errors;
  },
  endpoints: {
    status: {
      prepareForUpdate(csr, old) {
        csr.spec = structuredClone(old.spec) as Draft<CertificateSigningRequest>['spec'];
        // Approval has its own endpoint: here its conditions stay as they are.
        const decided = (c: { type: string }): boolean => c.type === 'Approved' || c.type === 'Denied';
        const kept = (old.status?.conditions ?? []).filter(decided);
        const sent = (csr.status?.conditions ?? []).filter((c) => !decided(c));
        csr.status = {
          ...csr.status,
          conditions: [...structuredClone(kept), ...sent],
        } as Draft<CertificateSigningRequest>['status'];
        stampConditions(csr, scopeNow(old, csr));
      },
    },
    approval: {
      prepareForUpdate(csr, old, scope) {
        const conditions = csr.status?.conditions;
        csr.spec = structuredClone(old.spec) as Draft<CertificateSigningRequest>['spec'];
        csr.status = { ...(structuredClone(old.status) as Draft<CertificateSigningRequest>['status']), conditions };
        stampConditions(csr, scope.now);
      },
      validateUpdate(csr) {
        const types = (csr.status?.conditions ?? []).map((c) => c.type);
        if (!types.includes('Approved') || !types.includes('Denied')) return [];
        return [invalidValue('status.conditions', 'Denied', 'Approved and Denied conditions are mutually exclusive')];
      },
    },
  },
});

function stampConditions(csr: Draft<CertificateSigningRequest>, now: string): void {
  for (const condition of csr.status?.conditions ?? []) {
    condition.lastUpdateTime ??= now;
    condition.lastTransitionTime ??= now;
  }
}

/** A status update's conditions that carry no time get the object's own latest one. */
function scopeNow(old: CertificateSigningRequest, csr: Draft<CertificateSigningRequest>): string {
  return csr.status?.conditions?.find((c) => c.lastUpdateTime)?.lastUpdateTime ?? old.metadata.creationTimestamp ?? '';
}

/** Kinds of which only the generation and the update rule are special. */
export const countingStrategy = defineStrategy<KubeObject>({ countsGenerations: true });
export const conditionalStrategy = defineStrategy<KubeObject>({ unconditionalUpdate: false });
export const countingConditionalStrategy = defineStrategy<KubeObject>({
  countsGenerations: true,
  unconditionalUpdate: false,
});
