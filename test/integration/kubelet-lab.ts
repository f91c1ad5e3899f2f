// What tests of the kubelet share: containerd, runc and CNI on this machine, an API server in memory, and one kubelet.
import { execFile } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { promisify } from 'node:util';
import type { Pod, PodSpec } from '../../src/api/generated/types.ts';
import { Tables } from '../../src/api/tables.ts';
import { createTokenAuthority } from '../../src/apiserver/auth/service-account-tokens.ts';
import { startCaches } from '../../src/apiserver/cache/cache-set.ts';
import { createRegistry } from '../../src/apiserver/registry/registry.ts';
import { fieldsOf } from '../../src/apiserver/strategies/strategies.ts';
import type { Client } from '../../src/client/contract.ts';
import { recordEvents } from '../../src/client/events.ts';
import { inProcessClient } from '../../src/client/in-process.ts';
import { type ContainerdOptions, removeAllPods, runContainerd, stopContainerd } from '../../src/kubelet/containerd.ts';
import { connectCri } from '../../src/kubelet/cri/client.ts';
import { cleanUpKubelet, type Kubelet, runKubelet } from '../../src/kubelet/kubelet.ts';
import { importImage } from '../../src/kubelet/pause-image.ts';
import { tar } from '../../src/kubelet/tar.ts';
import { sleep } from '../../src/lib/clock.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { openMemoryStore } from '../../src/store/memory.ts';

export const run = promisify(execFile);
export const IMAGE = 'test.local/busybox:1';
export const BRIDGE = 'tsukkubelet0';
export const NODE = 'node-1';
export const env = realEnvironment(process.env.KUBELET_LOG ? 'debug' : 'silent');
const forever = new AbortController();

interface Machine {
  readonly directory: string;
  readonly containerd: ContainerdOptions;
  readonly socket: string;
  readonly client: Client;
  readonly closeStore: () => Promise<void>;
  readonly tls: { key: string; cert: string; clientCa: string; clientKey: string; clientCert: string };
  kubelet: Kubelet;
  stop: AbortController;
}
/** The machine of the file of tests that asked for one. */
export let m: Machine;

/** One machine for all tests of a file; cleared away after them, also when they fail. */
export function useMachine(): void {
  before(setUp);
  after(tearDown);
}

async function setUp(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'kubelet-'));
  const containerd: ContainerdOptions = {
    env,
    rootDir: join(directory, 'containerd'),
    stateDir: join(directory, 'run'),
    configDir: join(directory, 'etc'),
    cniConfDir: join(directory, 'cni'),
    cniBinDir: '/usr/lib/cni',
  };
  m = {
    directory,
    containerd,
    socket: join(directory, 'run', 'containerd.sock'),
    ...(await apiServer()),
    tls: await certificates(directory),
    kubelet: undefined as unknown as Kubelet,
    stop: new AbortController(),
  };
  await writeCni(containerd.cniConfDir, directory);
  await runContainerd(containerd, forever.signal);
  await importBusybox();
  await startKubelet();
  await until('the node is ready', () => m.kubelet.ready);
}

async function tearDown(): Promise<void> {
  m.stop.abort();
  await m.kubelet?.ended;
  const cri = connectCri(m.socket, env.clock);
  const limit = AbortSignal.timeout(180_000);
  try {
    await removeAllPods(cri, limit);
  } finally {
    cri.close();
    forever.abort();
    await stopContainerd(m.containerd, limit);
    await cleanUpKubelet({ rootDir: join(m.directory, 'kubelet'), cgroupRoot: '/tsukube-kubelet-test' });
    await run('ip', ['link', 'del', BRIDGE]).catch(() => undefined);
    const mounts = await readFile('/proc/self/mountinfo', 'utf8');
    for (const line of mounts.split('\n').reverse()) {
      const point = line.split(' ')[4];
      if (point?.startsWith(m.directory)) await run('umount', ['-l', point]).catch(() => undefined);
    }
    await rm(m.directory, { recursive: true, force: true });
    await m.closeStore();
  }
}

