// Does to the runtime what was decided: sandboxes, containers, and their ends.
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, Pod, Secret, Service } from '../../api/generated/types.ts';
import type { Environment } from '../../lib/environment.ts';
import { nameSuffix } from '../../lib/random.ts';
import { type CriClient, CriError } from '../cri/client.ts';
import type { Mount, RuntimeHandler, SandboxConfig } from '../cri/types.ts';
import { type Directories, podLogDirectory } from '../directories.ts';
import { containerEnvironment } from '../env/environment.ts';
import type { FieldContext } from '../env/fields.ts';
import { serviceVariables } from '../env/services.ts';
import type { PodEvents } from '../events.ts';
import type { ImagePuller } from '../images/puller.ts';
import type { ReferencedObjects } from '../objects.ts';
import { newestContainer, type ObservedPod, type ObservedSandbox } from '../pod/observed.ts';
import { StartError } from '../pod/start-error.ts';
import { volumeMounts } from '../volumes/container-mounts.ts';
import type { Cgroups } from './cgroups.ts';
import { containerConfig, verifyRunAsNonRoot } from './container-config.ts';
import { type DnsOptions, hostsFile, podDns, podNames } from './dns.ts';
import { runHook } from './lifecycle.ts';
import { containerResources } from './resources.ts';
import { sandboxConfig } from './sandbox-config.ts';

export interface PodRuntimeOptions {
  readonly cri: CriClient;
  readonly env: Environment;
  readonly events: PodEvents;
  readonly images: ImagePuller;
  readonly objects: ReferencedObjects;
  readonly directories: Directories;
  readonly cgroups: Cgroups;
  readonly dns: Omit<DnsOptions, 'hostResolvConf'> & { readonly resolvConfPath: string };
  readonly nodeMemoryBytes: number;
  readonly allocatable: () => { readonly [resource: string]: string };
  readonly services: () => readonly Service[];
  readonly runtimeHandlers: () => readonly RuntimeHandler[];
}

/** What starting a container needs besides the container. */
export interface StartContext {
  readonly fields: FieldContext;
  readonly observed: ObservedPod;
  readonly sandbox: Pick<ObservedSandbox, 'id' | 'attempt'>;
  readonly volumes: ReadonlyMap<string, string>;
  readonly pullSecrets: readonly Secret[];
}

/** A postStart hook has no limit of its own in the API; the runtime's calls have. */
const POST_START_TIMEOUT_MS = 600_000;
/** What a container gets to end in, however short its grace period. */
const MIN_STOP_SECONDS = 2;

export class PodRuntime {
  readonly #o: PodRuntimeOptions;

  constructor(options: PodRuntimeOptions) {
    this.#o = options;
  }

  /** Makes and starts a sandbox; returns its id. Throws StartError. */
  async createSandbox(pod: Pod, attempt: number, signal: AbortSignal): Promise<string> {
    const { cri, cgroups, directories } = this.#o;
    try {
      const refusal = this.unsupported(pod);
      if (refusal) throw new StartError('FailedCreatePodSandBox', refusal);
      await cgroups.create(pod);
      await mkdir(directories.podLogs(pod), { recursive: true, mode: 0o755 });
      const config = await this.#sandboxConfig(pod, attempt);
      return await cri.runPodSandbox(config, pod.spec.runtimeClassName ?? '', { signal });
    } catch (error) {
      if (signal.aborted) throw error;
      const why = error instanceof CriError ? error.rpcText : (error as Error).message;
      const message = `Failed to create pod sandbox: ${why}`;
      this.#o.events.pod(pod, 'Warning', 'FailedCreatePodSandBox', message);
      throw new StartError('FailedCreatePodSandBox', message, error);
    }
  }

