// Webhook configurations, admission policies, flow control, access rules, and devices.
import type {
  FlowSchema,
  LimitResponse,
  MatchResources,
  MutatingAdmissionPolicySpec,
  Mutation,
  ParamKind,
  PriorityLevelConfiguration,
  QueuingConfiguration,
  ResourcePolicyRule,
  RuleWithOperations,
  Subject,
  ValidatingAdmissionPolicySpec,
  ValidatingWebhook,
  WebhookClientConfig,
} from '../../../api/generated/types.ts';
import { sameMeaning } from '../equality.ts';
import { FORMATS } from './formats.ts';
import type { FieldRule, RuleTable, TypeRules } from './rules.ts';
import type { Run } from './run.ts';

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const FAILURES: FieldRule = { oneOf: ['Fail', 'Ignore'] };
const MATCHES: FieldRule = { oneOf: ['Equivalent', 'Exact'] };
const SIDE_EFFECTS = ['None', 'NoneOnDryRun'];
const REVIEW_VERSIONS = ['v1', 'v1beta1'];

const alone = (list: readonly string[], what: string, at: string, run: Run): void => {
  if (list.length > 1 && list.includes('*')) run.invalid(at, list, `if '*' is present, must not specify other ${what}`);
};

function checkRule(rule: RuleWithOperations, run: Run): void {
  alone(rule.operations ?? [], 'operations', 'operations', run);
  alone(rule.apiGroups ?? [], 'API groups', 'apiGroups', run);
  alone(rule.apiVersions ?? [], 'API versions', 'apiVersions', run);
  checkRuleResources(rule.resources ?? [], run);
}

/** Wildcards leave no room for what they cover. */
function checkRuleResources(resources: readonly string[], run: Run): void {
  const wholes = new Set<string>();
  const subresources = new Set<string>();
  for (const [i, resource] of resources.entries()) {
    const slash = resource.indexOf('/');
    if (slash < 0) continue;
    const [name, sub] = [resource.slice(0, slash), resource.slice(slash + 1)];
    const at = `resources[${i}]`;
    if (wholes.has(name)) run.invalid(at, resource, `if '${name}/*' is present, must not specify ${resource}`);
    if (subresources.has(sub)) run.invalid(at, resource, `if '*/${sub}' is present, must not specify ${resource}`);
    if (sub === '*') wholes.add(name);
    if (name === '*') subresources.add(sub);
  }
  if (resources.length > 1 && resources.includes('*/*')) {
    run.invalid('resources', resources, "if '*/*' is present, must not specify other resources");
  }
  if (resources.includes('*') && resources.some((r) => r !== '*' && !r.includes('/'))) {
    const text = "if '*' is present, must not specify other resources without subresources";
    run.invalid('resources', resources, text);
  }
}

function checkWebhook(hook: ValidatingWebhook, run: Run): void {
  const versions = hook.admissionReviewVersions ?? [];
  if (versions.length === 0)
    run.required('admissionReviewVersions', `must specify one of ${REVIEW_VERSIONS.join(', ')}`);
  else {
    for (const [i, version] of versions.entries()) {
      if (versions.indexOf(version) < i) run.invalid(`admissionReviewVersions[${i}]`, version, 'duplicate version');
      else run.invalidEach(`admissionReviewVersions[${i}]`, version, FORMATS.dns1035Label(version));
    }
    if (!versions.some((v) => REVIEW_VERSIONS.includes(v))) {
      run.invalid('admissionReviewVersions', versions, `must include at least one of ${REVIEW_VERSIONS.join(', ')}`);
    }
  }
}

function checkClient(client: WebhookClientConfig, run: Run): void {
  const { url, service } = client;
  if ((url === undefined) === (service === undefined)) {
    run.required('', 'exactly one of url or service is required');
    return;
  }
  if (url !== undefined) checkUrl(url, run);
}

const URL_FORM = '; desired format: https://host[/path]';

