// ValidatingAdmissionPolicy as clients meet it.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  type Answer,
  deployment,
  type PolicyServer,
  policy,
  removePolicies,
  rule,
  startPolicyServer,
} from './test-server.ts';

let server: PolicyServer;
before(async () => {
  server = await startPolicyServer();
});
after(() => server.close());

const ask: PolicyServer['ask'] = (...args) => server.ask(...args);
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const MAPS = '/api/v1/namespaces/default/configmaps';
const POLICIES = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
const map = (name: string, data: object = {}, labels: object = {}): object => ({ metadata: { name, labels }, data });

beforeEach(async () => {
  await removePolicies(ask);
  await ask('DELETE', MAPS);
  await ask('DELETE', DEPLOYMENTS);
});

const validate = (name: string, spec: object, binding?: object): Promise<void> =>
  policy(ask, 'validating', name, { matchConstraints: rule('configmaps'), ...spec }, binding);

function isDenied({ status, json }: Answer, message: string, code = 422): void {
  assert.equal(json.message, message);
  assert.equal(status, code);
}

const by = (name: string, what: string, kind = 'configmaps "m"'): string =>
  `${kind} is forbidden: ValidatingAdmissionPolicy '${name}' with binding '${name}-binding' denied request: ${what}`;

describe('what a policy refuses', () => {
  test('a Deployment that an expression does not hold for, with upstream’s message, reason, code and cause', async () => {
    const validations = [
      { expression: 'object.spec.replicas > 1', messageExpression: "'wants ' + string(object.spec.replicas + 1)" },
    ];
    await policy(ask, 'validating', 'p', { matchConstraints: rule('deployments'), validations });
    const refused = await ask('POST', DEPLOYMENTS, deployment('small', 1));
    const text = by('p', 'wants 2', 'deployments.apps "small"');
    isDenied(refused, text);
    assert.equal(refused.json.reason, 'Invalid');
    assert.deepEqual(refused.json.details, {
      name: 'small',
      group: 'apps',
      kind: 'deployments',
      causes: [{ message: text.slice(text.indexOf('Validating')) }],
    });
    assert.equal((await ask('POST', DEPLOYMENTS, deployment('big', 2))).status, 201);
    const patched = await ask(
      'PATCH',
      `${DEPLOYMENTS}/big`,
      { spec: { replicas: 1 } },
      { type: 'application/merge-patch+json' },
    );
    isDenied(patched, by('p', 'wants 2', 'deployments.apps "big"'));
  });

  test('variables may be referred to, and refer to those before them', async () => {
    const variables = [
      { name: 'replicas', expression: 'object.spec.replicas' },
      { name: 'odd', expression: 'variables.replicas % 2 == 1' },
    ];
    const validations = [{ expression: 'variables.replicas > 1' }, { expression: 'variables.odd' }];
    await policy(ask, 'validating', 'p', { matchConstraints: rule('deployments'), variables, validations });
    isDenied(
      await ask('POST', DEPLOYMENTS, deployment('a', 1)),
      by('p', 'failed expression: variables.replicas > 1', 'deployments.apps "a"'),
    );
    isDenied(
      await ask('POST', DEPLOYMENTS, deployment('a', 2)),
      by('p', 'failed expression: variables.odd', 'deployments.apps "a"'),
    );
    assert.equal((await ask('POST', DEPLOYMENTS, deployment('a', 3))).status, 201);
  });

  test('each reason with its code', async () => {
    for (const [reason, code] of [
      ['Forbidden', 403],
      ['Unauthorized', 401],
      ['RequestEntityTooLarge', 413],
    ] as const) {
      await removePolicies(ask);
      await validate('p', { validations: [{ expression: 'false', message: 'no', reason }] });
      const refused = await ask('POST', MAPS, map('m'));
      isDenied(refused, by('p', 'no'), code);
      assert.equal(refused.json.reason, reason);
    }
  });

  test('the message: worked out, else given, else the expression', async () => {
    const cases: [object, string][] = [
      [{ message: 'given', messageExpression: "'  made  '" }, 'made'],
      [{ message: 'given', messageExpression: "''" }, 'given'],
      [{ message: 'given', messageExpression: "'a\\nb'" }, 'given'],
      [{ message: 'given', messageExpression: 'string(object.nope)' }, 'given'],
      [{ messageExpression: 'string(object.nope)' }, 'failed expression: 1 > 2'],
    ];
    for (const [more, said] of cases) {
      await removePolicies(ask);
      await validate('p', { validations: [{ expression: ' 1 > 2 ', ...more }] });
      isDenied(await ask('POST', MAPS, map('m')), by('p', said));
    }
  });

  test('an update by what was before, a deletion by what is', async () => {
    const constraints = rule('configmaps', { operations: ['UPDATE', 'DELETE'] });
    const validations = [
      { expression: "request.operation != 'UPDATE' || object.data.a == oldObject.data.a", message: 'changed' },
      {
        expression: "request.operation != 'DELETE' || (object == null && oldObject.data.a != 'keep')",
        message: 'kept',
      },
    ];
    await validate('p', { matchConstraints: constraints, validations });
    assert.equal((await ask('POST', MAPS, map('m', { a: 'keep' }))).status, 201);
    isDenied(await ask('PUT', `${MAPS}/m`, map('m', { a: '2' })), by('p', 'changed'));
    isDenied(await ask('DELETE', `${MAPS}/m`), by('p', 'kept'));
  });

  test('nothing without a binding, and nothing once the policy is gone', async () => {
    await ask('POST', POLICIES, {
      metadata: { name: 'p' },
      spec: { matchConstraints: rule('configmaps'), validations: [{ expression: 'false' }] },
    });
    assert.equal((await ask('POST', MAPS, map('m'))).status, 201);
    await removePolicies(ask);
    await validate('p', { validations: [{ expression: 'false' }] });
    assert.equal((await ask('POST', MAPS, map('n'))).status, 422);
    await ask('DELETE', `${POLICIES}/p`);
    assert.equal((await ask('POST', MAPS, map('n'))).status, 201);
  });

  test('policies themselves are beyond policies', async () => {
    const all = { resourceRules: [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'] }] };
    await validate('p', { matchConstraints: all, validations: [{ expression: 'false' }] });
    assert.equal((await ask('POST', MAPS, map('m'))).status, 422);
    const spec = { matchConstraints: all, validations: [{ expression: 'true' }] };
    assert.equal((await ask('POST', POLICIES, { metadata: { name: 'q' }, spec })).status, 201);
    assert.equal((await ask('DELETE', `${POLICIES}/p`)).status, 200);
  });
});

describe('what a policy is for', () => {
  const NO = { validations: [{ expression: 'false', message: 'no' }] };
  const statusOf = async (name: string, labels: object = {}): Promise<number> =>
    (await ask('POST', `${MAPS}?dryRun=All`, map(name, {}, labels))).status;

  test('resource names, excluded rules, selectors of objects and namespaces', async () => {
    await validate('p', { ...NO, matchConstraints: rule('configmaps', { resourceNames: ['only'] }) });
    assert.deepEqual([await statusOf('only'), await statusOf('other')], [422, 201]);
    await removePolicies(ask);
    const { resourceRules } = rule('configmaps') as { resourceRules: object[] };
    const excludeResourceRules = [{ ...resourceRules[0], resourceNames: ['spared'] }];
    await validate('p', { ...NO, matchConstraints: { resourceRules, excludeResourceRules } });
    assert.deepEqual([await statusOf('spared'), await statusOf('other')], [201, 422]);
    await removePolicies(ask);
    const objectSelector = { matchLabels: { a: 'b' } };
    await validate('p', { ...NO, matchConstraints: { resourceRules, objectSelector } });
    assert.deepEqual([await statusOf('m', { a: 'b' }), await statusOf('m')], [422, 201]);
    await removePolicies(ask);
    const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } };
    await validate('p', { ...NO, matchConstraints: { resourceRules, namespaceSelector } });
    assert.equal(await statusOf('m'), 201);
    assert.equal((await ask('POST', '/api/v1/namespaces/kube-system/configmaps?dryRun=All', map('m'))).status, 422);
  });

  test('a binding narrows it further', async () => {
    await validate('p', NO, { matchResources: { objectSelector: { matchLabels: { a: 'b' } } } });
    assert.deepEqual([await statusOf('m', { a: 'b' }), await statusOf('m')], [422, 201]);
  });

  test('other versions of a resource count, in the version that is named, unless they shall not', async () => {
    const old = {
      metadata: { name: 'h' },
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'd' }, maxReplicas: 3, targetCPUUtilizationPercentage: 50 },
    };
    const HPAS = '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers';
    const named = {
      resourceRules: [
        {
          operations: ['CREATE'],
          apiGroups: ['autoscaling'],
          apiVersions: ['v2'],
          resources: ['horizontalpodautoscalers'],
        },
      ],
    };
    const expression =
      "request.kind.version == 'v2' && request.requestKind.version == 'v1' && object.spec.metrics.size() == 9";
    await validate('p', {
      matchConstraints: named,
      validations: [{ expression, messageExpression: "object.spec.metrics[0].type + ' ' + object.apiVersion" }],
    });
    isDenied(
      await ask('POST', HPAS, old),
      by('p', 'Resource autoscaling/v2', 'horizontalpodautoscalers.autoscaling "h"'),
    );
    await removePolicies(ask);
    await validate('p', { ...NO, matchConstraints: { ...named, matchPolicy: 'Exact' } });
    assert.equal((await ask('POST', `${HPAS}?dryRun=All`, old)).status, 201);
  });

  test('conditions: false spares, an error refuses or spares as failurePolicy says', async () => {
    const matchConditions = [{ name: 'wanted', expression: "object.data.want == 'yes'" }];
    await validate('p', { ...NO, matchConditions });
    isDenied(await ask('POST', MAPS, map('m', { want: 'yes' })), by('p', 'no'));
    assert.equal((await ask('POST', MAPS, map('m', { want: 'no' }))).status, 201);
    isDenied(
      await ask('POST', MAPS, map('m', { b: 'c' })),
      by('p', "expression 'object.data.want == 'yes'' resulted in error: no such key: want"),
    );
    await removePolicies(ask);
    await validate('p', { ...NO, matchConditions, failurePolicy: 'Ignore' });
    assert.equal((await ask('POST', MAPS, map('n', { b: 'c' }))).status, 201);
  });

  test('connecting to a pod', async () => {
    const attach = { operations: ['CONNECT'], resources: ['pods/exec'] };
    await validate('p', {
      matchConstraints: rule('pods', attach),
      validations: [{ expression: 'object.command.size() == 0', message: 'no' }],
    });
    const refused = await ask('POST', '/api/v1/namespaces/default/pods/x/exec?command=ls&stdout=true');
    assert.match(refused.json.message, /ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: no$/);
  });
});

