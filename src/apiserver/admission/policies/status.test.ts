// The status of ValidatingAdmissionPolicies: what type checking says of their expressions.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '../../../lib/test-until.ts';
import { type Json, type PolicyServer, rule, startPolicyServer } from './test-server.ts';

let server: PolicyServer;
before(async () => {
  server = await startPolicyServer();
});
after(() => server.close());

const ask: PolicyServer['ask'] = (...args) => server.ask(...args);
const POLICIES = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';

async function statusOf(name: string, generation: number): Promise<Json> {
  let found: Json;
  await until(`the status of generation ${generation}`, async () => {
    found = (await ask('GET', `${POLICIES}/${name}`)).json.status;
    return found?.observedGeneration === generation;
  });
  return found;
}

test('warnings for each expression that does not fit the types, by the controller, for the present generation', async () => {
  const spec = {
    matchConstraints: rule('deployments'),
    variables: [{ name: 'containers', expression: 'object.spec.template.spec.containers' }],
    validations: [
      { expression: 'object.spec.replicas > 1 && object.spec.template.spec.securityContext == null' },
      { expression: "object.spec.replicas > 1 && object.nope == 'x'", messageExpression: "'a' + object.spec.replica" },
      { expression: "variables.containers.all(c, c.image.startsWith('a') && c.imag == 'b')" },
    ],
  };
  const made = await ask('POST', POLICIES, { metadata: { name: 'p' }, spec });
  assert.equal(made.status, 201, made.json.message);
  const { typeChecking } = await statusOf('p', 1);
  const warnings = typeChecking.expressionWarnings.map(({ fieldRef, warning }: Json) => [
    fieldRef,
    warning.split('\n')[0],
  ]);
  assert.deepEqual(warnings, [
    ['spec.validations[1].expression', "apps/v1, Kind=Deployment: ERROR: <input>:1:35: undefined field 'nope'"],
    [
      'spec.validations[1].messageExpression',
      "apps/v1, Kind=Deployment: ERROR: <input>:1:18: undefined field 'replica'",
    ],
    ['spec.validations[2].expression', "apps/v1, Kind=Deployment: ERROR: <input>:1:57: undefined field 'imag'"],
  ]);
  const mended = { spec: { validations: [{ expression: 'object.spec.replicas > 1' }] } };
  await ask('PATCH', `${POLICIES}/p`, mended, { type: 'application/merge-patch+json' });
  assert.equal((await statusOf('p', 2)).typeChecking?.expressionWarnings, undefined);
  const { managedFields } = (await ask('GET', `${POLICIES}/p`)).json.metadata;
  const managers = managedFields.filter((one: Json) => one.subresource === 'status').map((one: Json) => one.manager);
  assert.deepEqual(managers, ['validatingadmissionpolicy-status-controller']);
});

test('types of custom resources, and of parameters', async () => {
  const schema = {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: { size: { type: 'integer' }, words: { type: 'array', items: { type: 'string' } } },
      },
    },
  };
  const names = { plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList' };
  const versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }];
  const definition = {
    metadata: { name: 'things.example.com' },
    spec: { group: 'example.com', scope: 'Namespaced', names, versions },
  };
  assert.equal((await ask('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition)).status, 201);
  await until('the custom resource is served', async () => (await ask('GET', '/apis/example.com/v1')).status === 200);
  const spec = {
    paramKind: { apiVersion: 'example.com/v1', kind: 'Thing' },
    matchConstraints: rule('things', { apiGroups: ['example.com'] }),
    validations: [
      {
        expression:
          "object.spec.size <= params.spec.size && object.spec.words.size() == 0 && object.metadata.name != ''",
      },
      { expression: 'object.spec.size == params.spec.sizes' },
    ],
  };
  const made = await ask('POST', POLICIES, { metadata: { name: 'custom' }, spec });
  assert.equal(made.status, 201, made.json.message);
  const { typeChecking } = await statusOf('custom', 1);
  assert.deepEqual(
    typeChecking.expressionWarnings.map(({ fieldRef, warning }: Json) => [fieldRef, warning.split('\n')[0]]),
    [['spec.validations[1].expression', "example.com/v1, Kind=Thing: ERROR: <input>:1:32: undefined field 'sizes'"]],
  );
});
