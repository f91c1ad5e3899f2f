// Validation of a pod spec, for pods and for the templates of workloads.
import type { Container, PodSpec, PodTemplateSpec, Toleration } from '../../api/generated/types.ts';
import type { FieldError } from '../../machinery/status.ts';
import { validateContainers, validateEnum, validateVolumes } from './containers.ts';
import { eachInvalid, forbiddenField, invalidValue, nonNegative, notSupported, required } from './field-errors.ts';
import { dnsLabel, dnsSubdomain, labelValue, qualifiedName } from './name-rules.ts';
import { validateAnnotations, validateLabels } from './object-meta.ts';

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];
const EFFECTS = ['NoExecute', 'NoSchedule', 'PreferNoSchedule'];
const MAX_INT32 = 2147483647;

/** `claims`: volumes that the workload adds to its pods (claim templates of a StatefulSet). */
export function validatePodSpec(spec: PodSpec, path: string, claims: readonly string[] = []): FieldError[] {
  const errors = validateVolumes(spec.volumes, `${path}.volumes`);
  const scope = {
    volumes: new Set([...claims, ...(spec.volumes ?? []).map((v) => v.name)]),
    names: new Set<string>(),
    hostNetwork: spec.hostNetwork === true,
  };
  if (!spec.containers || spec.containers.length === 0) errors.push(required(`${path}.containers`));
  errors.push(...validateContainers(spec.containers ?? [], `${path}.containers`, scope));
  errors.push(...validateContainers(spec.initContainers ?? [], `${path}.initContainers`, scope));
  errors.push(...validateInitContainers(spec.initContainers ?? [], `${path}.initContainers`));
  errors.push(
    ...validateContainers(
      (spec.ephemeralContainers ?? []) as readonly Container[],
      `${path}.ephemeralContainers`,
      scope,
    ),
  );
  errors.push(...validateEnum(`${path}.restartPolicy`, spec.restartPolicy, RESTART_POLICIES));
  errors.push(...validateEnum(`${path}.dnsPolicy`, spec.dnsPolicy, DNS_POLICIES));
  if (spec.dnsPolicy === 'None' && (spec.dnsConfig?.nameservers ?? []).length === 0) {
    errors.push(
      required(`${path}.dnsConfig.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'),
    );
  }
  errors.push(...validateScalars(spec, path));
  errors.push(...validateNames(spec, path));
  errors.push(...validateTolerations(spec.tolerations, `${path}.tolerations`));
  errors.push(...validateSpread(spec, `${path}.topologySpreadConstraints`));
  for (const [i, gate] of (spec.schedulingGates ?? []).entries()) {
    errors.push(...eachInvalid(`${path}.schedulingGates[${i}]`, gate.name, qualifiedName(gate.name)));
  }
  return errors;
}

function validateInitContainers(containers: readonly Container[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, container] of containers.entries()) {
    const sidecar = container.restartPolicy === 'Always';
    if (container.restartPolicy && !['Always', 'Never', 'OnFailure'].includes(container.restartPolicy)) {
      const supported = ['Always', 'Never', 'OnFailure'];
      errors.push(notSupported(`${path}[${i}].restartPolicy`, container.restartPolicy, supported));
    }
    if (sidecar) continue;
    for (const field of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
      if (!container[field]) continue;
      const text = 'may not be set for init containers without restartPolicy=Always';
      errors.push(forbiddenField(`${path}[${i}].${field}`, text));
    }
  }
  return errors;
}

function validateScalars(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > MAX_INT32)) {
    const text = `must be between 1 and ${MAX_INT32}, inclusive`;
    errors.push(invalidValue(`${path}.activeDeadlineSeconds`, deadline, text));
  }
  errors.push(...nonNegative(`${path}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds));
  if (spec.shareProcessNamespace && spec.hostPID) {
    errors.push(
      invalidValue(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'),
    );
  }
  if (spec.preemptionPolicy && !['PreemptLowerPriority', 'Never'].includes(spec.preemptionPolicy)) {
    errors.push(notSupported(`${path}.preemptionPolicy`, spec.preemptionPolicy, ['PreemptLowerPriority', 'Never']));
  }
  return errors;
}

function validateNames(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const subdomains = ['nodeName', 'serviceAccountName', 'priorityClassName', 'runtimeClassName'] as const;
  for (const field of subdomains) {
    const value = spec[field];
    if (value) errors.push(...eachInvalid(`${path}.${field}`, value, dnsSubdomain(value)));
  }
  for (const field of ['hostname', 'subdomain'] as const) {
    const value = spec[field];
    if (value) errors.push(...eachInvalid(`${path}.${field}`, value, dnsLabel(value)));
  }
  errors.push(...validateLabels(spec.nodeSelector, `${path}.nodeSelector`));
  for (const [i, secret] of (spec.imagePullSecrets ?? []).entries()) {
    if (!secret.name) errors.push(required(`${path}.imagePullSecrets[${i}].name`));
  }
  return errors;
}

export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, t] of (tolerations ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (t.key) errors.push(...eachInvalid(`${at}.key`, t.key, qualifiedName(t.key)));
    if (!t.key && t.operator !== 'Exists') {
      const text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      errors.push(invalidValue(`${at}.operator`, t.operator ?? '', text));
    }
    if (t.tolerationSeconds !== undefined && t.effect !== 'NoExecute') {
      errors.push(
        invalidValue(`${at}.effect`, t.effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"),
      );
    }
    if ((t.operator ?? 'Equal') === 'Equal' && t.value) {
      errors.push(...eachInvalid(`${at}.operator`, t.value, labelValue(t.value)));
    }
    if (t.operator === 'Exists' && t.value) {
      errors.push(invalidValue(`${at}.operator`, t, "value must be empty when `operator` is 'Exists'"));
    }
    if (t.operator && !['Equal', 'Exists', 'Lt', 'Gt'].includes(t.operator)) {
      errors.push(notSupported(`${at}.operator`, t.operator, ['Equal', 'Exists']));
    }
    if (t.effect && !EFFECTS.includes(t.effect)) errors.push(notSupported(`${at}.effect`, t.effect, EFFECTS));
  }
  return errors;
}

function validateSpread(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const actions = ['DoNotSchedule', 'ScheduleAnyway'];
  for (const [i, c] of (spec.topologySpreadConstraints ?? []).entries()) {
    if (!(c.maxSkew > 0)) errors.push(invalidValue(`${path}[${i}].maxSkew`, c.maxSkew, 'must be greater than zero'));
    if (!c.topologyKey) errors.push(required(`${path}[${i}].topologyKey`, 'can not be empty'));
    if (!actions.includes(c.whenUnsatisfiable)) {
      errors.push(notSupported(`${path}[${i}].whenUnsatisfiable`, c.whenUnsatisfiable, actions));
    }
  }
  return errors;
}

/** Findings for a workload's template; `restartPolicies` are those that the workload allows. */
export function validatePodTemplate(
  template: PodTemplateSpec | undefined,
  path: string,
  restartPolicies: readonly string[],
  claims: readonly string[] = [],
): FieldError[] {
  if (!template) return [required(path)];
  const errors = validateLabels(template.metadata?.labels, `${path}.metadata.labels`);
  errors.push(...validateAnnotations(template.metadata?.annotations, `${path}.metadata.annotations`));
  if (!template.spec) return [...errors, required(`${path}.spec.containers`)];
  errors.push(...validatePodSpec(template.spec, `${path}.spec`, claims));
  if ((template.spec.ephemeralContainers ?? []).length > 0) {
    errors.push(forbiddenField(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'));
  }
  const policy = template.spec.restartPolicy;
  if (policy && RESTART_POLICIES.includes(policy) && !restartPolicies.includes(policy)) {
    errors.push(notSupported(`${path}.spec.restartPolicy`, policy, restartPolicies));
  }
  return errors;
}