describe('what expressions may look at', () => {
  test('the request, the user, the namespace, what users may do', async () => {
    const validations = [
      {
        expression:
          "request.userInfo.username == 'admin' && request.name == 'm' && request.namespace == 'default' && request.resource.resource == 'configmaps' && !request.dryRun",
        message: 'request',
      },
      {
        expression:
          "namespaceObject.metadata.name == 'default' && namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'default' && namespaceObject.metadata.creationTimestamp > timestamp('2020-01-01T00:00:00Z')",
        message: 'namespace',
      },
      {
        expression:
          "authorizer.requestResource.check('create').allowed() && !authorizer.serviceAccount('default', 'x').group('').resource('pods').check('get').allowed()",
        message: 'authorizer',
      },
    ];
    await validate('p', { validations });
    assert.equal((await ask('POST', MAPS, map('m'))).json.message, undefined);
    await removePolicies(ask);
    await validate('p', {
      matchConstraints: rule('namespaces'),
      validations: [{ expression: 'namespaceObject == null', message: 'none' }],
    });
    assert.equal((await ask('POST', '/api/v1/namespaces', { metadata: { name: 'other' } })).status, 201);
  });

  test('parameters by name, by label, from the request’s namespace, and what happens without any', async () => {
    const spec = {
      matchConstraints: rule('secrets'),
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      validations: [
        {
          expression: 'params != null && object.type != params.data.type',
          messageExpression: "params == null ? 'none' : string(params.metadata.name + params.apiVersion + params.kind)",
        },
      ],
    };
    const secret = { metadata: { name: 's' }, type: 'x' };
    const SECRETS = '/api/v1/namespaces/default/secrets?dryRun=All';
    const refused = async (paramRef: object | undefined): Promise<string> => {
      await removePolicies(ask);
      await validate('p', spec, paramRef && { paramRef: { parameterNotFoundAction: 'Deny', ...paramRef } });
      const { status, json } = await ask('POST', SECRETS, secret);
      return status === 201 ? 'admitted' : json.message.replace(/^.* denied request: /, '');
    };
    await ask('POST', MAPS, map('one', { type: 'x' }, { set: 'a' }));
    await ask('POST', MAPS, map('two', { type: 'y' }, { set: 'a' }));
    await ask('POST', '/api/v1/namespaces/kube-system/configmaps', map('far', { type: 'x' }));
    assert.equal(await refused({ name: 'one' }), 'onev1ConfigMap');
    assert.equal(await refused({ name: 'two' }), 'admitted');
    assert.equal(await refused({ selector: { matchLabels: { set: 'a' } } }), 'onev1ConfigMap');
    assert.equal(await refused({ name: 'far', namespace: 'kube-system' }), 'farv1ConfigMap');
    assert.equal(
      await refused({ name: 'nope' }),
      'failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction',
    );
    assert.equal(await refused({ name: 'nope', parameterNotFoundAction: 'Allow' }), 'admitted');
    assert.equal(
      await refused({ selector: { matchLabels: { set: 'b' } }, parameterNotFoundAction: 'Allow' }),
      'admitted',
    );
    assert.equal(await refused(undefined), 'none');
  });

  test('parameters that nobody can have', async () => {
    await validate('p', {
      paramKind: { apiVersion: 'example.com/v1', kind: 'Limit' },
      validations: [{ expression: 'true' }],
    });
    const why =
      "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'";
    isDenied(await ask('POST', MAPS, map('m')), `configmaps "m" is forbidden: ${why}`);
    await removePolicies(ask);
    await policy(
      ask,
      'validating',
      'p',
      {
        matchConstraints: rule('namespaces'),
        paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
        validations: [{ expression: 'true' }],
      },
      { paramRef: { name: 'x', parameterNotFoundAction: 'Allow' } },
    );
    const clustered = await ask('POST', '/api/v1/namespaces?dryRun=All', { metadata: { name: 'fresh' } });
    assert.equal(clustered.status, 201, 'a Namespace is within itself');
  });
});

