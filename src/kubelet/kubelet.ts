// The kubelet: follows the pods of its node, gives each a worker, and keeps the node's house.
import { mkdir, readdir } from 'node:fs/promises';
import { Gauge } from 'prom-client';
import type { Pod, Service, Taint } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import type { EventRecorder } from '../client/event-recorder.ts';
import type { BackoffPolicy } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Environment } from '../lib/environment.ts';
import { Allocations } from './allocation/allocations.ts';
import { holders, judgeResizes } from './allocation/verdicts.ts';
import { FailureBackoff } from './backoff.ts';
import { type CriClient, connectCri, isRuntimeDown } from './cri/client.ts';
import { Directories } from './directories.ts';
import { PodEvents } from './events.ts';
import { follow } from './follow.ts';
import { ImageGarbageCollector } from './images/garbage.ts';
import { ImagePuller } from './images/puller.ts';
import { DEFAULT_ROTATION, type RotationPolicy, rotateLog } from './logs/rotate.ts';
import { keepNodeLease, type LeaseTimings } from './node/lease.ts';
import { NodeKeeper, type StatusTimings } from './node/node.ts';
import type { Resources } from './node/status.ts';
import { ReferencedObjects } from './objects.ts';
import { removeOrphan } from './orphans.ts';
import { PAUSE_IMAGE } from './pause-image.ts';
import { Pleg } from './pleg.ts';
import { admitPod } from './pod/admit.ts';
import type { PodFailure } from './pod/status.ts';
import { PodWorker } from './pod/worker.ts';
import type { WorkerTools } from './pod/worker-tools.ts';
import { ProbeManager } from './probes/manager.ts';
import { Cgroups } from './runtime/cgroups.ts';
import { PodObserver } from './runtime/observe.ts';
import { PodRuntime } from './runtime/pod-runtime.ts';
import { PodResizer } from './runtime/resize.ts';
import { KubeletAccess } from './server/authorize.ts';
import { type KubeletServer, type KubeletTls, type ServedPod, startKubeletServer } from './server/server.ts';
import { StatsReader } from './server/stats.ts';
import { StatusManager } from './status-manager.ts';
import { ImageVolumes, imagesOfVolumes } from './volumes/images.ts';
import { VolumeManager } from './volumes/manager.ts';
import { makeShared, unmountBelow } from './volumes/mounts.ts';
import { TokenManager } from './volumes/tokens.ts';

export interface KubeletOptions {
  readonly env: Environment;
  /** Acts as system:node:NAME. */
  readonly client: Client;
  /** With component "kubelet" and the node as host. */
  readonly events: EventRecorder;
  readonly nodeName: string;
  /** The node's addresses; the first is its hostIP. */
  readonly nodeIPs: readonly string[];
  /** The CRI socket. */
  readonly criEndpoint: string;
  /** What belongs to pods on this node. One kubelet a directory. */
  readonly rootDir: string;
  readonly podLogsDir: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly tls: KubeletTls;
  /** 10250 by default; 0: any free one. */
  readonly port?: number;
  /** The address that the server listens on: all by default. */
  readonly listenAddress?: string;
  readonly resolvConfPath?: string;
  /** Where pods' cgroups are: "/kubepods" by default; another for each further kubelet of a machine. */
  readonly cgroupRoot?: string;
  readonly cgroupDriver?: 'cgroupfs' | 'systemd';
  readonly labels?: Resources;
  readonly taints?: readonly Taint[];
  /** Resources kept from pods. */
  readonly reserved?: Resources;
  readonly maxPods?: number;
  readonly timings?: NodeReportTimings;
  /** Between failed lists and watches. */
  readonly relistBackoff?: BackoffPolicy;
  /** The version that the node reports. */
  readonly version: string;
  readonly logRotation?: RotationPolicy;
  readonly sandboxImage?: string;
}