function checkUrl(url: string, run: Run): void {
  const parts = /^(?:([^:/?#]+):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(url) ?? [];
  const [, scheme = '', authority = '', , query = '', fragment = ''] = parts;
  if (scheme !== 'https') run.invalid('url', scheme, `'https' is the only allowed URL scheme${URL_FORM}`);
  const at = authority.lastIndexOf('@');
  if (authority.slice(at + 1) === '') run.invalid('url', '', `host must be specified${URL_FORM}`);
  if (at >= 0) run.invalid('url', authority.slice(0, at), 'user information is not permitted in the URL');
  if (fragment) run.invalid('url', fragment, 'fragments are not permitted in the URL');
  if (query) run.invalid('url', query, 'query parameters are not permitted in the URL');
}

function checkService({ path }: { path?: string }, run: Run): void {
  if (path === undefined || path === '' || path === '/') return;
  if (!path.startsWith('/')) run.invalid('path', path, "must start with a '/'");
  const steps = path.replace(/^\//, '').split('/');
  for (const [i, step] of steps.entries()) {
    const last = i === steps.length - 1 && step === '';
    if (step === '' && !last) run.invalid('path', path, `segment[${i}] may not be empty`);
    else if (step !== '') {
      for (const problem of FORMATS.dnsSubdomain(step)) run.invalid('path', path, `segment[${i}]: ${problem}`);
    }
  }
}

const WEBHOOK: TypeRules = {
  fields: {
    name: { format: 'fullName' },
    failurePolicy: FAILURES,
    matchPolicy: MATCHES,
    sideEffects: { required: `must specify one of ${SIDE_EFFECTS.join(', ')}`, oneOf: SIDE_EFFECTS },
    timeoutSeconds: { min: 1, max: 30, range: 'the timeout value must be between 1 and 30 seconds' },
    reinvocationPolicy: { oneOf: ['IfNeeded', 'Never'] },
    matchConditions: { maxItems: 64, unique: 'name' },
  },
  check: checkWebhook,
};
const RULE: TypeRules = {
  fields: {
    operations: { required: true, each: { oneOf: OPERATIONS } },
    apiGroups: { required: true },
    apiVersions: { required: true, each: { required: true } },
    resources: { required: true, each: { required: true } },
    scope: { oneOf: ['*', 'Cluster', 'Namespaced'] },
  },
  check: checkRule,
};
const CONFIGURATION: TypeRules = { fields: { webhooks: { unique: 'name' } } };

function checkParamKind({ apiVersion = '', kind = '' }: ParamKind, run: Run): void {
  if (!apiVersion) run.required('apiVersion');
  else {
    const parts = apiVersion.split('/');
    const text = `unexpected GroupVersion string: ${apiVersion}`;
    if (parts.length > 2) run.invalid('apiVersion', apiVersion, text);
    else {
      run.invalidEach('apiVersion', parts.at(-1), FORMATS.dns1035Label(parts.at(-1)!));
      if (parts.length === 2) run.invalidEach('apiVersion', parts[0], FORMATS.dnsSubdomain(parts[0]!));
    }
  }
  if (!kind) run.required('kind');
  else run.invalidEach('kind', kind, FORMATS.dns1035Label(kind.toLowerCase()));
}

function checkPolicy(spec: ValidatingAdmissionPolicySpec, run: Run): void {
  checkConstraints(spec, run);
  if ((spec.validations ?? []).length + (spec.auditAnnotations ?? []).length > 0) return;
  const text = 'validations or auditAnnotations must contain at least one item';
  run.required('validations', text);
  run.required('auditAnnotations', text);
}

function checkReference(ref: { name?: string; selector?: unknown }, run: Run): void {
  const both = ref.name && ref.selector !== undefined;
  if (both) {
    for (const at of ['name', 'selector']) run.forbidden(at, 'name and selector are mutually exclusive');
  } else if (!ref.name && ref.selector === undefined) run.required('', 'one of name or selector must be specified');
}

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

function checkVerbs(verbs: readonly string[] | undefined, run: Run): void {
  const list = verbs ?? [];
  if (list.length === 0) run.required('verbs', 'verbs must contain at least one value');
  else if (list.includes('*')) alone(list, 'verbs', 'verbs', run);
  else if (list.some((v) => !VERBS.includes(v))) run.unsupported('verbs', list, VERBS);
}

function checkFlowRule(rule: ResourcePolicyRule, run: Run): void {
  checkVerbs(rule.verbs, run);
  alone(rule.apiGroups ?? [], 'api groups', 'apiGroups', run);
  alone(rule.resources ?? [], 'resources', 'resources', run);
  const namespaces = rule.namespaces ?? [];
  if (namespaces.length === 0 && !rule.clusterScope) {
    run.required('namespaces', 'resource rules that are not cluster scoped must supply at least one namespace');
  } else if (namespaces.includes('*')) alone(namespaces, 'namespaces', 'namespaces', run);
  else {
    for (const [i, namespace] of namespaces.entries()) {
      const intro = "each member of this list must be '*' or a DNS-1123 label; ";
      for (const p of FORMATS.dnsLabel(namespace)) run.invalid(`namespaces[${i}]`, namespace, intro + p);
    }
  }
}

function pathProblem(path: string): string | undefined {
  if (path === '') return 'must not be empty';
  if (path === '/') return undefined;
  if (!path.startsWith('/')) return 'must start with slash';
  if (path.includes(' ')) return 'must not contain white-space';
  if (path.includes('//')) return 'must not contain double slash';
  const stars = path.split('*').length - 1;
  return stars > 1 || (stars === 1 && !path.endsWith('/*')) ? 'wildcard can only do suffix matching' : undefined;
}

function checkUrlRule(rule: { verbs?: readonly string[]; nonResourceURLs?: readonly string[] }, run: Run): void {
  checkVerbs(rule.verbs, run);
  const urls = rule.nonResourceURLs ?? [];
  if (urls.includes('*')) {
    alone(urls, 'non-resource URLs', 'nonResourceURLs', run);
    return;
  }
  for (const [i, url] of urls.entries()) {
    const problem = pathProblem(url);
    if (problem) run.invalid(`nonResourceURLs[${i}]`, url, problem);
  }
}

const SUBJECTS = { ServiceAccount: 'serviceAccount', User: 'user', Group: 'group' } as const;

function checkSubject(subject: Subject, run: Run): void {
  const wanted = SUBJECTS[subject.kind as 'User'];
  if (!wanted) {
    run.unsupported('kind', subject.kind, ['Group', 'ServiceAccount', 'User']);
    return;
  }
  if (!subject[wanted]) run.required(wanted, `${wanted} is required when subject kind is '${subject.kind}'`);
  for (const [kind, name] of Object.entries(SUBJECTS)) {
    const present = name !== wanted && subject[name] !== undefined;
    if (present) run.forbidden(name, `${name} is forbidden when subject kind is not '${kind}'`);
  }
}

function checkSchema(schema: FlowSchema, run: Run): void {
  if (schema.spec?.matchingPrecedence === 1 && schema.metadata.name !== 'exempt') {
    run.invalid('spec.matchingPrecedence', 1, "only the schema named 'exempt' may have matchingPrecedence 1");
  }
}

function checkLevel(level: PriorityLevelConfiguration, run: Run): void {
  const { type, limited, exempt } = level.spec ?? { type: '' };
  if ((level.metadata.name === 'exempt') !== (type === 'Exempt')) {
    run.invalid('spec.type', type, "type must be 'Exempt' if and only if name is 'exempt'");
  }
  if (type === 'Exempt' && limited) run.forbidden('spec.limited', 'must be nil if the type is not Limited');
  if (type === 'Limited' && !limited) run.required('spec.limited', 'must not be empty when type is Limited');
  if (type === 'Limited' && exempt) run.forbidden('spec.exempt', 'must be nil if the type is Limited');
}

function checkResponse({ type, queuing }: LimitResponse, run: Run): void {
  if (type === 'Reject' && queuing) {
    run.forbidden('queuing', 'must be nil if limited.limitResponse.type is not Limited');
  }
  if (type === 'Queue' && !queuing) {
    run.required('queuing', 'must not be empty if limited.limitResponse.type is Limited');
  }
}

function checkQueuing({ queues = 0, handSize = 0 }: QueuingConfiguration, run: Run): void {
  if (queues > 10_000_000) run.invalid('queues', queues, 'must not be greater than 10000000');
  if (handSize > queues) run.invalid('handSize', handSize, `should not be greater than queues (${queues})`);
}

const POSITIVE: FieldRule = { required: false, min: 1, range: 'must be positive' };
const SHARES: FieldRule = { min: 0, range: 'must be a non-negative integer' };
const LENDABLE: FieldRule = { min: 0, max: 100, range: 'must be between 0 and 100, inclusive' };
const EXPRESSION: FieldRule = { required: true };
const DRIVER: FieldRule = { format: 'csiDriver' };

/** Rules for matching say which resources they are for: expressions are checked against their types. */
function checkConstraints({ matchConstraints }: { matchConstraints?: MatchResources }, run: Run): void {
  if (matchConstraints && !matchConstraints.resourceRules?.length) run.required('matchConstraints.resourceRules');
}

const MUTATED = ['*', 'CONNECT', 'CREATE', 'UPDATE'];

function checkMutating(spec: MutatingAdmissionPolicySpec, run: Run): void {
  checkConstraints(spec, run);
  const { resourceRules = [], excludeResourceRules = [] } = spec.matchConstraints ?? {};
  const rules = Object.entries({ resourceRules, excludeResourceRules });
  for (const [member, list] of rules) {
    for (const [i, { operations = [] }] of list.entries()) {
      for (const [j, operation] of operations.entries()) {
        const at = `matchConstraints.${member}[${i}].operations[${j}]`;
        if (operation === 'DELETE') run.unsupported(at, operation, MUTATED);
      }
    }
  }
}

function checkMutation({ patchType, jsonPatch, applyConfiguration }: Mutation, run: Run): void {
  const parts = { jsonPatch: ['JSONPatch', jsonPatch], applyConfiguration: ['ApplyConfiguration', applyConfiguration] };
  for (const [member, [type, value]] of Object.entries(parts)) {
    if (type === patchType && value === undefined) run.required(member, `must be specified when patchType is ${type}`);
    else if (type !== patchType && value !== undefined && patchType) {
      run.invalid(member, `{${member}}`, `must not be specified when patchType is ${patchType}`);
    }
  }
}

const MATCH_RESOURCES: TypeRules = {
  fields: {
    matchPolicy: { required: true, ...MATCHES },
    namespaceSelector: { required: true },
    objectSelector: { required: true },
  },
};
const PARAM_REF: TypeRules = {
  fields: { name: { format: 'pathSegment' }, parameterNotFoundAction: { required: true, oneOf: ['Allow', 'Deny'] } },
  check: checkReference,
};
/** Its expression may be one of the policy's own variables: the strategy compiles it. */
const VARIABLE: TypeRules = { fields: { expression: { required: 'expression is not specified' } } };
const CONDITION: TypeRules = { fields: { name: { format: 'qualifiedName' }, expression: EXPRESSION } };
const MUTATING_SPEC: TypeRules = {
  fields: {
    failurePolicy: { required: true, ...FAILURES },
    matchConstraints: { required: true },
    matchConditions: { maxItems: 64, unique: 'name' },
    mutations: { required: 'mutations must contain at least one item' },
    reinvocationPolicy: { required: true, oneOf: ['IfNeeded', 'Never'] },
  },
  check: checkMutating,
};
const MUTATION: TypeRules = {
  fields: { patchType: { required: true, oneOf: ['ApplyConfiguration', 'JSONPatch'] } },
  check: checkMutation,
};
const PATCH_EXPRESSION: TypeRules = { fields: { expression: EXPRESSION } };
const MUTATING_BINDING: TypeRules = { fields: { policyName: { required: true, format: 'dnsSubdomain' } } };

/** Kinds that are stored as v1beta1. */
const POLICY_TYPES: { readonly [type: string]: TypeRules } = {
  MatchResources: MATCH_RESOURCES,
  ParamKind: { check: checkParamKind },
  ParamRef: PARAM_REF,
  Variable: VARIABLE,
  MatchCondition: CONDITION,
  NamedRuleWithOperations: RULE,
  MutatingAdmissionPolicySpec: MUTATING_SPEC,
  MutatingAdmissionPolicyBindingSpec: MUTATING_BINDING,
  Mutation: MUTATION,
  ApplyConfiguration: PATCH_EXPRESSION,
  JSONPatch: PATCH_EXPRESSION,
};

const inVersion = (version: string): RuleTable =>
  Object.fromEntries(
    Object.entries(POLICY_TYPES).map(([type, rules]) => [`admissionregistration.${version}.${type}`, rules]),
  );

export const ADMISSION_RULES: RuleTable = {
  ...inVersion('v1'),
  ...inVersion('v1beta1'),
  'admissionregistration.v1.ValidatingWebhookConfiguration': CONFIGURATION,
  'admissionregistration.v1.MutatingWebhookConfiguration': CONFIGURATION,
  'admissionregistration.v1.ValidatingWebhook': WEBHOOK,
  'admissionregistration.v1.MutatingWebhook': WEBHOOK,
  'admissionregistration.v1.RuleWithOperations': RULE,
  'admissionregistration.v1.WebhookClientConfig': { check: checkClient },
  'admissionregistration.v1.ServiceReference': {
    fields: {
      name: { required: 'service name is required' },
      namespace: { required: 'service namespace is required' },
      port: { min: 1, max: 65535, range: 'port is not valid: must be between 1 and 65535, inclusive' },
    },
    check: checkService,
  },
  'admissionregistration.v1.Validation': {
    fields: {
      expression: { required: 'expression is not specified' },
      reason: { oneOf: ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized'] },
    },
    check({ message }: { message?: string }, run: Run) {
      if (message === undefined) return;
      if (message.trim() === '') run.invalid('message', message, 'message must be non-empty if specified');
      else if (message.includes('\n')) run.invalid('message', message, 'message must not contain line breaks');
    },
  },
  'admissionregistration.v1.AuditAnnotation': {
    fields: { key: { required: false }, valueExpression: { required: 'valueExpression is not specified' } },
  },
  'admissionregistration.v1.ValidatingAdmissionPolicySpec': {
    fields: {
      failurePolicy: { required: true, ...FAILURES },
      matchConstraints: { required: true },
      matchConditions: { maxItems: 64, unique: 'name' },
      variables: { unique: 'name' },
      auditAnnotations: { maxItems: 20, unique: 'key' },
    },
    check: checkPolicy,
  },
  'admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec': {
    fields: {
      policyName: { format: 'dnsSubdomain' },
      validationActions: { required: true, each: { oneOf: ['Audit', 'Deny', 'Warn'] }, unique: true },
    },
    check({ validationActions = [] }: { validationActions?: readonly string[] }, run: Run) {
      if (!validationActions.includes('Deny') || !validationActions.includes('Warn')) return;
      run.invalid(
        'validationActions',
        validationActions,
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
      );
    },
  },
  'flowcontrol.v1.FlowSchema': { check: checkSchema },
  'flowcontrol.v1.FlowSchemaSpec': {
    fields: { matchingPrecedence: { min: 1, range: 'must be a positive value' } },
    check({ matchingPrecedence: precedence = 0 }: { matchingPrecedence?: number }, run: Run) {
      if (precedence > 10_000) run.invalid('matchingPrecedence', precedence, 'must not be greater than 10000');
    },
  },
  'flowcontrol.v1.PriorityLevelConfigurationReference': {
    fields: { name: { required: 'must reference a priority level', format: 'dnsSubdomain' } },
  },
  'flowcontrol.v1.FlowDistinguisherMethod': { fields: { type: { oneOf: ['ByNamespace', 'ByUser'] } } },
  'flowcontrol.v1.PolicyRulesWithSubjects': {
    fields: { subjects: { required: 'subjects must contain at least one value' } },
    check(rule: { resourceRules?: readonly unknown[]; nonResourceRules?: readonly unknown[] }, run: Run) {
      if ((rule.resourceRules ?? []).length + (rule.nonResourceRules ?? []).length > 0) return;
      run.required('', 'at least one of resourceRules and nonResourceRules has to be non-empty');
    },
  },
  'flowcontrol.v1.Subject': { fields: { kind: { required: false } }, check: checkSubject },
  'flowcontrol.v1.ServiceAccountSubject': {
    fields: { namespace: { required: 'must specify namespace for service account', format: 'dnsLabel' } },
    check({ name }: { name: string }, run: Run) {
      if (name && name !== '*') run.invalidEach('name', name, FORMATS.dnsSubdomain(name));
    },
  },
  'flowcontrol.v1.ResourcePolicyRule': {
    fields: {
      apiGroups: { required: 'resource rules must supply at least one api group' },
      resources: { required: 'resource rules must supply at least one resource' },
    },
    check: checkFlowRule,
  },
  'flowcontrol.v1.NonResourcePolicyRule': {
    fields: { nonResourceURLs: { required: 'nonResourceURLs must contain at least one value' } },
    check: checkUrlRule,
  },
  'flowcontrol.v1.PriorityLevelConfiguration': { check: checkLevel },
  'flowcontrol.v1.PriorityLevelConfigurationSpec': {
    fields: { type: { required: false, oneOf: ['Exempt', 'Limited'] } },
  },
  'flowcontrol.v1.LimitedPriorityLevelConfiguration': {
    fields: {
      nominalConcurrencyShares: SHARES,
      lendablePercent: LENDABLE,
      borrowingLimitPercent: { min: 0, range: 'if specified, must be a non-negative integer' },
    },
  },
  'flowcontrol.v1.ExemptPriorityLevelConfiguration': {
    fields: { nominalConcurrencyShares: SHARES, lendablePercent: LENDABLE },
  },
  'flowcontrol.v1.LimitResponse': {
    fields: { type: { required: false, oneOf: ['Queue', 'Reject'] } },
    check: checkResponse,
  },
  'flowcontrol.v1.QueuingConfiguration': {
    fields: { queueLengthLimit: POSITIVE, queues: POSITIVE, handSize: POSITIVE },
    check: checkQueuing,
  },
  'resource.v1.DeviceRequest': {
    fields: { name: { format: 'dnsLabel' }, firstAvailable: { maxItems: 8, unique: 'name' } },
    union: { of: ['exactly', 'firstAvailable'], none: 'exactly one of `exactly` or `firstAvailable` is required' },
  },
  'resource.v1.DeviceClaim': {
    fields: { requests: { maxItems: 32, unique: 'name' }, constraints: { maxItems: 32 }, config: { maxItems: 32 } },
  },
  'resource.v1.ExactDeviceRequest': {
    fields: { deviceClassName: { format: 'dnsSubdomain' }, selectors: { maxItems: 32 } },
    check: checkCount,
  },
  'resource.v1.DeviceSubRequest': {
    fields: { name: { format: 'dnsLabel' }, deviceClassName: { format: 'dnsSubdomain' }, selectors: { maxItems: 32 } },
    check: checkCount,
  },
  'resource.v1.CELDeviceSelector': { fields: { expression: EXPRESSION } },
  'resource.v1.OpaqueDeviceConfiguration': { fields: { driver: DRIVER, parameters: { required: true } } },
  'resource.v1.ResourceClaim': {
    checkUpdate(claim: { spec: unknown }, old: { spec: unknown }, run: Run) {
      if (!sameMeaning(claim.spec, old.spec)) run.invalid('spec', claim.spec, 'field is immutable');
    },
  },
  'resource.v1.ResourceSliceSpec': {
    fields: {
      driver: { ...DRIVER, immutable: true },
      nodeName: { immutable: true },
      devices: { maxItems: 128, unique: 'name' },
    },
  },
  'resource.v1.ResourcePool': {
    fields: {
      generation: { min: 0 },
      resourceSliceCount: { min: 1, range: 'must be greater than zero' },
    },
  },
  'resource.v1.Device': { fields: { name: { format: 'dnsLabel' } } },
  'resource.v1.DeviceTaint': {
    fields: { key: { format: 'qualifiedName' }, effect: { oneOf: ['NoExecute', 'NoSchedule', 'None'] } },
  },
  'resource.v1.DeviceToleration': {
    fields: { operator: { oneOf: ['Equal', 'Exists'] }, effect: { oneOf: ['NoExecute', 'NoSchedule', 'None'] } },
  },
};

function checkCount(request: { allocationMode?: string; count?: number }, run: Run): void {
  const { allocationMode: mode, count = 0 } = request;
  if (mode === 'All' && count !== 0)
    run.invalid('count', count, `must not be specified when allocationMode is '${mode}'`);
  if (mode === 'ExactCount' && count <= 0) run.invalid('count', count, 'must be greater than zero');
}