async function apiServer(): Promise<Pick<Machine, 'client' | 'closeStore'>> {
  const tables = new Tables();
  const store = openMemoryStore({ clock: env.clock });
  const caches = await startCaches(store, tables, fieldsOf, env, forever.signal);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const nothing = (): undefined => undefined;
  const tokens = createTokenAuthority({
    signingKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    issuer: 'https://kubernetes.default.svc',
    audiences: ['https://kubernetes.default.svc'],
    clock: env.clock,
    random: env.random,
    lookups: { serviceAccount: nothing, pod: nothing, secret: nothing, node: nothing },
  });
  const api = createRegistry({ env, tables, store, caches, tokens });
  const user = { username: 'admin', groups: ['system:masters'] };
  const client = inProcessClient({ api, tables, user, clock: env.clock });
  for (const name of ['default', 'kube-system', 'kube-node-lease']) {
    await client.resource('namespaces').create({ metadata: { name }, spec: {} });
  }
  await client.resource('serviceaccounts').create({ metadata: { name: 'default', namespace: 'default' } });
  const ca = { metadata: { name: 'kube-root-ca.crt', namespace: 'default' }, data: { 'ca.crt': 'the cluster CA' } };
  await client.resource('configmaps').create(ca);
  return { client, closeStore: () => store.close() };
}

export async function startKubelet(): Promise<void> {
  m.stop = new AbortController();
  const events = recordEvents({ client: m.client, env, component: 'kubelet', host: NODE }, m.stop.signal);
  m.kubelet = await runKubelet(
    {
      env,
      client: m.client,
      events,
      nodeName: NODE,
      nodeIPs: ['10.198.7.1'],
      criEndpoint: m.socket,
      rootDir: join(m.directory, 'kubelet'),
      podLogsDir: join(m.directory, 'logs'),
      clusterDns: ['10.96.0.10'],
      clusterDomain: 'cluster.local',
      tls: m.tls,
      port: 0,
      listenAddress: '127.0.0.1',
      cgroupRoot: '/tsukube-kubelet-test',
      version: 'v1.36.0',
    },
    m.stop.signal,
  );
}

async function writeCni(confDir: string, directory: string): Promise<void> {
  const ipam = { type: 'host-local', ranges: [[{ subnet: '10.198.7.0/24' }]], dataDir: join(directory, 'ipam') };
  const bridge = { type: 'bridge', bridge: BRIDGE, isDefaultGateway: true, ipMasq: false, hairpinMode: true, ipam };
  const conf = {
    cniVersion: '0.4.0',
    name: 'test',
    plugins: [bridge, { type: 'portmap', capabilities: { portMappings: true } }],
  };
  await mkdir(confDir, { recursive: true });
  await writeFile(join(confDir, '10-test.conflist'), JSON.stringify(conf));
}