export interface Kubelet {
  /** Where the server listens. */
  readonly port: number;
  readonly nodeName: string;
  readonly ready: boolean;
  /** Resolves when everything has ended after the signal; containers go on running. */
  readonly ended: Promise<void>;
}

/** How often the kubelet says that its node is alive. */
export type NodeReportTimings = LeaseTimings & StatusTimings;

/** Kubernetes' own. */
const DEFAULT_REPORT_TIMINGS: NodeReportTimings = {
  leaseDurationSeconds: 40,
  leaseRetryMs: 1_000,
  statusCheckMs: 10_000,
  statusReportMs: 300_000,
};

const HOUSEKEEPING_MS = 10_000;
const START_CHECK_MS = 200;
const IMAGE_GC_MS = 300_000;

/**
 * Runs a kubelet until the signal aborts. Resolves once its server listens and it knows what runs on the node. Pods that
 * an earlier kubelet started are taken up as they are.
 */
export async function runKubelet(options: KubeletOptions, signal: AbortSignal): Promise<Kubelet> {
  const env = { ...options.env, log: options.env.log.child('kubelet', { node: options.nodeName }) };
  const cri = connectCri(options.criEndpoint, env.clock);
  const kubelet = new NodeAgent({ ...options, env }, cri, signal);
  try {
    return await kubelet.start();
  } catch (error) {
    cri.close();
    throw error;
  }
}

/** Takes away what a kubelet leaves on a machine once its pods are gone: mounts and cgroups. */
export async function cleanUpKubelet(options: {
  readonly rootDir: string;
  readonly cgroupRoot?: string;
  readonly cgroupDriver?: 'cgroupfs' | 'systemd';
}): Promise<void> {
  await unmountBelow(options.rootDir, true);
  await new Cgroups({
    root: options.cgroupRoot ?? '/kubepods',
    driver: options.cgroupDriver ?? 'cgroupfs',
  }).removeAll();
}

class NodeAgent {
  readonly #o: KubeletOptions;
  readonly #env: Environment;
  readonly #cri: CriClient;
  readonly #signal: AbortSignal;
  readonly #directories: Directories;
  readonly #workers = new Map<string, PodWorker>();
  readonly #orphans = new Map<string, Promise<void>>();
  readonly #services = new Map<string, Service>();
  readonly #node: NodeKeeper;
  readonly #pleg: Pleg;
  readonly #tools: WorkerTools;
  readonly #cgroups: Cgroups;
  readonly #allocations: Allocations;
  readonly #images: ImagePuller;
  readonly #imageGc: ImageGarbageCollector;
  readonly #crashes = new FailureBackoff();
  #podsKnown = false;
  #port = 0;
  #server: KubeletServer | undefined;

