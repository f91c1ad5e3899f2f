import { createHash } from 'node:crypto';
import {
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import type { Clock } from '../../lib/clock.ts';
import { criDescriptor, eventsDescriptor, snapshotsDescriptor } from './descriptor.ts';
import type {
  AuthConfig,
  ContainerConfig,
  ContainerFilter,
  ContainerStats,
  ExecSyncResult,
  FilesystemUsage,
  Image,
  LinuxResources,
  PodSandboxStats,
  RuntimeContainer,
  RuntimeContainerStatus,
  RuntimeStatus,
  Sandbox,
  SandboxConfig,
  SandboxStatus,
  StringMap,
  VersionInfo,
} from './types.ts';

/** How long a call may take. `signal` cancels it; the default deadline is two minutes, as upstream's runtime requests. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const PULL_TIMEOUT_MS = 3_600_000;
/** Containerd's default, which CRI unpacks images with. */
const SNAPSHOTTER = 'overlayfs';
const GC_ROOT = 'containerd.io/gc.root';
/** Lists of a full node stay well below this. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** A CRI call that failed: the gRPC code's name and the runtime's own words. */
export class CriError extends Error {
  override name = 'CriError';
  readonly method: string;
  readonly code: number;

  constructor(method: string, code: number, details: string, cause?: unknown) {
    super(details, { cause });
    this.method = method;
    this.code = code;
  }

  /** As gRPC clients print it: `rpc error: code = Unknown desc = ...`. */
  get rpcText(): string {
    return `rpc error: code = ${CODE_NAMES[this.code] ?? this.code} desc = ${this.message}`;
  }
}

const CODE_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

export function isNotFound(error: unknown): boolean {
  return error instanceof CriError && error.code === status.NOT_FOUND;
}

/** True when the runtime did not answer at all, so that nothing can be said about its containers. */
export function isRuntimeDown(error: unknown): boolean {
  return error instanceof CriError && error.code === status.UNAVAILABLE;
}

export function isDeadlineExceeded(error: unknown): boolean {
  return error instanceof CriError && error.code === status.DEADLINE_EXCEEDED;
}

/** The container runtime, as the kubelet needs it. Every failure is a CriError; stop and remove calls are idempotent. */
export interface CriClient {
  version(options?: CallOptions): Promise<VersionInfo>;
  status(options?: CallOptions): Promise<RuntimeStatus>;
  runPodSandbox(config: SandboxConfig, runtimeHandler: string, options?: CallOptions): Promise<string>;
  stopPodSandbox(id: string, options?: CallOptions): Promise<void>;
  removePodSandbox(id: string, options?: CallOptions): Promise<void>;
  podSandboxStatus(id: string, options?: CallOptions): Promise<SandboxStatus>;
  listPodSandboxes(options?: CallOptions & { readonly labelSelector?: StringMap }): Promise<readonly Sandbox[]>;
  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: SandboxConfig,
    options?: CallOptions,
  ): Promise<string>;
  startContainer(id: string, options?: CallOptions): Promise<void>;
  /** Sends the stop signal and kills after `graceSeconds`; the call's deadline is widened by it. */
  stopContainer(id: string, graceSeconds: number, options?: CallOptions): Promise<void>;
  removeContainer(id: string, options?: CallOptions): Promise<void>;
  listContainers(options?: CallOptions & { readonly filter?: ContainerFilter }): Promise<readonly RuntimeContainer[]>;
  containerStatus(id: string, options?: CallOptions): Promise<RuntimeContainerStatus>;
  updateContainerResources(id: string, linux: LinuxResources, options?: CallOptions): Promise<void>;
  reopenContainerLog(id: string, options?: CallOptions): Promise<void>;
  /** Rejects with DEADLINE_EXCEEDED when the command outlives `timeoutSeconds` (0: no limit of its own). */
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
    options?: CallOptions,
  ): Promise<ExecSyncResult>;
  /** These three return the URL that serves the stream. */
  exec(id: string, streams: ExecStreams & { readonly command: readonly string[] }, o?: CallOptions): Promise<string>;
  attach(id: string, streams: ExecStreams, options?: CallOptions): Promise<string>;
  portForward(sandboxId: string, ports: readonly number[], options?: CallOptions): Promise<string>;
  containerStats(id: string, options?: CallOptions): Promise<ContainerStats>;
  listContainerStats(options?: CallOptions): Promise<readonly ContainerStats[]>;
  /** Of all, or of the one with this id. */
  listPodSandboxStats(options?: CallOptions & { readonly id?: string }): Promise<readonly PodSandboxStats[]>;
  listImages(options?: CallOptions): Promise<readonly Image[]>;
  /** Undefined when the runtime does not have the image. */
  imageStatus(image: string, options?: CallOptions): Promise<Image | undefined>;
  pullImage(image: string, auth: AuthConfig | undefined, options?: CallOptions): Promise<string>;
  removeImage(image: string, options?: CallOptions): Promise<void>;
  imageFsInfo(options?: CallOptions): Promise<readonly FilesystemUsage[]>;
  /** The digests of an image's layers, unpacked, from the bottom up. */
  imageLayers(image: string, options?: CallOptions): Promise<readonly string[]>;
  /**
   * Shows layers as one directory that cannot be written, under a key, until that is removed; the content stays that long
   * whatever becomes of the image. The same key again is the same view. Returns what is to be mounted.
   */
  viewLayers(key: string, layers: readonly string[], options?: CallOptions): Promise<readonly SnapshotMount[]>;
  removeView(key: string, options?: CallOptions): Promise<void>;
  /** Calls `onEvent` whenever a task starts, exits, runs out of memory or is cleared away; resolves when the stream ends. */
  taskEvents(onEvent: (topic: string) => void, signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface ExecStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** As mount(2) takes it. */
export interface SnapshotMount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

interface RawClient {
  close(): void;
  makeUnaryRequest?: unknown;
  [method: string]: unknown;
}
type UnaryMethod = (
  request: object,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, answer: unknown) => void,
) => { cancel(): void };
type RawConstructor = new (
  address: string,
  channel: ReturnType<typeof credentials.createInsecure>,
  options: object,
) => RawClient;

