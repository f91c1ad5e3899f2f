// Volumes that are images (KEP-4639): containerd shows an image's layers as a directory that cannot be written, which is
// mounted below the pod's own. Its CRI before version 2.1 knows no such mounts, so its snapshot service is asked.
import { mkdir, readdir } from 'node:fs/promises';
import type { Pod, Secret, Volume } from '../../api/generated/types.ts';
import type { CriClient } from '../cri/client.ts';
import type { Directories } from '../directories.ts';
import type { ImagePuller } from '../images/puller.ts';
import type { ReferencedObjects } from '../objects.ts';
import { isMountPoint, mountReadOnly } from './mounts.ts';
import { VolumeError } from './payload.ts';

const PLUGIN = 'image';

export interface ImageVolumesOptions {
  readonly cri: CriClient;
  readonly puller: ImagePuller;
  readonly objects: ReferencedObjects;
  readonly directories: Directories;
}

export class ImageVolumes {
  readonly #o: ImageVolumesOptions;

  constructor(options: ImageVolumesOptions) {
    this.#o = options;
  }

  /**
   * The directory in which the image is. It is pulled, by its own policy, when the volume is first mounted: a pod keeps what
   * it began with, also over restarts of the kubelet. Throws StartError when it cannot be pulled.
   */
  async ensure(volume: Volume, pod: Pod, signal: AbortSignal): Promise<string> {
    const { cri, puller, directories } = this.#o;
    const { reference = '', pullPolicy } = volume.image!;
    const uid = pod.metadata.uid!;
    const directory = directories.volume(uid, PLUGIN, volume.name);
    if (await isMountPoint(directory)) return directory;
    if (reference === '') throw new VolumeError('the image volume names no image');
    // As a container of that image would have it pulled, with the pod's secrets.
    const asContainer = { name: volume.name, image: reference, ...(pullPolicy && { imagePullPolicy: pullPolicy }) };
    const image = await puller.ensure(pod, asContainer, await this.#secrets(pod, signal), signal);
    const layers = await cri.imageLayers(image.id, { signal });
    if (layers.length === 0) throw new VolumeError(`the image ${reference} has no layers to be mounted`);
    // Before there is anything to be given back: `release` finds by the directories what that is.
    await mkdir(directory, { recursive: true });
    const [mount, ...more] = await cri.viewLayers(viewKey(uid, volume.name), layers, { signal });
    if (!mount || more.length > 0) throw new VolumeError(`containerd cannot show the image ${reference} as one mount`);
    await mountReadOnly(mount, directory);
    return directory;
  }

  /** Gives back what a pod's image volumes were shown from. They are unmounted already; their directories are still there. */
  async release(uid: string): Promise<void> {
    const { cri, directories } = this.#o;
    const names = await readdir(directories.volumesOf(uid, PLUGIN)).catch(() => []);
    for (const name of names) await cri.removeView(viewKey(uid, name));
  }

  async #secrets(pod: Pod, signal: AbortSignal): Promise<readonly Secret[]> {
    const names = (pod.spec.imagePullSecrets ?? []).map((s) => s.name ?? '');
    const namespace = pod.metadata.namespace ?? '';
    const found = await Promise.all(names.map((name) => this.#o.objects.secret(namespace, name, signal)));
    return found.filter((secret) => secret !== undefined);
  }
}

/** The images that a pod's volumes are made of. */
export function imagesOfVolumes(pod: Pod): readonly string[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => volume.image?.reference ?? []);
}

function viewKey(uid: string, volume: string): string {
  return `tsukube-image-volume/${uid}/${volume}`;
}
