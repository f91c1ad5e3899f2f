// MutatingWebhookConfiguration and ValidatingWebhookConfiguration: what upstream refuses in them.
import type { MutatingWebhookConfiguration } from '../../api/generated/types.ts';
import { dnsSubdomainProblems, qualifiedNameProblems } from '../../machinery/names.ts';
import type { FieldError } from '../../machinery/status.ts';
import { conditionProblem } from '../admission/webhooks/conditions.ts';
import { duplicate, invalidValue, notSupported, required, tooMany } from './field-errors.ts';
import { defineStrategy } from './strategy.ts';

/** Of both kinds; one that only judges has one member less. */
type Webhook = NonNullable<MutatingWebhookConfiguration['webhooks']>[number];
type Rule = NonNullable<Webhook['rules']>[number];

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const REVIEW_VERSIONS = ['v1', 'v1beta1'];
const MAX_CONDITIONS = 64;

export const webhookConfigurationStrategy = defineStrategy<MutatingWebhookConfiguration>({
  countsGenerations: true,
  unconditionalUpdate: false,
  validate: ({ webhooks = [] }) => {
    const names = webhooks.map(({ name }) => name);
    return webhooks.flatMap((webhook, i) => {
      const path = `webhooks[${i}]`;
      const again = names.indexOf(webhook.name) < i ? [duplicate(`${path}.name`, webhook.name)] : [];
      return [...again, ...webhookProblems(webhook, path)];
    });
  },
});

function webhookProblems(webhook: Webhook, path: string): FieldError[] {
  const { failurePolicy, matchPolicy, sideEffects, timeoutSeconds, reinvocationPolicy } = webhook;
  const errors: FieldError[] = [...nameProblems(webhook.name, `${path}.name`), ...versionProblems(webhook, path)];
  for (const [i, rule] of (webhook.rules ?? []).entries()) errors.push(...ruleProblems(rule, `${path}.rules[${i}]`));
  const oneOf = (member: string, value: string | undefined, values: readonly string[]): void => {
    if (value !== undefined && !values.includes(value)) errors.push(notSupported(`${path}.${member}`, value, values));
  };
  oneOf('failurePolicy', failurePolicy, ['Fail', 'Ignore']);
  oneOf('matchPolicy', matchPolicy, ['Equivalent', 'Exact']);
  if (sideEffects === undefined) {
    errors.push(required(`${path}.sideEffects`, 'must specify one of None, NoneOnDryRun'));
  } else oneOf('sideEffects', sideEffects, ['None', 'NoneOnDryRun']);
  if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30)) {
    const why = 'the timeout value must be between 1 and 30 seconds';
    errors.push(invalidValue(`${path}.timeoutSeconds`, timeoutSeconds, why));
  }
  oneOf('reinvocationPolicy', reinvocationPolicy, ['IfNeeded', 'Never']);
  errors.push(...clientProblems(webhook, `${path}.clientConfig`), ...conditionProblems(webhook, path));
  return errors;
}

function nameProblems(name: string, path: string): FieldError[] {
  if (!name) return [required(path)];
  const problems = dnsSubdomainProblems(name);
  if (problems.length > 0) return problems.map((why) => invalidValue(path, name, why));
  if (name.split('.').length >= 3) return [];
  return [invalidValue(path, name, 'should be a domain with at least three segments separated by dots')];
}

function versionProblems({ admissionReviewVersions: versions = [] }: Webhook, path: string): FieldError[] {
  const at = `${path}.admissionReviewVersions`;
  const known = REVIEW_VERSIONS.join(', ');
  if (versions.length === 0) return [required(at, `must specify one of ${known}`)];
  const errors = versions.flatMap((version, i) =>
    versions.indexOf(version) < i ? [invalidValue(`${at}[${i}]`, version, 'duplicate version')] : [],
  );
  if (!versions.some((version) => REVIEW_VERSIONS.includes(version))) {
    errors.push(invalidValue(at, versions, `must include at least one of ${known}`));
  }
  return errors;
}