  /** What the pod asks for that this runtime would silently leave out. */
  unsupported(pod: Pod): string | undefined {
    const handlers = this.#o.runtimeHandlers();
    const handler = handlers.find((h) => h.name === (pod.spec.runtimeClassName ?? ''));
    if (pod.spec.hostUsers === false && !handler?.features?.userNamespaces) {
      return "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
    }
    const mounts = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].flatMap((c) => c.volumeMounts ?? []);
    const recursive = mounts.find((m) => m.recursiveReadOnly === 'Enabled');
    if (recursive && !handler?.features?.recursiveReadOnlyMounts) {
      return `volume "${recursive.name}" requested recursive read-only mode, but it is not supported by the runtime`;
    }
    return undefined;
  }

  /** Pulls, creates and starts one container. Throws StartError with the reason that its status waits for. */
  async startContainer(container: Container, context: StartContext, signal: AbortSignal): Promise<void> {
    const { cri, events, images } = this.#o;
    const { pod } = context.fields;
    const fail = (reason: string, error: unknown): never => {
      if (signal.aborted) throw signal.reason;
      const message = error instanceof Error ? error.message : String(error);
      events.container(pod, container, 'Warning', 'Failed', `Error: ${message}`);
      throw new StartError(reason, message, error);
    };
    const image = await images.ensure(pod, container, context.pullSecrets, signal).catch((error) => {
      if (signal.aborted || !(error instanceof StartError)) throw error;
      events.container(pod, container, 'Warning', 'Failed', `Error: ${error.reason}`);
      throw error;
    });
    const prepared = await this.#prepare(container, context, image, signal).catch((error) =>
      fail('CreateContainerConfigError', error),
    );
    const id = await cri
      .createContainer(context.sandbox.id, prepared.config, prepared.sandboxConfig, { signal })
      .catch((error) => fail('CreateContainerError', error));
    events.container(pod, container, 'Normal', 'Created', 'Container created');
    await cri.startContainer(id, { signal }).catch((error) => fail('RunContainerError', error));
    events.container(pod, container, 'Normal', 'Started', 'Container started');
    await this.#postStart(container, id, context, signal);
  }

  async #prepare(
    container: Container,
    context: StartContext,
    image: Parameters<typeof containerConfig>[0]['image'],
    signal: AbortSignal,
  ) {
    const { directories, cgroups } = this.#o;
    const { fields, observed, volumes } = context;
    const { pod } = fields;
    verifyRunAsNonRoot(pod, container, image);
    const environment = await this.#environment(container, fields, signal);
    const values = new Map(environment.map(({ name, value }) => [name, Buffer.from(value).toString()]));
    const variable = (name: string): string | undefined => values.get(name);
    const restartCount = nextRestartCount(pod, container, observed);
    const terminationHostPath = await this.#terminationLog(pod, container);
    const mounts: Mount[] = [
      ...(await volumeMounts({ pod, container, volumes, directories, variable })),
      ...(await this.#ownMounts(container, fields, terminationHostPath)),
    ];
    await mkdir(join(directories.podLogs(pod), container.name), { recursive: true, mode: 0o755 });
    const target = (pod.spec.ephemeralContainers ?? []).find((c) => c.name === container.name)?.targetContainerName;
    const targetId = target && newestContainer(observed, target)?.id;
    const node = { memoryBytes: this.#o.nodeMemoryBytes, cgroupV2: cgroups.v2 };
    const config = containerConfig({
      pod,
      container,
      image,
      restartCount,
      environment,
      mounts,
      resources: containerResources(pod, container, node),
      terminationHostPath,
      seccompDir: directories.seccomp,
      ...(targetId && { targetId }),
    });
    return { config, sandboxConfig: await this.#sandboxConfig(pod, context.sandbox.attempt) };
  }

  async #environment(container: Container, fields: FieldContext, signal: AbortSignal) {
    const { objects, services, allocatable } = this.#o;
    const { pod } = fields;
    const namespace = pod.metadata.namespace ?? '';
    const configMaps = new Map<string, Awaited<ReturnType<ReferencedObjects['configMap']>>>();
    const secrets = new Map<string, Awaited<ReturnType<ReferencedObjects['secret']>>>();
    const sources = [...(container.envFrom ?? []), ...(container.env ?? []).map((e) => e.valueFrom ?? {})];
    for (const source of sources) {
      const map =
        'configMapRef' in source
          ? source.configMapRef
          : 'configMapKeyRef' in source
            ? source.configMapKeyRef
            : undefined;
      const secret =
        'secretRef' in source ? source.secretRef : 'secretKeyRef' in source ? source.secretKeyRef : undefined;
      if (map?.name) configMaps.set(map.name, await objects.configMap(namespace, map.name, signal));
      if (secret?.name) secrets.set(secret.name, await objects.secret(namespace, secret.name, signal));
    }
    return containerEnvironment({
      ...fields,
      container,
      services: serviceVariables(services(), namespace, pod.spec.enableServiceLinks ?? true),
      allocatable: allocatable(),
      configMap: (name) => configMaps.get(name),
      secret: (name) => secrets.get(name),
    });
  }

  /** A file that the container may write its last words to. */
  async #terminationLog(pod: Pod, container: Container): Promise<string> {
    const directory = this.#o.directories.container(pod.metadata.uid!, container.name);
    await mkdir(directory, { recursive: true, mode: 0o750 });
    const path = join(directory, nameSuffix(this.#o.env.random, 8));
    await writeFile(path, '');
    await chmod(path, 0o666);
    return path;
  }

  /** /etc/hosts and the termination log, unless the pod mounts something there itself. */
  async #ownMounts(container: Container, fields: FieldContext, terminationHostPath: string): Promise<Mount[]> {
    const { pod, podIPs } = fields;
    const mounted = new Set((container.volumeMounts ?? []).map((m) => m.mountPath));
    const mounts: Mount[] = [];
    if (!mounted.has('/etc/hosts')) {
      const path = this.#o.directories.hostsFile(pod.metadata.uid!);
      const hostFile = pod.spec.hostNetwork ? await readFile('/etc/hosts', 'utf8').catch(() => '') : '';
      const text = hostsFile(pod, podIPs, podNames(pod, this.#o.dns.clusterDomain), hostFile);
      await writeFile(path, text, { mode: 0o644 });
      mounts.push({ containerPath: '/etc/hosts', hostPath: path, readonly: false });
    }
    const terminationPath = container.terminationMessagePath || '/dev/termination-log';
    if (!mounted.has(terminationPath)) {
      mounts.push({ containerPath: terminationPath, hostPath: terminationHostPath, readonly: false });
    }
    return mounts;
  }

  async #postStart(container: Container, id: string, context: StartContext, signal: AbortSignal): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (!hook) return;
    const { cri, env, events } = this.#o;
    const { pod, podIPs } = context.fields;
    const target = { pod, container, containerId: id, podIP: podIPs[0] ?? '' };
    try {
      await runHook(hook, target, { cri, clock: env.clock, timeoutMs: POST_START_TIMEOUT_MS, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      events.container(pod, container, 'Warning', 'FailedPostStartHook', 'PostStartHook failed');
      const graceSeconds = pod.spec.terminationGracePeriodSeconds ?? 30;
      await this.killContainer(
        { pod, container, id, graceSeconds, message: 'FailedPostStartHook', podIP: target.podIP },
        signal,
      );
      throw new StartError('PostStartHookError', (error as Error).message, error);
    }
  }

  /** Runs the preStop hook within the grace period and stops the container in what is left of it (2 s at least). */
  async killContainer(kill: KillRequest, signal: AbortSignal): Promise<void> {
    const { cri, env, events } = this.#o;
    const { pod, container, id, podIP } = kill;
    if (pod)
      events.container(pod, container, 'Normal', 'Killing', kill.message || `Stopping container ${container.name}`);
    let graceMs = kill.graceSeconds * 1000;
    const hook = container.lifecycle?.preStop;
    if (hook && graceMs > 0) {
      const begunMs = env.clock.monotonic();
      const context = { cri, clock: env.clock, timeoutMs: graceMs, signal };
      await runHook(hook, { pod, container, containerId: id, podIP }, context).catch(() => {
        if (signal.aborted) return;
        if (pod) events.container(pod, container, 'Warning', 'FailedPreStopHook', 'PreStopHook failed');
      });
      signal.throwIfAborted();
      graceMs -= env.clock.monotonic() - begunMs;
    }
    await cri.stopContainer(id, Math.max(MIN_STOP_SECONDS, Math.round(graceMs / 1000)), { signal });
  }

  async stopSandbox(id: string, signal: AbortSignal): Promise<void> {
    await this.#o.cri.stopPodSandbox(id, { signal });
  }

  /** Removes a sandbox with its containers. */
  async removeSandbox(id: string, signal: AbortSignal): Promise<void> {
    await this.#o.cri.stopPodSandbox(id, { signal });
    await this.#o.cri.removePodSandbox(id, { signal });
  }

  /** Removes dead containers that nothing is asked of any more: of each name the last two instances are kept. */
  async removeDead(observed: ObservedPod, signal: AbortSignal): Promise<void> {
    const seen = new Map<string, number>();
    for (const container of observed.containers) {
      const count = (seen.get(container.name) ?? 0) + 1;
      seen.set(container.name, count);
      if (count <= 2 || container.state === 'running') continue;
      await this.#o.cri.removeContainer(container.id, { signal });
      if (container.logPath) await rm(container.logPath, { force: true });
    }
    const used = new Set(observed.containers.map((c) => c.sandboxId));
    for (const sandbox of observed.sandboxes.slice(1)) {
      if (!sandbox.ready && !used.has(sandbox.id)) await this.removeSandbox(sandbox.id, signal);
    }
  }

  async removeLogs(pod: { namespace: string; name: string; uid: string }): Promise<void> {
    const path = podLogDirectory(this.#o.directories.logs, pod.namespace, pod.name, pod.uid);
    await rm(path, { recursive: true, force: true });
  }

  async #sandboxConfig(pod: Pod, attempt: number): Promise<SandboxConfig> {
    const { dns, directories, cgroups } = this.#o;
    const hostResolvConf = await readFile(dns.resolvConfPath, 'utf8').catch(() => '');
    return sandboxConfig({
      pod,
      attempt,
      hostname: podNames(pod, dns.clusterDomain).hostname,
      dns: podDns(pod, { ...dns, hostResolvConf }),
      logDirectory: directories.podLogs(pod),
      cgroupParent: cgroups.parent(pod),
      seccompDir: directories.seccomp,
    });
  }
}

export interface KillRequest {
  /** Undefined for a pod that is no longer in the API: no events are written then. */
  readonly pod: Pod | undefined;
  readonly container: Container;
  readonly id: string;
  readonly graceSeconds: number;
  readonly message: string;
  readonly podIP: string;
}

/** One more than the last instance's, also when that has been collected and only the API remembers it. */
function nextRestartCount(pod: Pod, container: Container, observed: ObservedPod): number {
  const last = newestContainer(observed, container.name);
  if (last) return last.restartCount + 1;
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const reported = statuses.find((s) => s.name === container.name);
  return reported?.containerID ? reported.restartCount + 1 : 0;
}