const LOAD_OPTIONS = { longs: String, enums: String, defaults: true, arrays: true, objects: true } as const;

/** Connects (lazily) to a CRI endpoint: a socket path, or `unix:///path`. */
export function connectCri(endpoint: string, clock: Clock): CriClient {
  return new GrpcCriClient(endpoint, clock);
}

class GrpcCriClient implements CriClient {
  readonly #runtime: RawClient;
  readonly #images: RawClient;
  readonly #events: RawClient;
  readonly #snapshots: RawClient;
  readonly #clock: Clock;

  constructor(endpoint: string, clock: Clock) {
    const address = endpoint.startsWith('unix:') ? endpoint : `unix://${endpoint}`;
    const channel = credentials.createInsecure();
    const options = {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
    };
    const cri = packageOf(criDescriptor(), ['runtime', 'v1']);
    const events = packageOf(eventsDescriptor(), ['containerd', 'services', 'events', 'v1']);
    this.#runtime = new cri.RuntimeService!(address, channel, options);
    this.#images = new cri.ImageService!(address, channel, options);
    this.#events = new events.Events!(address, channel, options);
    const snapshots = packageOf(snapshotsDescriptor(), ['containerd', 'services', 'snapshots', 'v1']);
    this.#snapshots = new snapshots.Snapshots!(address, channel, options);
    this.#clock = clock;
  }

