import { statfs } from 'node:fs/promises';
import type { CriClient } from '../cri/client.ts';
import type { Image } from '../cri/types.ts';

/** When images are removed, and how far down: shares of the disk that holds them. */
export interface ImageGcPolicy {
  readonly highShare: number;
  readonly lowShare: number;
  readonly minAgeMs: number;
}

export const DEFAULT_IMAGE_GC: ImageGcPolicy = { highShare: 0.85, lowShare: 0.8, minAgeMs: 120_000 };

export interface ImageUse {
  readonly firstSeenMs: number;
  readonly lastUsedMs: number;
}

/**
 * The images to remove to free `bytes`, those not used for longest first. Never: images in use, pinned ones, and those
 * that have just come. Pure.
 */
export function imagesToRemove(
  images: readonly Image[],
  facts: {
    readonly inUse: ReadonlySet<string>;
    readonly uses: ReadonlyMap<string, ImageUse>;
    readonly bytes: number;
    readonly nowMs: number;
    readonly minAgeMs: number;
  },
): readonly Image[] {
  const old = images
    .filter((image) => !facts.inUse.has(image.id) && !image.pinned)
    .map((image) => ({ image, use: facts.uses.get(image.id) ?? { firstSeenMs: facts.nowMs, lastUsedMs: 0 } }))
    .filter(({ use }) => facts.nowMs - use.firstSeenMs >= facts.minAgeMs)
    .sort((a, b) => a.use.lastUsedMs - b.use.lastUsedMs || a.use.firstSeenMs - b.use.firstSeenMs);
  const chosen: Image[] = [];
  let freed = 0;
  for (const { image } of old) {
    if (freed >= facts.bytes) break;
    chosen.push(image);
    freed += Number(image.size);
  }
  return chosen;
}

/** Keeps the disk of images below its threshold. */
export class ImageGarbageCollector {
  readonly #cri: CriClient;
  readonly #policy: ImageGcPolicy;
  readonly #keep: ReadonlySet<string>;
  readonly #uses = new Map<string, ImageUse>();

  /** `keep`: names of images that are never removed (the sandbox image). */
  constructor(cri: CriClient, keep: ReadonlySet<string>, policy: ImageGcPolicy = DEFAULT_IMAGE_GC) {
    this.#cri = cri;
    this.#policy = policy;
    this.#keep = keep;
  }

  /** `mounted`: images that are in use though no container was made of them, as pods name them: "busybox". */
  async collect(
    nowMs: number,
    signal: AbortSignal,
    mounted: ReadonlySet<string> = new Set(),
  ): Promise<readonly Image[]> {
    const [images, containers, shown] = await Promise.all([
      this.#cri.listImages({ signal }),
      this.#cri.listContainers({ signal }),
      Promise.all([...mounted].map((name) => this.#idOf(name, signal))),
    ]);
    const refs = new Set([...containers.flatMap((c) => [c.imageRef, c.image?.image ?? '']), ...shown]);
    const names = (image: Image): string[] => [image.id, ...image.repoTags, ...image.repoDigests];
    const inUse = new Set(
      images.filter((i) => names(i).some((n) => refs.has(n) || this.#keep.has(n))).map((i) => i.id),
    );
    this.#note(images, inUse, nowMs);
    const excess = await this.#excessBytes(signal);
    if (excess <= 0) return [];
    const { minAgeMs } = this.#policy;
    const chosen = imagesToRemove(images, { inUse, uses: this.#uses, bytes: excess, nowMs, minAgeMs });
    for (const image of chosen) await this.#cri.removeImage(image.id, { signal });
    return chosen;
  }

  /** The runtime knows which image a short name means. A name that is none keeps the node from nothing. */
  async #idOf(name: string, signal: AbortSignal): Promise<string> {
    const image = await this.#cri.imageStatus(name, { signal }).catch(() => signal.throwIfAborted());
    return image?.id ?? name;
  }

  #note(images: readonly Image[], inUse: ReadonlySet<string>, nowMs: number): void {
    const present = new Set(images.map((image) => image.id));
    for (const id of this.#uses.keys()) if (!present.has(id)) this.#uses.delete(id);
    for (const { id } of images) {
      const known = this.#uses.get(id) ?? { firstSeenMs: nowMs, lastUsedMs: 0 };
      this.#uses.set(id, inUse.has(id) ? { ...known, lastUsedMs: nowMs } : known);
    }
  }

  /** Bytes above the low mark, once the high mark is passed. */
  async #excessBytes(signal: AbortSignal): Promise<number> {
    const [filesystem] = await this.#cri.imageFsInfo({ signal });
    const mountpoint = filesystem?.fsId?.mountpoint;
    const stats = mountpoint ? await statfs(mountpoint).catch(() => undefined) : undefined;
    if (!stats || stats.blocks === 0) return 0;
    const capacity = stats.blocks * stats.bsize;
    const used = capacity - stats.bavail * stats.bsize;
    return used / capacity < this.#policy.highShare ? 0 : used - capacity * this.#policy.lowShare;
  }
}
