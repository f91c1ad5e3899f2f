// kubectl's server-side apply, and its way over from client-side apply, against an embedded cluster.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Deployment } from '../../src/api/generated/types.ts';
import { type EmbeddedCluster, startCluster } from '../../src/index.ts';
import { eventually, kubectlPath, must, type Output, run } from './harness.ts';

let cluster: EmbeddedCluster;
let directory: string;
let env: { KUBECONFIG: string };

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsukube-apply-'));
  cluster = await startCluster({ nodes: 1, name: 'apply' });
  env = { KUBECONFIG: join(directory, 'kubeconfig') };
  await writeFile(env.KUBECONFIG, cluster.kubeconfig);
});
after(async () => {
  await cluster?.dispose();
  if (directory) await rm(directory, { recursive: true, force: true });
});

const kubectl = (args: readonly string[], input?: string): Promise<string> =>
  must(kubectlPath(), args, { env, ...(input !== undefined && { input }) });
const attempt = (args: readonly string[], input: string): Promise<Output> => run(kubectlPath(), args, { env, input });

const SERVER_SIDE = ['apply', '--server-side', '-f', '-'];

const deployment = (name: string, lines: { readonly replicas?: number; readonly image?: string } = {}): string => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
spec:${lines.replicas === undefined ? '' : `\n  replicas: ${lines.replicas}`}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      containers:
      - name: web
        image: ${lines.image ?? 'example.com/web:1'}
        ports:
        - containerPort: 80