  constructor(options: KubeletOptions, cri: CriClient, signal: AbortSignal) {
    this.#o = options;
    this.#env = options.env;
    this.#cri = cri;
    this.#signal = signal;
    this.#directories = new Directories(options.rootDir, options.podLogsDir);
    const { env, client, nodeName } = options;
    this.#allocations = new Allocations(this.#directories, env.log);
    const events = new PodEvents(options.events);
    const observer = new PodObserver(cri, env.clock);
    const wake = (uid: string): void => this.#workers.get(uid)?.wake();
    this.#pleg = new Pleg({ cri, env, observer, onChange: wake });
    this.#node = this.#makeNode();
    this.#cgroups = new Cgroups({
      root: options.cgroupRoot ?? '/kubepods',
      driver: options.cgroupDriver ?? 'cgroupfs',
    });
    this.#images = new ImagePuller({ cri, clock: env.clock, events });
    this.#imageGc = new ImageGarbageCollector(cri, new Set([options.sandboxImage ?? PAUSE_IMAGE]));
    const objects = new ReferencedObjects(client, { env, backoff: options.relistBackoff }, wake, signal);
    const allocatable = (): Resources => this.#node.allocatable;
    const tokens = new TokenManager(client, env);
    const directories = this.#directories;
    const images = new ImageVolumes({ cri, puller: this.#images, objects, directories });
    const volumes = new VolumeManager({ client, env, directories, objects, tokens, allocatable, images });
    const dns = {
      clusterDns: options.clusterDns,
      clusterDomain: options.clusterDomain,
      resolvConfPath: options.resolvConfPath ?? '/etc/resolv.conf',
    };
    const runtime = new PodRuntime({
      cri,
      env,
      events,
      images: this.#images,
      objects,
      directories: this.#directories,
      cgroups: this.#cgroups,
      dns,
      nodeMemoryBytes: this.#node.memoryBytes,
      allocatable,
      services: () => [...this.#services.values()],
      runtimeHandlers: () => this.#node.runtimeHandlers,
    });
    const view = (uid: string) => {
      const worker = this.#workers.get(uid);
      return worker && { pod: worker.pod, observed: worker.observed, podIP: worker.podIP };
    };
    this.#tools = {
      env,
      runtime,
      observer,
      statuses: new StatusManager(client, env, signal),
      volumes,
      objects,
      probes: new ProbeManager({ env, cri, events, view, onChange: wake }),
      events,
      cgroups: this.#cgroups,
      allocations: this.#allocations,
      resizer: new PodResizer({ cri, cgroups: this.#cgroups, observer }),
      crashes: this.#crashes,
      nodeName,
      hostIPs: options.nodeIPs,
      admit: (pod) => this.#admit(pod),
      judgeResizes: () => this.#judgeResizes(),
      refreshNode: (signal) => this.#node.refresh(signal),
      done: (uid) => this.#workers.delete(uid),
    };
  }

  async start(): Promise<Kubelet> {
    const { client, nodeName, rootDir, podLogsDir } = this.#o;
    const signal = this.#signal;
    for (const directory of [rootDir, podLogsDir, this.#directories.pods, this.#directories.seccomp]) {
      await mkdir(directory, { recursive: true, mode: 0o755 });
    }
    await makeShared(rootDir);
    this.#server = await this.#listen();
    this.#port = this.#server.port;
    await this.#allocations.load();
    await this.#node.prepare();
    this.#registerMetrics();
    await this.#pleg
      .relist(signal)
      .catch((error) => this.#env.log.warn('the runtime does not answer', { error: String(error) }));

    const lease = {
      client,
      env: this.#env,
      nodeName,
      nodeUid: () => this.#node.uid,
      timings: this.#o.timings ?? DEFAULT_REPORT_TIMINGS,
    };
    const loops = [
      this.#node.run(signal),
      keepNodeLease(lease, signal),
      this.#pleg.run(signal),
      ...this.#follow(),
      this.#keepHouse(),
    ];
    const ended = Promise.allSettled(loops).then(async () => {
      await this.#server?.close();
      this.#cri.close();
    });
    const node = this.#node;
    return {
      port: this.#port,
      nodeName,
      ended,
      get ready() {
        return node.ready;
      },
    };
  }

  /** Services first: a container that starts before they are known would lack their variables. */
  #follow(): readonly Promise<void>[] {
    const { client, nodeName } = this.#o;
    const signal = this.#signal;
    const servicesKnown = Promise.withResolvers<void>();
    onAbort(signal, () => servicesKnown.resolve());
    const services = {
      replaced: (list: readonly Service[]) => {
        this.#services.clear();
        for (const service of list) this.#services.set(service.metadata.uid!, service);
        servicesKnown.resolve();
      },
      changed: (service: Service) => void this.#services.set(service.metadata.uid!, service),
      deleted: (service: Service) => void this.#services.delete(service.metadata.uid!),
    };
    const pods = {
      replaced: (list: readonly Pod[]) => this.#replacePods(list),
      changed: (pod: Pod) => this.#upsert(pod),
      deleted: (pod: Pod) => this.#workers.get(pod.metadata.uid!)?.remove(pod),
    };
    const query = { fieldSelector: `spec.nodeName=${nodeName}` };
    const how = { env: this.#env, backoff: this.#o.relistBackoff };
    return [
      follow(client.resource('services'), {}, services, how, signal),
      servicesKnown.promise.then(() => follow(client.resource('pods'), query, pods, how, signal)),
    ];
  }

  #makeNode(): NodeKeeper {
    const { client, env, nodeName, nodeIPs, version, labels, taints, reserved, maxPods, rootDir } = this.#o;
    const agent = this;
    return new NodeKeeper({
      client,
      env,
      cri: this.#cri,
      nodeName,
      nodeIPs,
      get port() {
        return agent.#port;
      },
      version,
      labels: labels ?? {},
      taints: taints ?? [],
      reserved: reserved ?? {},
      maxPods: maxPods ?? 110,
      directory: rootDir,
      runtimeSeenMs: () => this.#pleg.lastSuccessMs,
      timings: this.#o.timings ?? DEFAULT_REPORT_TIMINGS,
    });
  }

  #listen(): Promise<KubeletServer> {
    const { client, nodeName, tls, port = 10250, listenAddress = '0.0.0.0', rootDir } = this.#o;
    const { clock, log, metrics } = this.#env;
    const cri = this.#cri;
    return startKubeletServer({
      host: listenAddress,
      port,
      tls,
      access: new KubeletAccess({ client, clock, nodeName }),
      cri,
      clock,
      log,
      metrics,
      stats: new StatsReader({ cri, clock, nodeName, directory: rootDir }),
      find: (namespace, name) =>
        this.#served().find(({ pod }) => pod.metadata.name === name && pod.metadata.namespace === namespace),
      pods: () => this.#served(),
      unhealthy: () => (this.#podsKnown ? undefined : 'the pods of this node are not known yet'),
    });
  }

  /** Newer pods of the same name come first. */
  #served(): readonly ServedPod[] {
    return [...this.#workers.values()]
      .toReversed()
      .map(({ pod, observed, uid }) => ({ pod, observed, status: this.#tools.statuses.get(uid) ?? pod.status }));
  }

  #registerMetrics(): void {
    const { metrics } = this.#env;
    const gauge = (name: string, help: string, count: () => number): void => {
      // Several kubelets in one process share the registry: each adds to the same gauge under its node's name.
      const existing = metrics.getSingleMetric(name) as Gauge | undefined;
      const made = existing ?? new Gauge({ name, help, labelNames: ['node'], registers: [metrics] });
      const collect = made as unknown as { collect?: () => void };
      const before = collect.collect;
      collect.collect = () => {
        before?.call(made);
        made.set({ node: this.#o.nodeName }, count());
      };
    };
    gauge('kubelet_running_pods', 'Number of pods that have a running pod sandbox', () => {
      return [...this.#pleg.pods.values()].filter((p) => p.sandboxes.some((s) => s.state === 'SANDBOX_READY')).length;
    });
    gauge('kubelet_running_containers', 'Number of containers currently running', () => {
      return [...this.#pleg.pods.values()].flatMap((p) => p.containers).filter((c) => c.state === 'CONTAINER_RUNNING')
        .length;
    });
    gauge(
      'kubelet_desired_pods',
      'The number of pods the kubelet is being instructed to run',
      () => this.#workers.size,
    );
  }

  #replacePods(list: readonly Pod[]): void {
    const present = new Set(list.map((pod) => pod.metadata.uid!));
    for (const [uid, worker] of this.#workers) if (!present.has(uid)) worker.remove(worker.pod);
    for (const pod of list) this.#upsert(pod);
    this.#podsKnown = true;
  }

  #upsert(pod: Pod): void {
    const uid = pod.metadata.uid!;
    const worker = this.#workers.get(uid);
    try {
      if (worker) worker.update(pod);
      else this.#workers.set(uid, new PodWorker(pod, this.#tools, this.#signal));
    } catch (error) {
      // One pod must not keep the node from its others.
      this.#env.log.error('a pod could not be taken in', error, { pod: pod.metadata.name, uid });
    }
  }

  #judgeResizes(): void {
    const allocatable = this.#node.node?.status?.allocatable;
    if (allocatable) judgeResizes(this.#holders(), allocatable);
  }

  #holders(): readonly PodWorker[] {
    const takenBefore = (w: PodWorker): boolean => this.#allocations.has(w.asked) || this.#pleg.pods.has(w.uid);
    return holders(this.#workers.values(), takenBefore);
  }

  #admit(pod: Pod): PodFailure | undefined {
    const node = this.#node.node;
    if (!node?.status?.allocatable) return undefined;
    const others = this.#holders().filter((w) => w.uid !== pod.metadata.uid);
    return admitPod(
      pod,
      others.map((w) => w.pod),
      node,
    );
  }

  #imagesOfVolumes(): ReadonlySet<string> {
    return new Set([...this.#workers.values()].filter((w) => w.active).flatMap((w) => imagesOfVolumes(w.pod)));
  }

  /** Orphans, old logs, cgroup shares and images, from time to time. */
  async #keepHouse(): Promise<void> {
    const { clock, log } = this.#env;
    const signal = this.#signal;
    let imagesMs = clock.monotonic();
    while (!signal.aborted) {
      const known = this.#podsKnown && this.#pleg.lastSuccessMs !== undefined;
      try {
        if (known) await this.#removeOrphans();
        await this.#rotateLogs();
        await this.#cgroups.balance([...this.#workers.values()].filter((w) => w.active).map((w) => w.pod));
        this.#judgeResizes();
        this.#crashes.collect(clock.now());
        this.#images.collect();
        if (clock.monotonic() - imagesMs >= IMAGE_GC_MS) {
          imagesMs = clock.monotonic();
          await this.#imageGc.collect(clock.now(), signal, this.#imagesOfVolumes());
        }
      } catch (error) {
        if (!signal.aborted && !isRuntimeDown(error)) log.error('housekeeping failed', error);
      }
      // What an earlier kubelet left is looked for as soon as there is something to compare with.
      await sleep(clock, known ? HOUSEKEEPING_MS : START_CHECK_MS, signal).catch(() => undefined);
    }
  }

  /** Pods that the runtime or the disk still has, and the API no longer. */
  async #removeOrphans(): Promise<void> {
    const onDisk = await readdir(this.#directories.pods).catch(() => []);
    for (const uid of new Set([...this.#pleg.pods.keys(), ...onDisk])) {
      if (this.#workers.has(uid) || this.#orphans.has(uid)) continue;
      const { runtime, volumes, allocations, cgroups } = this.#tools;
      const context = { cri: this.#cri, runtime, volumes, cgroups, allocations, signal: this.#signal };
      const removal = removeOrphan(uid, this.#pleg.pods.get(uid), context)
        .catch((error) => {
          if (!this.#signal.aborted) this.#env.log.error('removing an orphaned pod failed', error, { uid });
        })
        .finally(() => this.#orphans.delete(uid));
      this.#orphans.set(uid, removal);
    }
  }

  async #rotateLogs(): Promise<void> {
    const policy = this.#o.logRotation ?? DEFAULT_ROTATION;
    const context = { cri: this.#cri, env: this.#env, signal: this.#signal };
    for (const worker of this.#workers.values()) {
      for (const { id, state, logPath } of worker.observed.containers) {
        if (state !== 'running' || logPath === '') continue;
        await rotateLog({ id, path: logPath }, policy, context).catch((error) => {
          this.#env.log.warn('rotating a log failed', { path: logPath, error: String(error) });
        });
      }
    }
  }
}

function onAbort(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
}
