// How late lease renewals and probes come while other clients list 5,000 pods as fast as they can, and how long the event
// loop was held at a time. Prints a row for each way to list: `npm run bench:storm -- [seconds] [only]`.
import { fork } from 'node:child_process';
import { Agent, request } from 'node:https';
import { setPriority } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Registry } from 'prom-client';
import { Tables } from '../../src/api/tables.ts';
import { issue } from '../../src/apiserver/auth/certificates.ts';
import type { RequestContext } from '../../src/apiserver/contract.ts';
import { API_SERVER_USER, type ApiServer, startApiServer } from '../../src/apiserver/server.ts';
import { sleep } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { realClock, realRandom } from '../../src/platform/environment.ts';
import { openMemoryStore } from '../../src/store/memory.ts';
import { Stretches } from './stretches.ts';

const PODS = 5000;
const CONNECTIONS = 16;
const RENEW_EVERY_MS = 50;
const never = new AbortController().signal;

/** What each client asks, over and over. `changing`: pods change meanwhile, so that no answer can be kept. */
const STORMS: { readonly [name: string]: { path: string; headers?: { [name: string]: string }; changing?: boolean } } =
  {
    'nothing (idle)': { path: '' },
    'list, consistent': { path: '/api/v1/pods' },
    'list, while pods change': { path: '/api/v1/pods', changing: true },
    'list, gzip': { path: '/api/v1/pods', headers: { 'accept-encoding': 'gzip' }, changing: true },
    'list, labels': { path: '/api/v1/pods?labelSelector=app%3Dnone', changing: true },
    'list, fields': { path: '/api/v1/pods?fieldSelector=spec.nodeName%3Dnone', changing: true },
    'list, pages': { path: '/api/v1/pods?limit=500', changing: true },
    'list, exact': { path: '/api/v1/pods?resourceVersion=4000&resourceVersionMatch=Exact', changing: true },
    table: {
      path: '/api/v1/pods',
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
      changing: true,
    },
    metadata: {
      path: '/api/v1/pods',
      headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
      changing: true,
    },
    yaml: { path: '/api/v1/pods', headers: { accept: 'application/yaml' }, changing: true },
    'watch from the beginning': {
      path: '/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1&timeoutSeconds=1',
      changing: true,
    },
  };

interface Load {
  readonly url: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly path: string;
  readonly headers: { readonly [name: string]: string };
}

function podText(i: number): string {
  const env = Array.from({ length: 20 }, (_, n) => ({
    name: `VARIABLE_${n}`,
    value: `value-${n}-of-pod-${i}-${'x'.repeat(40)}`,
  }));
  const container = {
    name: 'main',
    image: 'registry.example.com/app:1',
    imagePullPolicy: 'IfNotPresent',
    env,
    resources: {},
  };
  const metadata = {
    name: `pod-${i}`,
    namespace: 'default',
    uid: `00000000-0000-0000-0000-${String(i).padStart(12, '0')}`,
    creationTimestamp: '2024-01-01T00:00:00Z',
    labels: { app: `app-${i % 50}`, tier: 'web' },
  };
  const spec = { containers: [container], nodeName: `node-${i % 100}`, restartPolicy: 'Always' };
  const status = { phase: 'Running', podIP: `10.0.${i >> 8}.${i & 255}`, qosClass: 'BestEffort' };
  return JSON.stringify({ kind: 'Pod', apiVersion: 'v1', metadata, spec, status });
}

async function measure(name: string, seconds: number): Promise<void> {
  const store = openMemoryStore({ clock: realClock });
  const revisions = new Map<string, number>();
  const put = async (i: number): Promise<void> => {
    const key = `/registry/pods/default/pod-${i}`;
    const outcome = await store.write(
      { key, value: Buffer.from(podText(i)), expected: revisions.get(key) ?? 0 },
      never,
    );
    if (outcome.kind === 'committed') revisions.set(key, outcome.revision);
  };
  for (let i = 0; i < PODS; i++) await put(i);
  const env = { clock: realClock, random: realRandom, log: silentLog, metrics: new Registry() };
  const server = await startApiServer({ store, tables: new Tables(), env }, never);
  const { path, headers = {}, changing } = STORMS[name]!;
  const load = path === '' ? undefined : startLoad(server, path, headers);
  if (load) await load.ready;
  const delays = monitorEventLoopDelay({ resolution: 1 });
  const stretches = new Stretches();
  const end = realClock.monotonic() + seconds * 1000;
  const renewals: number[] = [];
  const probes: number[] = [];
  delays.enable();
  const changes = changing ? change(end, put) : undefined;
  await Promise.all([renew(server, end, renewals), probe(server, end, probes)]);
  delays.disable();
  const longest = stretches.stop(4).map((one) => `${one.cpuMs.toFixed(1)} (${one.collectingMs.toFixed(1)})`);
  await changes;
  const lists = load ? await load.stop() : 0;
  await server.close();
  await store.close();
  const ms = (ns: number): string => (ns / 1e6).toFixed(1);
  row([
    name,
    lateness(renewals),
    lateness(probes),
    `${ms(delays.percentile(99))} / ${ms(delays.max)}`,
    longest.join(', '),
    (lists / seconds).toFixed(1),
    Math.round(process.memoryUsage().rss / 1048576),
  ]);
}