describe('what comes of a validation that fails', () => {
  test('a warning instead of a refusal', async () => {
    await validate(
      'p',
      { validations: [{ expression: 'false', message: 'beware' }] },
      { validationActions: ['Warn', 'Audit'] },
    );
    const made = await ask('POST', MAPS, map('m'));
    assert.equal(made.status, 201);
    assert.equal(
      made.warnings,
      `299 - "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-binding': beware"`,
    );
  });

  test('an error refuses, or is passed over when failurePolicy says Ignore; a false one is not', async () => {
    const wrong = { expression: 'object.data.nope == 1' };
    await validate('p', { validations: [wrong] });
    isDenied(
      await ask('POST', MAPS, map('m', { a: 'b' })),
      by('p', "expression 'object.data.nope == 1' resulted in error: no such key: nope"),
    );
    await removePolicies(ask);
    await validate('p', { failurePolicy: 'Ignore', validations: [wrong, { expression: 'false', message: 'no' }] });
    isDenied(await ask('POST', MAPS, map('m', { a: 'b' })), by('p', 'no'));
    await removePolicies(ask);
    await validate('p', { failurePolicy: 'Ignore', validations: [wrong] });
    assert.equal((await ask('POST', MAPS, map('m', { a: 'b' }))).status, 201);
  });

  test('expressions that never come to an end are stopped', async () => {
    const variables = [{ name: 'many', expression: "object.data.text.split('')" }];
    const expression = 'variables.many.all(a, variables.many.all(b, a == b))';
    await validate('p', { variables, validations: [{ expression }] });
    const refused = await ask('POST', MAPS, map('m', { text: 'x'.repeat(5_000) }));
    isDenied(
      refused,
      by('p', `expression '${expression}' resulted in error: operation cancelled: actual cost limit exceeded`),
    );
  });

  test('audit annotations: an error refuses', async () => {
    await validate(
      'p',
      { auditAnnotations: [{ key: 'high', valueExpression: "'a' + object.data.nope" }] },
      { validationActions: ['Audit'] },
    );
    isDenied(
      await ask('POST', MAPS, map('m', { a: 'b' })),
      by('p', "expression ''a' + object.data.nope' resulted in error: no such key: nope"),
    );
    assert.equal((await ask('POST', MAPS, map('m', { nope: 'b' }))).status, 201);
  });
});

