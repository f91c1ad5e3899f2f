// Prometheus as Debian builds it with Kubernetes service discovery, in a pod: it asks the API server, with the account that the
// kubelet mounts, what there is to scrape, follows what changes, and scrapes API server, kubelet and pods.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { program as packed, writeImage } from '../../scripts/image-archive.ts';
import { killProcess } from './crash.ts';
import { newerDebian } from './debian-packages.ts';
import { eventually } from './harness.ts';
import { RealCluster, WEB_1 } from './real-cluster.ts';

const MONITORING = 'monitoring';
const IMAGE = 'docker.io/library/prometheus:1';
const GENEROUS_MS = 90_000;
const MOUNTED = '/var/run/secrets/kubernetes.io/serviceaccount';

const found = await newerDebian();
const skip = 'missing' in found ? found.missing : false;

let cluster: RealCluster;

interface Target {
  readonly health: string;
  readonly lastError: string;
  readonly scrapeUrl: string;
  readonly labels: Readonly<Record<string, string>>;
}

describe('Prometheus with Kubernetes service discovery', { skip }, () => {
  before(async () => {
    cluster = await RealCluster.start('prometheus');
    const image = join(cluster.directory, 'prometheus.tar');
    const program = join('bin' in found ? found.bin : '', 'prometheus');
    writeImage({ files: (root) => packed(root, program), config: { Entrypoint: [program] } }, IMAGE, image);
    await cluster.tsukube(['image', 'load', image]);
    await cluster.kubectl(['create', 'namespace', MONITORING]);
    await cluster.apply(...account(), ...web(2), ...prometheus());
    await cluster.rolledOut('web');
    await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/prometheus', '-n', MONITORING, '--timeout=120s']);
  });
  after(() => cluster?.stop());

  test('API server, kubelet and pods are found and scraped', async () => {
    const [server] = await scraped('apiserver', 1);
    const [node] = await scraped('node', 1);
    await scraped('node-through-api', 1);
    await scraped('endpointslice', 2);
    const pods = await scraped('pod', 2);
    assert.match(server!.scrapeUrl, /^https:.*:7443\/metrics$/);
    assert.equal(node!.labels.os, 'linux');
    assert.equal(node!.labels.instance, await cluster.field('nodes', '{.items[0].metadata.name}'));
    assert.deepEqual(pods.map(({ labels }) => labels.pod).sort(), (await cluster.pods('app=web')).sort());
    assert.deepEqual(await values('count(demo_value{job="pod",namespace="default",app="web"} == 42)'), [2]);
    const [requests = 0] = await values('sum(apiserver_request_total{job="apiserver"})');
    assert.ok(requests > 0);
    assert.deepEqual(
      await values('count(kubelet_running_pods{job=~"node.*"})'),
      [2],
      'the kubelet, directly and through the API server',
    );
  });

  test('it follows what changes, also after the API server was killed', async () => {
    await cluster.kubectl(['scale', 'deployment/web', '--replicas=3']);
    await scraped('pod', 3);
    await scraped('endpointslice', 3);
    await killProcess(cluster, 'server');
    await eventually('the API server is back', async () => {
      return (await cluster.kubectlRun(['get', '--raw', '/readyz'])).code === 0;
    });
    await cluster.kubectl(['scale', 'deployment/web', '--replicas=1']);
    await scraped('pod', 1);
    await scraped('endpointslice', 1);
    await scraped('apiserver', 1);
  });

  test('without the right to them, metrics are refused', async () => {
    await cluster.kubectl(['delete', 'clusterrolebinding', 'prometheus']);
    // The kubelet itself, as upstream's, goes on for minutes by the answer that it has had.
    for (const job of ['apiserver', 'node-through-api']) {
      await eventually(
        `${job} is refused`,
        async () => {
          const [target] = await targets(job);
          return target?.health === 'down' && /HTTP status 403 Forbidden/.test(target.lastError);
        },
        GENEROUS_MS,
      );
    }
  });

  test('when it is gone, nothing of the cluster is left', () => cluster.downLeavesNothing());
});

/** Asks Prometheus through the API server's proxy. */
async function ask<T>(path: string): Promise<T> {
  const proxy = `/api/v1/namespaces/${MONITORING}/pods/prometheus:9090/proxy`;
  const { data } = JSON.parse(await cluster.kubectl(['get', '--raw', `${proxy}/api/v1/${path}`])) as { data: T };
  return data;
}

async function targets(job: string): Promise<readonly Target[]> {
  const { activeTargets } = await ask<{ activeTargets: readonly Target[] }>(`targets?state=active&scrapePool=${job}`);
  return activeTargets;
}

async function values(query: string): Promise<number[]> {
  const answer = await ask<{ result: readonly { readonly value: readonly [number, string] }[] }>(
    `query?query=${encodeURIComponent(query)}`,
  );
  return answer.result.map(({ value: [, value] }) => Number(value));
}

