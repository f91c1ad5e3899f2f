// The operations that are measured, and the objects that must be there for them.
import type { Access, Contestant } from './contestant.ts';
import { call, clientCertificate } from './contestant.ts';
import type { Protocol, RequestLoad, WatchLoad } from './protocol.ts';

export interface Operation {
  readonly name: string;
  readonly protocol: Protocol;
  readonly load: RequestLoad | WatchLoad;
  /** A list's size is so large that what is half sent at the borders of the measured time would count. */
  readonly countBytesPer?: 'list';
}

const CONCURRENCY = 64;
const WATCHERS = 200;
const PODS = 1000;
/** As much as a usual pod's JSON. */
const POD_BYTES = 2900;
const PADDING = 'x'.repeat(750);

const CONFIG_MAPS = '/api/v1/namespaces/bench/configmaps';
const PODS_PATH = '/api/v1/namespaces/bench/pods';

export function operations(protocols: readonly Protocol[]): readonly Operation[] {
  return protocols.flatMap((protocol) =>
    LOADS.map(([name, load]) => ({
      name,
      protocol,
      load,
      ...(name.startsWith('LIST') && { countBytesPer: 'list' as const }),
    })),
  );
}

const LOADS: readonly (readonly [string, RequestLoad | WatchLoad])[] = [
  ['GET pod', { kind: 'requests', method: 'GET', path: `${PODS_PATH}/pod-0`, concurrency: CONCURRENCY }],
  ['LIST 1,000 pods, consistent', { kind: 'requests', method: 'GET', path: PODS_PATH, concurrency: CONCURRENCY }],
  [
    'LIST 1,000 pods, resourceVersion=0',
    { kind: 'requests', method: 'GET', path: `${PODS_PATH}?resourceVersion=0`, concurrency: CONCURRENCY },
  ],
  [
    'CREATE configmap (1 KB)',
    {
      kind: 'requests',
      method: 'POST',
      path: CONFIG_MAPS,
      body: JSON.stringify(configMap('created-{n}')),
      contentType: 'application/json',
      concurrency: CONCURRENCY,
    },
  ],
  [
    'PATCH configmap (merge)',
    {
      kind: 'requests',
      method: 'PATCH',
      path: `${CONFIG_MAPS}/patched-{lane}`,
      body: '{"data":{"counter":"{n}"}}',
      contentType: 'application/merge-patch+json',
      concurrency: CONCURRENCY,
    },
  ],
  [
    'CREATE pod',
    {
      kind: 'requests',
      method: 'POST',
      path: '/api/v1/namespaces/bench-pods/pods',
      body: JSON.stringify(pod('created-{n}', 0)),
      contentType: 'application/json',
      concurrency: CONCURRENCY,
    },
  ],
  ...[1, 8].map((writers): readonly [string, WatchLoad] => [
    `WATCH, ${WATCHERS} watchers, ${writers === 1 ? 'one writer' : `${writers} writers`}: an event`,
    {
      kind: 'watch',
      watchPath: '/api/v1/namespaces/bench-watch/configmaps?watch=1&resourceVersion=0',
      path: '/api/v1/namespaces/bench-watch/configmaps/patched-{lane}',
      watchers: WATCHERS,
      writers,
    },
  ]),
];

function configMap(name: string): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { padding: PADDING } };
}

/** A pod that no scheduler takes up: its writes are its own only. */
function pod(name: string, paddingBytes: number): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      labels: { app: 'bench', tier: 'backend' },
      ...(paddingBytes > 0 && { annotations: { padding: 'x'.repeat(paddingBytes) } }),
    },
    spec: {
      schedulerName: 'nobody',
      containers: [
        {
          name: 'main',
          image: 'registry.example/bench/main:1.0',
          ports: [{ name: 'http', containerPort: 8080 }],
          env: [{ name: 'MODE', value: 'bench' }],
          resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        },
      ],
    },
  };
}

/** Makes the user that the load acts as, and the objects that it reads. Returns the user's access. */
export async function prepareObjects(contestant: Contestant): Promise<Access> {
  const { port, pki } = contestant;
  const ca = pki.ca.certificate;
  const admin: Access = { port, ca, ...clientCertificate(pki, 'bench-admin', ['system:masters']) };
  const create = async (path: string, object: object): Promise<string> => {
    const { status, body } = await call(admin, 'POST', path, object);
    if (status !== 201) throw new Error(`${contestant.name}: POST ${path} was answered with ${status}: ${body}`);
    return body;
  };
  // Through RBAC, not past it as a member of system:masters.
  await create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'bench' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'bench' }],
  });
  for (const name of ['bench', 'bench-pods', 'bench-watch']) {
    await create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    await serviceAccountIn(admin, name);
  }
  const plain = await create(PODS_PATH, pod('measured', 1));
  const padding = Math.max(1, POD_BYTES - Buffer.byteLength(plain));
  await inParallel(PODS, (i) => create(PODS_PATH, pod(`pod-${i}`, padding)));
  await call(admin, 'DELETE', `${PODS_PATH}/measured?gracePeriodSeconds=0`);
  await inParallel(CONCURRENCY, (i) => create(CONFIG_MAPS, configMap(`patched-${i}`)));
  await inParallel(8, (i) => create('/api/v1/namespaces/bench-watch/configmaps', configMap(`patched-${i}`)));
  return { port, ca, ...clientCertificate(pki, 'bench') };
}

/** Pods are admitted once the controllers have made the namespace's account. */
async function serviceAccountIn(admin: Access, namespace: string): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
  for (let tries = 0; (await call(admin, 'GET', path)).status !== 200; tries++) {
    if (tries > 300) throw new Error(`no controller made ${path}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
}

async function inParallel(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
}
