// MutatingAdmissionPolicy as clients meet it.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  deployment,
  type Json,
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
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments?dryRun=All';
const MAPS = '/api/v1/namespaces/default/configmaps?dryRun=All';
const map = (name: string, data: object = {}): object => ({ metadata: { name }, data });

beforeEach(() => removePolicies(ask));

const apply = (expression: string): object => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } });
const patch = (expression: string): object => ({ patchType: 'JSONPatch', jsonPatch: { expression } });
const mutate = (name: string, mutations: object[], more: object = {}, binding?: object): Promise<void> =>
  policy(
    ask,
    'mutating',
    name,
    { matchConstraints: rule('configmaps'), reinvocationPolicy: 'Never', mutations, ...more },
    binding,
  );

async function created(path: string, body: object): Promise<Json> {
  const { status, json } = await ask('POST', path, body);
  assert.equal(status, 201, json.message);
  return json;
}

describe('what a policy changes', () => {
  test('a Deployment’s annotations, and its containers by their names', async () => {
    const annotations = "Object{metadata: Object.metadata{annotations: {'mutated-by': 'admission-policy'}}}";
    const containers = `Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
      containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{
        name: c.name, // the key
        env: [Object.spec.template.spec.containers.env{name: 'A', value: c.image}]
      })}}}}`;
    await mutate('p', [apply(annotations), apply(containers)], { matchConstraints: rule('deployments') });
    const made = await created(DEPLOYMENTS, deployment('d', 2, { annotations: { own: 'kept' } }));
    assert.deepEqual(made.metadata.annotations, { own: 'kept', 'mutated-by': 'admission-policy' });
    const found = made.spec.template.spec.containers.map(({ name, image, env }: Json) => [name, image, env]);
    assert.deepEqual(found, [
      ['web', 'nginx:1', [{ name: 'A', value: 'nginx:1' }]],
      ['side', 'side:1', [{ name: 'A', value: 'side:1' }]],
    ]);
  });

  test('by JSON patch, with values of every kind; a test that fails leaves it as it is', async () => {
    await mutate(
      'p',
      [
        patch(
          "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'b'}}, JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('x/y'), value: 'z'}]",
        ),
        patch("[JSONPatch{op: 'test', path: '/data/a', value: 'no'}, JSONPatch{op: 'remove', path: '/data/a'}]"),
      ],
      { matchConditions: [{ name: 'some', expression: "object.metadata.name != 'spared'" }] },
    );
    // A key with a slash is none of a ConfigMap: it is validated as if the client had sent it.
    assert.match((await ask('POST', MAPS, map('m', { a: '1' }))).json.message, /data\[x\/y\]: Invalid value/);
    assert.deepEqual((await created(MAPS, map('spared', { a: '1' }))).data, { a: '1' });
    await removePolicies(ask);
    await mutate('p', [
      patch(
        "[JSONPatch{op: 'test', path: '/data/a', value: '1'}, JSONPatch{op: 'move', from: '/data/a', path: '/data/b'}]",
      ),
    ]);
    assert.deepEqual((await created(MAPS, map('m', { a: '1' }))).data, { b: '1' });
    assert.deepEqual((await created(MAPS, map('m', { a: '2' }))).data, { a: '2' });
  });

  test('with variables, parameters and the request; each sees what those before it made', async () => {
    const CONFIG = '/api/v1/namespaces/default/configmaps';
    await ask('POST', CONFIG, map('params', { suffix: '!' }));
    const more = {
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      variables: [{ name: 'who', expression: 'request.userInfo.username + params.data.suffix' }],
    };
    const paramRef = { name: 'params', parameterNotFoundAction: 'Deny' };
    await mutate('a', [apply("Object{data: {'who': variables.who}}")], more, { paramRef });
    await mutate('b', [
      apply("Object{data: {'seen': object.data.who}}"),
      patch("[JSONPatch{op: 'copy', from: '/data/seen', path: '/data/again'}]"),
    ]);
    assert.deepEqual((await created(MAPS, map('m'))).data, { who: 'admin!', seen: 'admin!', again: 'admin!' });
    await ask('DELETE', `${CONFIG}/params`);
  });

  test('in another version of the resource, with defaults', async () => {
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
    await mutate('p', [apply('Object{spec: Object.spec{minReplicas: 2}}')], { matchConstraints: named });
    const old = {
      metadata: { name: 'h' },
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'd' }, maxReplicas: 3, targetCPUUtilizationPercentage: 50 },
    };
    const made = await created('/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers?dryRun=All', old);
    assert.deepEqual(
      [made.apiVersion, made.spec.minReplicas, made.spec.targetCPUUtilizationPercentage],
      ['autoscaling/v1', 2, 50],
    );
  });

  test('before webhooks and validating policies look at it', async () => {
    await mutate('p', [apply("Object{data: {'a': 'b'}}")]);
    await policy(ask, 'validating', 'v', {
      matchConstraints: rule('configmaps'),
      validations: [{ expression: "object.data.a == 'b'" }],
    });
    assert.deepEqual((await created(MAPS, map('m'))).data, { a: 'b' });
  });
});