/** Waits until there are this many targets of a job, and all are scraped. */
function scraped(job: string, count: number): Promise<readonly Target[]> {
  const check = async (): Promise<readonly Target[]> => {
    const all = await targets(job);
    const wrong = all.filter(({ health }) => health !== 'up');
    assert.deepEqual(
      wrong.map(({ scrapeUrl, lastError }) => [scrapeUrl, lastError]),
      [],
    );
    assert.equal(all.length, count);
    return all;
  };
  return eventually(`${count} of ${job} are scraped`, check, GENEROUS_MS);
}

/** A job for each kind of thing that is found, written as in Prometheus' own example for Kubernetes. */
function scrapeConfigs(): object[] {
  const secure = {
    scheme: 'https',
    authorization: { credentials_file: `${MOUNTED}/token` },
    tls_config: { ca_file: `${MOUNTED}/ca.crt` },
  };
  const find = (role: string, ...relabel: readonly object[]): object => ({
    kubernetes_sd_configs: [{ role }],
    relabel_configs: relabel,
  });
  const keep = (regex: string, ...labels: readonly string[]): object => ({
    action: 'keep',
    regex,
    source_labels: labels.map((label) => `__meta_kubernetes_${label}`),
  });
  const labelled = (kind: string): object => ({ action: 'labelmap', regex: `__meta_kubernetes_${kind}_label_(.+)` });
  const named = (target: string, from: string): object => ({
    source_labels: [`__meta_kubernetes_${from}`],
    target_label: target,
  });
  const nodeOs = { ...named('os', 'node_label_kubernetes_io_os') };
  return [
    {
      job_name: 'apiserver',
      ...secure,
      ...find('endpoints', keep('default;kubernetes;https', 'namespace', 'service_name', 'endpoint_port_name')),
    },
    { job_name: 'node', ...secure, ...find('node', nodeOs) },
    {
      job_name: 'node-through-api',
      ...secure,
      ...find(
        'node',
        { target_label: '__address__', replacement: 'kubernetes.default.svc:443' },
        { ...named('__metrics_path__', 'node_name'), replacement: '/api/v1/nodes/$1/proxy/metrics' },
      ),
    },
    {
      job_name: 'pod',
      ...find(
        'pod',
        keep('true', 'pod_annotation_prometheus_io_scrape'),
        keep('Running', 'pod_phase'),
        labelled('pod'),
        named('namespace', 'namespace'),
        named('pod', 'pod_name'),
      ),
    },
    {
      job_name: 'endpointslice',
      ...find('endpointslice', keep('default;web', 'namespace', 'service_name'), named('pod', 'pod_name')),
    },
  ];
}

function prometheus(): object[] {
  const configuration = { global: { scrape_interval: '1s', scrape_timeout: '1s' }, scrape_configs: scrapeConfigs() };
  const metadata = { name: 'prometheus', namespace: MONITORING };
  const container = {
    name: 'prometheus',
    image: IMAGE,
    args: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/data'],
    ports: [{ containerPort: 9090 }],
    readinessProbe: { httpGet: { path: '/-/ready', port: 9090 }, periodSeconds: 1 },
    securityContext: { runAsUser: 65534, readOnlyRootFilesystem: true },
    volumeMounts: [
      { name: 'configuration', mountPath: '/etc/prometheus' },
      { name: 'data', mountPath: '/data' },
    ],
  };
  const volumes = [
    { name: 'configuration', configMap: { name: 'prometheus' } },
    { name: 'data', emptyDir: {} },
  ];
  const securityContext = { fsGroup: 65534 };
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'prometheus.yml': JSON.stringify(configuration) } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { serviceAccountName: 'prometheus', securityContext, containers: [container], volumes },
    },
  ];
}

/** An account that may find things and read their metrics. */
function account(): object[] {
  const metadata = { name: 'prometheus' };
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
  const read = ['get', 'list', 'watch'];
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, namespace: MONITORING } },
    {
      ...rbac,
      kind: 'ClusterRole',
      metadata,
      rules: [
        { apiGroups: [''], resources: ['nodes', 'services', 'endpoints', 'pods'], verbs: read },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: read },
        { apiGroups: [''], resources: ['nodes/metrics', 'nodes/proxy'], verbs: ['get'] },
        { nonResourceURLs: ['/metrics'], verbs: ['get'] },
      ],
    },
    {
      ...rbac,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'prometheus' },
      subjects: [{ kind: 'ServiceAccount', name: 'prometheus', namespace: MONITORING }],
    },
  ];
}

/** A web server with a metric to scrape, and a Service. */
function web(replicas: number): object[] {
  const metadata = { name: 'web' };
  const labels = { app: 'web' };
  const container = {
    name: 'web',
    image: WEB_1,
    ports: [{ containerPort: 80, name: 'http' }],
    volumeMounts: [{ name: 'metrics', mountPath: '/www/metrics', subPath: 'metrics' }],
  };
  const spec = { containers: [container], volumes: [{ name: 'metrics', configMap: { name: 'web' } }] };
  const annotations = { 'prometheus.io/scrape': 'true' };
  const service = { selector: labels, ports: [{ port: 80, name: 'http' }] };
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { metrics: '# TYPE demo_value gauge\ndemo_value 42\n' } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels, annotations }, spec } },
    },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: service },
  ];
}
