import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod, ProjectedVolumeSource, Volume } from '../../api/generated/types.ts';
import type { Client } from '../../client/contract.ts';
import type { Environment } from '../../lib/environment.ts';
import { quantityValue } from '../../machinery/quantity.ts';
import { isReason } from '../../machinery/status.ts';
import type { Directories } from '../directories.ts';
import type { FieldContext } from '../env/fields.ts';
import type { ReferencedObjects } from '../objects.ts';
import { type Payload, type VolumeFile, writeAtomically } from './atomic-writer.ts';
import { checkHostPath } from './host-path.ts';
import type { ImageVolumes } from './images.ts';
import { isMountPoint, mountTmpfs, unmountBelow } from './mounts.ts';
import { applyFsGroup } from './ownership.ts';
import { configMapPayload, downwardPayload, secretPayload, VolumeError } from './payload.ts';
import type { TokenManager } from './tokens.ts';

export interface VolumeManagerOptions {
  readonly client: Client;
  readonly env: Environment;
  readonly directories: Directories;
  readonly objects: ReferencedObjects;
  readonly tokens: TokenManager;
  readonly allocatable: () => { readonly [resource: string]: string };
  readonly images: ImageVolumes;
}

/** A volume that could not be set up, with its name for the event. */
export class MountError extends Error {
  override name = 'MountError';
  readonly volume: string;

  constructor(volume: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`MountVolume.SetUp failed for volume ${JSON.stringify(volume)} : ${why}`, { cause });
    this.volume = volume;
  }
}

const DEFAULT_MODE = 0o644;