const COLUMNS = [
  'storm',
  'lease late, ms: p50 / p99 / max',
  'probe late, ms: p50 / p99 / max',
  'event loop held, ms: p99 / max',
  'longest stretches, CPU ms (of it collecting garbage)',
  'answers/s',
  'MiB',
];

function row(cells: readonly (string | number)[]): void {
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}

function lateness(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (quantile: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0).toFixed(1);
  return `${at(0.5)} / ${at(0.99)} / ${at(1)}`;
}

/** One pod changes every 10 ms. */
async function change(end: number, put: (i: number) => Promise<void>): Promise<void> {
  for (let i = 0; realClock.monotonic() < end; i = (i + 1) % PODS) {
    await put(i);
    await sleep(realClock, 10, never);
  }
}

/** Renews a lease in this process every RENEW_EVERY_MS: how late each was done. */
async function renew(server: ApiServer, end: number, late: number[]): Promise<void> {
  const ctx: RequestContext = { user: API_SERVER_USER, signal: never, warn: () => undefined };
  const resource = server.tables.preferred('coordination.k8s.io', 'leases')!;
  const place = { resource, namespace: 'kube-system' };
  const metadata = { name: 'bench', namespace: 'kube-system' };
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: { holderIdentity: 'bench' } };
  await server.pipeline.create(ctx, place, structuredClone(lease), {});
  for (let n = 1; realClock.monotonic() < end; n++) {
    const due = realClock.monotonic() + RENEW_EVERY_MS;
    await sleep(realClock, RENEW_EVERY_MS, never);
    const patch = { type: 'application/merge-patch+json', body: { spec: { leaseTransitions: n } } } as const;
    await server.pipeline.patch(ctx, { ...place, name: 'bench' }, patch, {});
    late.push(realClock.monotonic() - due);
  }
}

/** Asks /livez from outside every RENEW_EVERY_MS, on one connection: how late each answer was. */
async function probe(server: ApiServer, end: number, late: number[]): Promise<void> {
  const agent = new Agent({ ca: server.caCertificate, keepAlive: true });
  while (realClock.monotonic() < end) {
    const due = realClock.monotonic() + RENEW_EVERY_MS;
    await sleep(realClock, RENEW_EVERY_MS, never);
    await new Promise<void>((resolve, reject) => {
      const asked = request(`${server.url}/livez`, { agent }, (response) => response.resume().on('end', resolve));
      asked.on('error', reject).end();
    });
    late.push(realClock.monotonic() - due);
  }
  agent.destroy();
}

function startLoad(server: ApiServer, path: string, headers: Load['headers']) {
  const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
  const admin = issue(server.ca!, {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    ...common,
  });
  const child = fork(import.meta.filename, ['--load'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const load: Load = {
    url: server.url,
    ca: server.caCertificate,
    cert: admin.certificate,
    key: admin.key,
    path,
    headers,
  };
  const message = (): Promise<unknown> => new Promise((resolve) => child.once('message', resolve));
  child.send(load);
  return {
    ready: message(),
    async stop(): Promise<number> {
      const counted = message();
      child.send('stop');
      const lists = Number(await counted);
      child.disconnect();
      return lists;
    },
  };
}

/** The other process: CONNECTIONS clients that list, one answer after the other. */
function beLoad(): void {
  setPriority(10);
  let answers = 0;
  let stopped = false;
  process.once('message', (load: Load) => {
    const agent = new Agent({ ca: load.ca, cert: load.cert, key: load.key, keepAlive: true });
    const again = (): void => {
      if (stopped) return;
      const asked = request(`${load.url}${load.path}`, { agent, headers: load.headers }, (response) => {
        response.resume().on('end', () => {
          if (++answers === 1) process.send!('ready');
          again();
        });
      });
      asked.on('error', () => setTimeout(again, 100)).end();
    };
    for (let i = 0; i < CONNECTIONS; i++) again();
    process.once('message', () => {
      stopped = true;
      process.send!(answers, () => agent.destroy());
    });
  });
}

if (process.argv[2] === '--load') beLoad();
else {
  const only = process.argv[3];
  row(COLUMNS);
  row(COLUMNS.map(() => '---'));
  for (const name of Object.keys(STORMS)) {
    if (only === undefined || name.includes(only)) await measure(name, Number(process.argv[2] ?? 5));
  }
}