describe('policies asked again', () => {
  const count = "Object{data: {'n': has(object.data.n) ? string(int(object.data.n) + 1) : '1'}}";
  const later = patch("[JSONPatch{op: 'add', path: '/data/later', value: has(object.data.later) ? 'twice' : 'once'}]");

  test('one that wants to be, once, when a later one changed the object', async () => {
    await mutate('a', [apply(count)], { reinvocationPolicy: 'IfNeeded' });
    await mutate('b', [later]);
    assert.deepEqual((await created(MAPS, map('m', { x: 'y' }))).data, { n: '2', later: 'once', x: 'y' });
  });

  test('not one that does not want to; one that does for its own change too, as upstream', async () => {
    await mutate('a', [apply(count)]);
    await mutate('b', [later]);
    assert.deepEqual((await created(MAPS, map('m', { x: 'y' }))).data, { n: '1', later: 'once', x: 'y' });
    await removePolicies(ask);
    await mutate('a', [later]);
    await mutate('b', [apply(count)], { reinvocationPolicy: 'IfNeeded' });
    assert.deepEqual((await created(MAPS, map('m', { x: 'y' }))).data, { n: '2', later: 'once', x: 'y' });
  });
});

describe('what goes wrong', () => {
  const refused = async (path: string, body: object): Promise<Json> => {
    const { status, json } = await ask('POST', path, body);
    assert.equal(status, 403);
    assert.equal(json.reason, 'Invalid');
    return json.message;
  };
  const by = (what: string): string => `policy 'p' with binding 'p-binding' denied request: ${what}`;

  test('atomic lists may not be mutated, nor fields that there are not, nor may names mislead', async () => {
    const cases = [
      [
        "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'web', command: ['sh']}]}}}}",
        'error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].command',
      ],
      [
        'Object{spec: Object.spec{nope: 1}}',
        'error applying patch: failed to convert patch object to typed object: .spec.nope: field not declared in schema',
      ],
      [
        'Object{spec: Object.status{replicas: 1}}',
        'type mismatch: unexpected type name "Object.status", expected "Object.spec", which matches field name path from root Object type',
      ],
      [
        'Object{spec: Object.spec{replicas: object.spec.nope}}',
        "expression 'Object{spec: Object.spec{replicas: object.spec.nope}}' resulted in error: no such key: nope",
      ],
    ];
    for (const [expression, why] of cases) {
      await removePolicies(ask);
      await mutate('p', [apply(expression!)], { matchConstraints: rule('deployments') });
      assert.equal(await refused(DEPLOYMENTS, deployment('d', 1)), by(why!));
    }
  });

  test('failurePolicy Ignore passes over what goes wrong, and keeps what went right', async () => {
    await mutate('p', [apply("Object{data: {'a': object.nope}}"), apply("Object{data: {'b': 'c'}}")], {
      failurePolicy: 'Ignore',
    });
    assert.deepEqual((await created(MAPS, map('m'))).data, { b: 'c' });
  });

  test('what cannot be a policy is refused', async () => {
    const path = '/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies?dryRun=All';
    const spec = {
      matchConstraints: rule('configmaps', { operations: ['DELETE'] }),
      mutations: [apply('1'), patch('Object{}'), { patchType: 'JSONPatch' }, { patchType: 'Other' }],
      variables: [{ name: 'in', expression: 'x' }],
    };
    const { status, json } = await ask('POST', path, { metadata: { name: 'p' }, spec });
    assert.equal(status, 422);
    const found = json.details.causes.map(({ field, message }: Json) => `${field}: ${message.split('\n')[0]}`).sort();
    assert.deepEqual(found, [
      'spec.matchConstraints.resourceRules[0].operations[0]: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"',
      'spec.mutations[0].applyConfiguration.expression: Invalid value: "1": must evaluate to Object but got int',
      'spec.mutations[1].jsonPatch.expression: Invalid value: "Object{}": must evaluate to list(JSONPatch) but got Object',
      'spec.mutations[2].jsonPatch: Required value: must be specified when patchType is JSONPatch',
      'spec.mutations[3].patchType: Unsupported value: "Other": supported values: "ApplyConfiguration", "JSONPatch"',
      'spec.reinvocationPolicy: Required value',
      `spec.variables[0].expression: Invalid value: "x": compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in container '')`,
      'spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier',
    ]);
  });
});

test('what is asked of a connection is changed before it is judged', async () => {
  const exec = rule('pods', { operations: ['CONNECT'], resources: ['pods/exec'] });
  await mutate('p', [patch("[JSONPatch{op: 'replace', path: '/command', value: ['safe'] + object.command}]")], {
    matchConstraints: exec,
  });
  await policy(ask, 'validating', 'v', {
    matchConstraints: exec,
    validations: [{ expression: 'false', messageExpression: "object.kind + ' ' + object.command.join(' ')" }],
  });
  const refused = await ask('POST', '/api/v1/namespaces/default/pods/x/exec?command=ls&command=-l&stdout=true');
  assert.match(refused.json.message, /denied request: PodExecOptions safe ls -l$/);
});