describe('what cannot be a policy, or a binding, is refused', () => {
  const findings = async (path: string, body: object): Promise<string[]> => {
    const { status, json } = await ask('POST', `${path}?dryRun=All`, body);
    assert.equal(status, 422, json.message);
    type Cause = { field: string; message: string };
    return json.details.causes.map(({ field, message }: Cause) => `${field}: ${message.split('\n')[0]}`).sort();
  };

  test('expressions compile, each to a value of its type', async () => {
    const spec = {
      matchConstraints: rule('configmaps'),
      matchConditions: [{ name: 'c', expression: 'variables.a' }],
      variables: [
        { name: 'a', expression: 'variables.b' },
        { name: 'b', expression: '1 +' },
        { name: 'a-b', expression: '1' },
      ],
      validations: [
        { expression: 'object.data.a', message: 'two\nlines', reason: 'Other' },
        { expression: 'true', messageExpression: '1' },
        { expression: 'true', messageExpression: "authorizer.path('/').check('get').reason()" },
        { expression: 'params.a == 1', messageExpression: ' ' },
      ],
      auditAnnotations: [{ key: 'a b', valueExpression: '1' }],
    };
    assert.deepEqual(await findings(POLICIES, { metadata: { name: 'p' }, spec }), [
      `spec.auditAnnotations[0].key: Invalid value: "p/a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
      'spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int',
      `spec.matchConditions[0].expression: Invalid value: "variables.a": compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container '')`,
      'spec.validations[0].expression: Invalid value: "object.data.a": must evaluate to bool but got dyn',
      'spec.validations[0].message: Invalid value: "two\\nlines": message must not contain line breaks',
      'spec.validations[0].reason: Unsupported value: "Other": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"',
      'spec.validations[1].messageExpression: Invalid value: "1": must evaluate to string but got int',
      `spec.validations[2].messageExpression: Invalid value: "authorizer.path('/').check('get').reason()": compilation failed: ERROR: <input>:1:1: undeclared reference to 'authorizer' (in container '')`,
      `spec.validations[3].expression: Invalid value: "params.a == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')`,
      'spec.validations[3].messageExpression: Invalid value: " ": must be non-empty if specified',
      `spec.variables[0].expression: Invalid value: "variables.b": compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container '')`,
      'spec.variables[1].expression: Invalid value: "1 +": compilation failed: ERROR: <input>:1:4: Unexpected token: EOF',
      'spec.variables[2].name: Invalid value: "a-b": name is not a valid CEL identifier',
    ]);
    assert.deepEqual(await findings(POLICIES, { metadata: { name: 'p' }, spec: { matchConstraints: {} } }), [
      'spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item',
      'spec.matchConstraints.resourceRules: Required value',
      'spec.validations: Required value: validations or auditAnnotations must contain at least one item',
    ]);
  });

  test('a binding says one thing, and no action twice', async () => {
    const selector = { matchLabels: { a: 'b' } };
    const spec = { policyName: 'p', paramRef: { name: 'x', selector }, validationActions: ['Deny', 'Warn'] };
    assert.deepEqual(await findings(`${POLICIES.slice(0, -3)}ybindings`, { metadata: { name: 'b' }, spec }), [
      'spec.paramRef.name: Forbidden: name and selector are mutually exclusive',
      'spec.paramRef.parameterNotFoundAction: Required value',
      'spec.paramRef.selector: Forbidden: name and selector are mutually exclusive',
      'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
    ]);
  });
});