`;

async function read(name: string): Promise<Deployment> {
  return JSON.parse(await kubectl(['get', 'deployment', name, '-o', 'json', '--show-managed-fields'])) as Deployment;
}

const managers = ({ metadata }: Deployment): string[] =>
  (metadata.managedFields ?? [])
    .map(({ manager, operation, subresource }) => [manager, operation, subresource].filter(Boolean).join(' '))
    .sort();

describe('kubectl apply --server-side', () => {
  test('makes, changes, and leaves alone', async () => {
    assert.equal(
      await kubectl(SERVER_SIDE, deployment('web', { replicas: 2 })),
      'deployment.apps/web serverside-applied',
    );
    await kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']);
    const first = await read('web');
    assert.deepEqual(managers(first), [
      'kube-controller-manager Update',
      'kube-controller-manager Update status',
      'kubectl Apply',
    ]);
    await kubectl(SERVER_SIDE, deployment('web', { replicas: 2 }));
    assert.deepEqual(await read('web'), first);
    await kubectl(SERVER_SIDE, deployment('web', { replicas: 2, image: 'example.com/web:2' }));
    await kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s']);
    assert.equal((await read('web')).spec.template.spec?.containers[0]?.image, 'example.com/web:2');
  });

  test('is told of conflicts, and forces them', async () => {
    await kubectl(SERVER_SIDE, deployment('shared', { replicas: 1 }));
    const args = [...SERVER_SIDE, '--field-manager=other'];
    const { code, stderr } = await attempt(args, deployment('shared', { replicas: 3 }));
    assert.equal(code, 1);
    assert.match(stderr, /Apply failed with 1 conflict: conflict with "kubectl": \.spec\.replicas/);
    assert.match(stderr, /Please review the fields above--they currently have other managers/);
    await kubectl([...args, '--force-conflicts'], deployment('shared', { replicas: 3 }));
    const forced = await read('shared');
    assert.equal(forced.spec.replicas, 3);
    assert.ok(managers(forced).includes('other Apply'));
    // The diff is what the server would make of it.
    const diff = await attempt(
      ['diff', '--server-side', '--field-manager=other', '-f', '-'],
      deployment('shared', { replicas: 4 }),
    );
    assert.equal(diff.code, 1, diff.stderr);
    assert.match(diff.stdout, /-\s+replicas: 3\n\+\s+replicas: 4/);
  });

  test('after kubectl scale leaves the number to who scaled', async () => {
    await kubectl(SERVER_SIDE, deployment('scaled', { replicas: 1 }));
    await kubectl(['scale', 'deployment/scaled', '--replicas=3']);
    await kubectl(SERVER_SIDE, deployment('scaled', { image: 'example.com/web:2' }));
    const scaled = await read('scaled');
    assert.equal(scaled.spec.replicas, 3);
    assert.ok(managers(scaled).includes('kubectl Update scale'), managers(scaled).join());
    const { stderr } = await attempt(SERVER_SIDE, deployment('scaled', { replicas: 1 }));
    assert.match(stderr, /conflict with "kubectl" with subresource "scale" using apps\/v1: \.spec\.replicas/);
  });

  test('takes over what was applied on the client side', async () => {
    await kubectl(['apply', '-f', '-'], deployment('old', { replicas: 1 }));
    assert.ok(managers(await read('old')).includes('kubectl-client-side-apply Update'));
    await kubectl(SERVER_SIDE, deployment('old', { replicas: 2 }));
    const taken = await read('old');
    assert.equal(taken.spec.replicas, 2);
    assert.ok(managers(taken).includes('kubectl Apply'), managers(taken).join());
    assert.ok(!managers(taken).includes('kubectl-client-side-apply Update'), managers(taken).join());
    const text = taken.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '';
    assert.equal((JSON.parse(text) as Deployment).spec.replicas, 2);
    // And back: the client side finds what the server side wrote down.
    await kubectl(['apply', '-f', '-'], deployment('old', { replicas: 2, image: 'example.com/web:3' }));
    assert.equal((await read('old')).spec.template.spec?.containers[0]?.image, 'example.com/web:3');
  });

  test('shows managed fields only to who asks', async () => {
    await kubectl(SERVER_SIDE, deployment('shown'));
    assert.doesNotMatch(await kubectl(['get', 'deployment', 'shown', '-o', 'yaml']), /managedFields/);
    assert.match(
      await kubectl(['get', 'deployment', 'shown', '-o', 'yaml', '--show-managed-fields']),
      /managedFields:/,
    );
  });

  test('refuses fields that there are not', async () => {
    const wrong = await attempt(SERVER_SIDE, deployment('wrong').replace('spec:', 'spec:\n  nonsense: 1'));
    assert.match(
      wrong.stderr,
      /failed to create typed patch object \(default\/wrong; apps\/v1, Kind=Deployment\): \.spec\.nonsense: field not declared in schema/,
    );
  });

  test('of custom resources goes by their schema', async () => {
    const schema = {
      type: 'object',
      properties: {
        spec: {
          type: 'object',
          properties: {
            steps: {
              type: 'array',
              items: {
                type: 'object',
                properties: { name: { type: 'string' }, image: { type: 'string' } },
                required: ['name'],
              },
              'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['name'],
            },
            free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          },
        },
      },
    };
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'plans.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'plans', kind: 'Plan' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
      },
    };
    await kubectl(SERVER_SIDE, JSON.stringify(definition));
    await kubectl(['wait', 'crd/plans.example.com', '--for=condition=Established', '--timeout=60s']);
    const plan = (spec: object): string =>
      JSON.stringify({ apiVersion: 'example.com/v1', kind: 'Plan', metadata: { name: 'p' }, spec });
    await eventually('plans are served', async () => (await attempt(['get', 'plans'], '')).code === 0);
    await kubectl(
      [...SERVER_SIDE, '--field-manager=one'],
      plan({ steps: [{ name: 'a', image: '1' }], free: { x: { y: 1 } } }),
    );
    await kubectl(
      [...SERVER_SIDE, '--field-manager=two'],
      plan({ steps: [{ name: 'b', image: '1' }], free: { z: [1] } }),
    );
    const both = JSON.parse(await kubectl(['get', 'plan', 'p', '-o', 'json', '--show-managed-fields'])) as Deployment;
    assert.deepEqual(both.spec as unknown, {
      free: { x: { y: 1 }, z: [1] },
      steps: [
        { name: 'a', image: '1' },
        { name: 'b', image: '1' },
      ],
    });
    const [one] = both.metadata.managedFields!;
    assert.deepEqual(one?.fieldsV1, {
      'f:spec': {
        'f:free': { 'f:x': { '.': {}, 'f:y': {} } },
        'f:steps': { 'k:{"name":"a"}': { '.': {}, 'f:image': {}, 'f:name': {} } },
      },
    });
    const { stderr } = await attempt(
      [...SERVER_SIDE, '--field-manager=two'],
      plan({ steps: [{ name: 'a', image: '2' }] }),
    );
    assert.match(stderr, /conflict with "one": \.spec\.steps\[name="a"\]\.image/);
    const unknown = await attempt(SERVER_SIDE, plan({ nonsense: 1 }));
    assert.match(unknown.stderr, /\.spec\.nonsense: field not declared in schema/);
    // Client-side too: kubectl reads in the OpenAPI document which patches are taken, and merges.
    const named = (name: string, image: string): string =>
      plan({ steps: [{ name: 'a', image }] }).replace('"p"', JSON.stringify(name));
    const apply = ['apply', '--cache-dir', join(directory, 'cache'), '-f', '-'];
    assert.equal(await kubectl(apply, named('q', '1')), 'plan.example.com/q created');
    assert.equal(await kubectl(apply, named('q', '2')), 'plan.example.com/q configured');
  });
});