function ruleProblems(rule: Rule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { operations = [], apiGroups = [], apiVersions = [], resources = [] } = rule;
  const listed = (member: string, values: readonly string[], what: string): void => {
    if (values.length === 0) errors.push(required(`${path}.${member}`));
    if (values.length > 1 && values.includes('*')) {
      errors.push(invalidValue(`${path}.${member}`, values, `if '*' is present, must not specify other ${what}`));
    }
  };
  listed('operations', operations, 'operations');
  for (const [i, operation] of operations.entries()) {
    if (!OPERATIONS.includes(operation)) errors.push(notSupported(`${path}.operations[${i}]`, operation, OPERATIONS));
  }
  listed('apiGroups', apiGroups, 'API groups');
  listed('apiVersions', apiVersions, 'API versions');
  for (const [i, version] of apiVersions.entries()) {
    if (version === '') errors.push(required(`${path}.apiVersions[${i}]`));
  }
  if (resources.length === 0) errors.push(required(`${path}.resources`));
  for (const [i, resource] of resources.entries()) {
    if (resource === '') errors.push(required(`${path}.resources[${i}]`));
  }
  if (resources.length > 1 && resources.includes('*/*')) {
    const why = "if '*/*' is present, must not specify other resources";
    errors.push(invalidValue(`${path}.resources`, resources, why));
  }
  const scopes = ['*', 'Cluster', 'Namespaced'];
  if (rule.scope !== undefined && !scopes.includes(rule.scope)) {
    errors.push(notSupported(`${path}.scope`, rule.scope, scopes));
  }
  return errors;
}

function clientProblems({ clientConfig }: Webhook, path: string): FieldError[] {
  const { url, service } = clientConfig ?? {};
  if ((url === undefined) === (service === undefined)) {
    return [required(path, 'exactly one of url or service is required')];
  }
  if (service) {
    const errors: FieldError[] = [];
    if (!service.name) errors.push(required(`${path}.service.name`, 'service name is required'));
    if (!service.namespace) errors.push(required(`${path}.service.namespace`, 'service namespace is required'));
    const { port = 443 } = service;
    if (port < 1 || port > 65535) {
      const why = 'port is not valid: must be between 1 and 65535, inclusive';
      errors.push(invalidValue(`${path}.service.port`, port, why));
    }
    return errors;
  }
  if (!URL.canParse(url!)) return [required(`${path}.url`, `url must be a valid URL: ${JSON.stringify(url)}`)];
  const { protocol, hostname } = new URL(url!);
  if (protocol !== 'https:') {
    const why = `'https' is the only allowed URL scheme; desired format: https://host[/path]`;
    return [invalidValue(`${path}.url`, protocol.slice(0, -1), why)];
  }
  return hostname === ''
    ? [invalidValue(`${path}.url`, '', 'host must be specified; desired format: https://host[/path]')]
    : [];
}

function conditionProblems({ matchConditions = [] }: Webhook, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (matchConditions.length > MAX_CONDITIONS) {
    errors.push(tooMany(`${path}.matchConditions`, matchConditions.length, MAX_CONDITIONS));
  }
  const names = matchConditions.map(({ name }) => name);
  for (const [i, { name, expression }] of matchConditions.entries()) {
    const at = `${path}.matchConditions[${i}]`;
    if (!expression.trim()) errors.push(required(`${at}.expression`));
    else {
      const problem = conditionProblem(expression);
      if (problem) errors.push(invalidValue(`${at}.expression`, expression, problem));
    }
    if (!name) errors.push(required(`${at}.name`));
    else {
      errors.push(...qualifiedNameProblems(name).map((why) => invalidValue(`${at}.name`, name, why)));
      if (names.indexOf(name) < i) errors.push(duplicate(`${at}.name`, name));
    }
  }
  return errors;
}