  close(): void {
    for (const client of [this.#runtime, this.#images, this.#events, this.#snapshots]) client.close();
  }

  version(options?: CallOptions): Promise<VersionInfo> {
    return this.#call(this.#runtime, 'Version', {}, options);
  }

  status(options?: CallOptions): Promise<RuntimeStatus> {
    return this.#call(this.#runtime, 'Status', {}, options);
  }

  async runPodSandbox(config: SandboxConfig, runtimeHandler: string, options?: CallOptions): Promise<string> {
    const request = { config, runtimeHandler };
    const widened = { timeoutMs: DEFAULT_TIMEOUT_MS * 2, ...options };
    return (await this.#call<{ podSandboxId: string }>(this.#runtime, 'RunPodSandbox', request, widened)).podSandboxId;
  }

  async stopPodSandbox(id: string, options?: CallOptions): Promise<void> {
    await this.#gone(this.#call(this.#runtime, 'StopPodSandbox', { podSandboxId: id }, options));
  }

  async removePodSandbox(id: string, options?: CallOptions): Promise<void> {
    await this.#gone(this.#call(this.#runtime, 'RemovePodSandbox', { podSandboxId: id }, options));
  }

  async podSandboxStatus(id: string, options?: CallOptions): Promise<SandboxStatus> {
    const request = { podSandboxId: id };
    return (await this.#call<{ status: SandboxStatus }>(this.#runtime, 'PodSandboxStatus', request, options)).status;
  }

  async listPodSandboxes(options: CallOptions & { labelSelector?: StringMap } = {}): Promise<readonly Sandbox[]> {
    const request = options.labelSelector ? { filter: { labelSelector: options.labelSelector } } : {};
    return (await this.#call<{ items: Sandbox[] }>(this.#runtime, 'ListPodSandbox', request, options)).items;
  }

  async createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: SandboxConfig,
    options?: CallOptions,
  ): Promise<string> {
    const request = { podSandboxId: sandboxId, config, sandboxConfig };
    return (await this.#call<{ containerId: string }>(this.#runtime, 'CreateContainer', request, options)).containerId;
  }

  async startContainer(id: string, options?: CallOptions): Promise<void> {
    await this.#call(this.#runtime, 'StartContainer', { containerId: id }, options);
  }

  async stopContainer(id: string, graceSeconds: number, options?: CallOptions): Promise<void> {
    const request = { containerId: id, timeout: graceSeconds };
    const timeoutMs = DEFAULT_TIMEOUT_MS + graceSeconds * 1000;
    await this.#gone(this.#call(this.#runtime, 'StopContainer', request, { timeoutMs, ...options }));
  }

  async removeContainer(id: string, options?: CallOptions): Promise<void> {
    await this.#gone(this.#call(this.#runtime, 'RemoveContainer', { containerId: id }, options));
  }

  async listContainers(options: CallOptions & { filter?: ContainerFilter } = {}): Promise<readonly RuntimeContainer[]> {
    const request = options.filter ? { filter: options.filter } : {};
    const answer = await this.#call<{ containers: RuntimeContainer[] }>(
      this.#runtime,
      'ListContainers',
      request,
      options,
    );
    return answer.containers;
  }

  async containerStatus(id: string, options?: CallOptions): Promise<RuntimeContainerStatus> {
    const request = { containerId: id };
    const answer = await this.#call<{ status: RuntimeContainerStatus }>(
      this.#runtime,
      'ContainerStatus',
      request,
      options,
    );
    return answer.status;
  }

  async updateContainerResources(id: string, linux: LinuxResources, options?: CallOptions): Promise<void> {
    await this.#call(this.#runtime, 'UpdateContainerResources', { containerId: id, linux }, options);
  }

  async reopenContainerLog(id: string, options?: CallOptions): Promise<void> {
    await this.#call(this.#runtime, 'ReopenContainerLog', { containerId: id }, options);
  }

  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
    options?: CallOptions,
  ): Promise<ExecSyncResult> {
    const request = { containerId: id, cmd: command, timeout: timeoutSeconds };
    // The runtime ends the command at its own timeout; ours only guards against a runtime that does not.
    const timeoutMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 + 5_000 : DEFAULT_TIMEOUT_MS;
    return this.#call(this.#runtime, 'ExecSync', request, { timeoutMs, ...options });
  }

  exec(id: string, streams: ExecStreams & { command: readonly string[] }, options?: CallOptions): Promise<string> {
    const { command, ...flags } = streams;
    return this.#url('Exec', { containerId: id, cmd: command, ...flags }, options);
  }

  attach(id: string, streams: ExecStreams, options?: CallOptions): Promise<string> {
    return this.#url('Attach', { containerId: id, ...streams }, options);
  }

  portForward(sandboxId: string, ports: readonly number[], options?: CallOptions): Promise<string> {
    return this.#url('PortForward', { podSandboxId: sandboxId, port: ports }, options);
  }

  async containerStats(id: string, options?: CallOptions): Promise<ContainerStats> {
    const request = { containerId: id };
    return (await this.#call<{ stats: ContainerStats }>(this.#runtime, 'ContainerStats', request, options)).stats;
  }

  async listContainerStats(options?: CallOptions): Promise<readonly ContainerStats[]> {
    return (await this.#call<{ stats: ContainerStats[] }>(this.#runtime, 'ListContainerStats', {}, options)).stats;
  }

  async listPodSandboxStats(options: CallOptions & { id?: string } = {}): Promise<readonly PodSandboxStats[]> {
    const request = options.id ? { filter: { id: options.id } } : {};
    return (await this.#call<{ stats: PodSandboxStats[] }>(this.#runtime, 'ListPodSandboxStats', request, options))
      .stats;
  }

  async listImages(options?: CallOptions): Promise<readonly Image[]> {
    return (await this.#call<{ images: Image[] }>(this.#images, 'ListImages', {}, options)).images;
  }

  async imageStatus(image: string, options?: CallOptions): Promise<Image | undefined> {
    const request = { image: { image } };
    return (
      (await this.#call<{ image: Image | null }>(this.#images, 'ImageStatus', request, options)).image ?? undefined
    );
  }

  async pullImage(image: string, auth: AuthConfig | undefined, options?: CallOptions): Promise<string> {
    const request = { image: { image }, ...(auth && { auth }) };
    const widened = { timeoutMs: PULL_TIMEOUT_MS, ...options };
    return (await this.#call<{ imageRef: string }>(this.#images, 'PullImage', request, widened)).imageRef;
  }

  async removeImage(image: string, options?: CallOptions): Promise<void> {
    await this.#gone(this.#call(this.#images, 'RemoveImage', { image: { image } }, options));
  }

  async imageFsInfo(options?: CallOptions): Promise<readonly FilesystemUsage[]> {
    const answer = await this.#call<{ imageFilesystems: FilesystemUsage[] }>(this.#images, 'ImageFsInfo', {}, options);
    return answer.imageFilesystems;
  }

  async imageLayers(image: string, options?: CallOptions): Promise<readonly string[]> {
    const request = { image: { image }, verbose: true };
    const answer = await this.#call<{ info: StringMap }>(this.#images, 'ImageStatus', request, options);
    const info = JSON.parse(answer.info.info ?? '{}') as ImageInfo;
    return info.imageSpec?.rootfs?.diff_ids ?? [];
  }

  async viewLayers(key: string, layers: readonly string[], options?: CallOptions): Promise<readonly SnapshotMount[]> {
    const named = { snapshotter: SNAPSHOTTER, key };
    // The label keeps containerd's garbage collector from it.
    const request = {
      ...named,
      parent: chainId(layers),
      labels: { [GC_ROOT]: new Date(this.#clock.now()).toISOString() },
    };
    try {
      return (await this.#call<{ mounts: SnapshotMount[] }>(this.#snapshots, 'View', request, options)).mounts;
    } catch (error) {
      if (!(error instanceof CriError) || error.code !== status.ALREADY_EXISTS) throw error;
      return (await this.#call<{ mounts: SnapshotMount[] }>(this.#snapshots, 'Mounts', named, options)).mounts;
    }
  }

  async removeView(key: string, options?: CallOptions): Promise<void> {
    await this.#gone(this.#call(this.#snapshots, 'Remove', { snapshotter: SNAPSHOTTER, key }, options));
  }

  taskEvents(onEvent: (topic: string) => void, signal: AbortSignal): Promise<void> {
    const subscribe = this.#events.Subscribe as (request: object) => ClientReadableStream<{ topic: string }>;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return resolve();
      const stream = subscribe.call(this.#events, {
        filters: ['namespace==k8s.io,topic~="^/tasks/(start|exit|oom|delete)"'],
      });
      const cancel = (): void => stream.cancel();
      const finish = (error?: unknown): void => {
        signal.removeEventListener('abort', cancel);
        if (error && !signal.aborted) reject(criError('Subscribe', error));
        else resolve();
      };
      signal.addEventListener('abort', cancel, { once: true });
      stream.on('data', (event) => onEvent(event.topic));
      stream.on('error', finish);
      stream.on('end', () => finish());
    });
  }

  async #url(method: string, request: object, options?: CallOptions): Promise<string> {
    return (await this.#call<{ url: string }>(this.#runtime, method, request, options)).url;
  }

  /** What is to be stopped or removed and is not there is done. */
  async #gone(call: Promise<unknown>): Promise<void> {
    try {
      await call;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #call<T>(client: RawClient, method: string, request: object, options: CallOptions = {}): Promise<T> {
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const unary = client[method] as UnaryMethod;
      const cancel = (): void => call.cancel();
      const deadline = this.#clock.now() + timeoutMs;
      const call = unary.call(client, request, inNamespace(), { deadline }, (error, answer) => {
        signal?.removeEventListener('abort', cancel);
        if (!error) resolve(answer as T);
        else reject(signal?.aborted ? signal.reason : criError(method, error));
      });
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }
}

/** containerd's own services ask for it; CRI has no use for it. */
function inNamespace(): Metadata {
  const metadata = new Metadata();
  metadata.set('containerd-namespace', 'k8s.io');
  return metadata;
}

/** The part of an image's verbose status that is read here. */
interface ImageInfo {
  readonly imageSpec?: { readonly rootfs?: { readonly diff_ids?: readonly string[] } };
}

/** The name of a stack of layers (OCI image specification): each digest is of the stack below and the layer on it. */
export function chainId(layers: readonly string[]): string {
  const [first = '', ...others] = layers;
  const digest = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  return others.reduce((below, layer) => digest(`${below} ${layer}`), first);
}

function criError(method: string, error: unknown): CriError {
  const { code = status.UNKNOWN, details, message } = error as Partial<ServiceError>;
  return new CriError(method, code, details || message || 'no details', error);
}

function packageOf(descriptor: object, path: readonly string[]): Record<string, RawConstructor | undefined> {
  const definition = fromJSON(descriptor as Parameters<typeof fromJSON>[0], LOAD_OPTIONS);
  let at: unknown = loadPackageDefinition(definition);
  for (const name of path) at = (at as Record<string, unknown>)[name];
  return at as Record<string, RawConstructor | undefined>;
}