/** Sets up pods' volumes on the host, keeps the files in them current, and takes them away again. */
export class VolumeManager {
  readonly #options: VolumeManagerOptions;

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
  }

  /**
   * Brings all volumes of a pod to what they should be: path on the host by volume name. Runs again whenever the pod is
   * looked at, which is how changed ConfigMaps and renewed tokens get in. Throws MountError.
   */
  async ensure(fields: FieldContext, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const paths = new Map<string, string>();
    for (const volume of fields.pod.spec.volumes ?? []) {
      try {
        paths.set(volume.name, await this.#setUp(volume, fields, signal));
      } catch (error) {
        if (signal.aborted) throw error;
        throw new MountError(volume.name, error);
      }
    }
    return paths;
  }

  /** Takes a pod's volumes away, after unmounting what is mounted in them; the rest of its directory stays. */
  async tearDown(uid: string): Promise<void> {
    const directory = this.#options.directories.pod(uid);
    await unmountBelow(directory);
    await this.#options.images.release(uid);
    for (const name of ['volumes', 'volume-subpaths']) {
      await rm(join(directory, name), { recursive: true, force: true });
    }
    this.#options.tokens.forget(uid);
  }

  /** Takes a pod's whole directory away. */
  async removeDirectory(uid: string): Promise<void> {
    await this.tearDown(uid);
    await rm(this.#options.directories.pod(uid), { recursive: true, force: true });
  }

  async #setUp(volume: Volume, fields: FieldContext, signal: AbortSignal): Promise<string> {
    const { pod } = fields;
    if (volume.hostPath) {
      await checkHostPath(volume.hostPath);
      return volume.hostPath.path;
    }
    if (volume.emptyDir) return this.#emptyDir(volume, pod);
    if (volume.image) return this.#options.images.ensure(volume, pod, signal);
    if (volume.persistentVolumeClaim) {
      return this.#claim(pod, volume.persistentVolumeClaim.claimName, signal);
    }
    if (volume.ephemeral) return this.#claim(pod, `${pod.metadata.name}-${volume.name}`, signal);
    const files = await this.#payload(volume, fields, signal);
    if (!files) {
      const source = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
      throw new VolumeError(`no volume plugin matched: volumes of type ${source} are not supported`);
    }
    const directory = this.#options.directories.volume(pod.metadata.uid!, files.plugin, volume.name);
    await mkdir(directory, { recursive: true });
    const gid = pod.spec.securityContext?.fsGroup;
    const { random } = this.#options.env;
    await writeAtomically(directory, files.payload, { random, ...(gid !== undefined && { gid }) });
    return directory;
  }

  async #emptyDir(volume: Volume, pod: Pod): Promise<string> {
    const { medium = '', sizeLimit } = volume.emptyDir!;
    if (medium !== '' && medium !== 'Memory') throw new VolumeError(`unknown storage medium ${JSON.stringify(medium)}`);
    const uid = pod.metadata.uid!;
    const directory = this.#options.directories.volume(uid, 'empty-dir', volume.name);
    const fresh = (await mkdir(directory, { recursive: true })) !== undefined;
    if (medium === 'Memory' && !(await isMountPoint(directory))) {
      await mountTmpfs(directory, sizeLimit === undefined ? undefined : quantityValue(sizeLimit));
    } else if (!fresh) return directory;
    await chmod(directory, 0o777);
    const gid = pod.spec.securityContext?.fsGroup;
    if (gid !== undefined) await applyFsGroup(directory, gid);
    return directory;
  }

  /** A claim's volume, where it is a directory of this node. */
  async #claim(pod: Pod, claim: string, signal: AbortSignal): Promise<string> {
    const { client } = this.#options;
    const namespace = pod.metadata.namespace;
    const found = await client
      .resource('persistentvolumeclaims')
      .get({ namespace, name: claim }, signal)
      .catch((error) => {
        if (!isReason(error, 'NotFound')) throw error;
        throw new VolumeError(`persistentvolumeclaim "${claim}" not found`);
      });
    const name = found.spec?.volumeName;
    if (!name || found.status?.phase !== 'Bound') {
      throw new VolumeError(`PVC ${namespace}/${claim} is not bound`);
    }
    const { spec } = await client.resource('persistentvolumes').get({ name }, signal);
    const path = spec?.hostPath ?? spec?.local;
    if (!path)
      throw new VolumeError(`no volume plugin matched: persistent volume ${name} is neither hostPath nor local`);
    if (spec.hostPath) await checkHostPath(spec.hostPath);
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
    if (spec.local && fsGroup !== undefined) {
      await applyFsGroup(path.path, fsGroup, { onlyOnMismatch: fsGroupChangePolicy === 'OnRootMismatch' });
    }
    return path.path;
  }

  async #payload(
    volume: Volume,
    fields: FieldContext,
    signal: AbortSignal,
  ): Promise<{ plugin: string; payload: Payload } | undefined> {
    const { objects, allocatable } = this.#options;
    const namespace = fields.pod.metadata.namespace ?? '';
    const { configMap, secret, downwardAPI, projected } = volume;
    if (configMap) {
      const { name = '', items, optional = false, defaultMode = DEFAULT_MODE } = configMap;
      const object = await objects.configMap(namespace, name, signal);
      return { plugin: 'configmap', payload: configMapPayload(object, name, { items, optional, defaultMode }) };
    }
    if (secret) {
      const { secretName = '', items, optional = false, defaultMode = DEFAULT_MODE } = secret;
      const object = await objects.secret(namespace, secretName, signal);
      return { plugin: 'secret', payload: secretPayload(object, secretName, { items, optional, defaultMode }) };
    }
    if (downwardAPI) {
      const { items = [], defaultMode = DEFAULT_MODE } = downwardAPI;
      return { plugin: 'downward-api', payload: downwardPayload(items, defaultMode, fields, allocatable()) };
    }
    if (projected) return { plugin: 'projected', payload: await this.#projected(projected, fields, signal) };
    return undefined;
  }

  async #projected(volume: ProjectedVolumeSource, fields: FieldContext, signal: AbortSignal): Promise<Payload> {
    const { objects, tokens, allocatable } = this.#options;
    const { pod } = fields;
    const namespace = pod.metadata.namespace ?? '';
    const defaultMode = volume.defaultMode ?? DEFAULT_MODE;
    const files = new Map<string, VolumeFile>();
    const add = (payload: Payload): void => {
      for (const [path, file] of payload) files.set(path, file);
    };
    for (const source of volume.sources ?? []) {
      if (source.configMap) {
        const { name = '', items, optional = false } = source.configMap;
        add(configMapPayload(await objects.configMap(namespace, name, signal), name, { items, optional, defaultMode }));
      } else if (source.secret) {
        const { name = '', items, optional = false } = source.secret;
        add(secretPayload(await objects.secret(namespace, name, signal), name, { items, optional, defaultMode }));
      } else if (source.downwardAPI) {
        add(downwardPayload(source.downwardAPI.items ?? [], defaultMode, fields, allocatable()));
      } else if (source.serviceAccountToken) {
        const token = await tokens.token(pod, source.serviceAccountToken, signal);
        files.set(source.serviceAccountToken.path, { data: Buffer.from(token), ...tokenOwner(pod, defaultMode) });
      } else {
        throw new VolumeError(`projected source ${Object.keys(source)[0] ?? 'without a type'} is not supported`);
      }
    }
    return files;
  }
}

/** Whom a token belongs to: the one user that all containers run as, if there is one; else whoever the mode lets in. */
function tokenOwner(pod: Pod, defaultMode: number): { mode: number; uid?: number } {
  if (pod.spec.securityContext?.fsGroup !== undefined) return { mode: 0o600 };
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const users = new Set(all.map((c) => c.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser));
  const [only] = users;
  return users.size === 1 && only !== undefined ? { mode: 0o600, uid: only } : { mode: defaultMode };
}