async function importBusybox(): Promise<void> {
  const applets = [
    'sh',
    'sleep',
    'cat',
    'echo',
    'ls',
    'id',
    'nc',
    'wget',
    'httpd',
    'hostname',
    'kill',
    'test',
    'mkdir',
    'touch',
  ];
  const layer = tar([
    { name: 'bin/busybox', content: await readFile('/usr/bin/busybox'), mode: 0o755 },
    ...applets.map((name) => ({ name: `bin/${name}`, content: Buffer.alloc(0), link: 'busybox' })),
    { name: 'tmp/.keep', content: Buffer.alloc(0) },
    { name: 'etc/passwd', content: Buffer.from('root:x:0:0:root:/:/bin/sh\n') },
  ]);
  const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha(layer)}`] },
    }),
  );
  const manifest = [{ Config: `${sha(config)}.json`, RepoTags: [IMAGE], Layers: ['layer.tar'] }];
  const file = join(m.directory, 'busybox.tar');
  const archive = tar([
    { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
    { name: `${sha(config)}.json`, content: config },
    { name: 'layer.tar', content: layer },
  ]);
  await writeFile(file, archive);
  await importImage({ socket: m.socket }, file);
}

/** A registry on this machine that has one image, with these files, layer by layer. Counts how often it is asked for. */
export async function serveImage(
  name: string,
  ...files: readonly { readonly [path: string]: string }[]
): Promise<{ readonly reference: string; readonly pulls: () => number; readonly close: () => Promise<void> }> {
  const layers = files.map((of) =>
    tar(Object.entries(of).map(([path, text]) => ({ name: path, content: Buffer.from(text), mode: 0o755 }))),
  );
  const digest = (data: Buffer): string => `sha256:${createHash('sha256').update(data).digest('hex')}`;
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: layers.map(digest) };
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: {}, rootfs }));
  const described = (mediaType: string, data: Buffer) => ({ mediaType, digest: digest(data), size: data.length });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = Buffer.from(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType },
      config: described('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((layer) => described('application/vnd.oci.image.layer.v1.tar', layer)),
    }),
  );
  const blobs = new Map([config, ...layers, manifest].map((data) => [digest(data), data]));
  let pulls = 0;
  const server = createServer((request, response) => {
    const [, kind, reference = ''] = /^\/v2\/.+\/(manifests|blobs)\/([^?]+)/.exec(request.url ?? '') ?? [];
    const found = kind === 'manifests' && reference === 'latest' ? manifest : blobs.get(reference);
    if (kind === 'manifests' && reference === 'latest') pulls++;
    if (kind !== undefined && !found) return response.writeHead(404).end();
    const type = found === manifest ? mediaType : 'application/octet-stream';
    const headers = found && { 'docker-content-digest': digest(found), 'content-length': found.length };
    response.writeHead(200, { 'content-type': type, ...headers });
    response.end(request.method === 'HEAD' ? undefined : found);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return { reference: `127.0.0.1:${port}/${name}:latest`, pulls: () => pulls, close };
}

async function certificates(directory: string): Promise<Machine['tls']> {
  const openssl = (...args: string[]): Promise<unknown> => run('openssl', args, { cwd: directory });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=ca', '-days', '2');
  for (const [name, subject] of [
    ['server', '/CN=system:node:node-1/O=system:nodes'],
    ['client', '/CN=admin/O=system:masters'],
  ] as const) {
    await openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
    await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...sign);
  }
  const read = (name: string): Promise<string> => readFile(join(directory, name), 'utf8');
  const [key, cert, clientCa, clientKey, clientCert] = await Promise.all(
    ['server.key', 'server.crt', 'ca.crt', 'client.key', 'client.crt'].map(read),
  );
  return { key: key!, cert: cert!, clientCa: clientCa!, clientKey: clientKey!, clientCert: clientCert! };
}

/** Waits for a condition; what the pod or the machine does takes the time that it takes. */
export async function until<T>(what: string, check: () => T | Promise<T>, timeoutMs = 90_000): Promise<NonNullable<T>> {
  const begun = env.clock.monotonic();
  for (;;) {
    const value = await check();
    if (value) return value as NonNullable<T>;
    if (env.clock.monotonic() - begun > timeoutMs) throw new Error(`did not happen in time: ${what}`);
    await sleep(env.clock, 50, forever.signal);
  }
}

export async function createPod(name: string, spec: Partial<PodSpec> & Pick<PodSpec, 'containers'>): Promise<Pod> {
  const containers = spec.containers.map((c) => ({ image: IMAGE, imagePullPolicy: 'IfNotPresent' as const, ...c }));
  const pod: Pod = {
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { nodeName: NODE, terminationGracePeriodSeconds: 1, ...spec, containers },
  };
  return m.client.resource('pods').create(pod);
}

export function getPod(name: string): Promise<Pod | undefined> {
  return m.client
    .resource('pods')
    .get({ namespace: 'default', name })
    .catch(() => undefined);
}

export function podWhen(name: string, what: string, check: (pod: Pod) => unknown, timeoutMs?: number): Promise<Pod> {
  return until(
    `${name}: ${what}`,
    async () => {
      const pod = await getPod(name);
      return pod && check(pod) ? pod : undefined;
    },
    timeoutMs,
  );
}

export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.find((c) => c.type === 'Ready')?.status === 'True';
export const ended = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

export async function deletePod(name: string): Promise<void> {
  await m.client.resource('pods').delete({ namespace: 'default', name });
  await until(`${name} is gone`, async () => (await getPod(name)) === undefined);
}

export function ask(path: string, withCertificate = true): Promise<{ code: number; body: string }> {
  const identity = withCertificate ? { key: m.tls.clientKey, cert: m.tls.clientCert } : {};
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: m.kubelet.port, path, ca: m.tls.clientCa, ...identity };
    const sent = request({ ...options, rejectUnauthorized: false, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve({ code: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

export async function events(name: string): Promise<readonly { reason: string; message: string }[]> {
  const { items } = await m.client.resource('events').list({ namespace: 'default' });
  return items
    .filter((e) => e.involvedObject.name === name)
    .map((e) => ({ reason: e.reason ?? '', message: e.message ?? '' }));
}
