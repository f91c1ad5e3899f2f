import type { ImageColumn } from '../columns.ts';
import { type Cycle, MAX_NODE_SCORE, type NodeScorer, type ScorePlugin } from '../framework.ts';

const MEGABYTE = 1024 * 1024;
const MINIMUM = 23 * MEGABYTE;
const MAXIMUM_PER_CONTAINER = 1000 * MEGABYTE;

/** Prefers nodes that hold the pod's images; an image that few nodes hold counts less, so that pods do not heap up. */
export const imageLocality: ScorePlugin = {
  name: 'ImageLocality',
  preScore: ({ info, columns }: Cycle): NodeScorer | undefined => {
    if (columns.images.size === 0) return undefined;
    const containers = [...(info.pod.spec.initContainers ?? []), ...info.pod.spec.containers];
    const images = containers
      .map((container) => columns.images.get(normalizedImageName(container.image ?? '')))
      .filter((image): image is ImageColumn => image !== undefined);
    if (images.length === 0) return undefined;
    const total = columns.nodeCount;
    const maximum = MAXIMUM_PER_CONTAINER * containers.length;
    return {
      add: ({ nodes, count, totals }, weight) => {
        for (let i = 0; i < count; i++) {
          let sum = 0;
          for (const image of images) sum += Math.floor(image.sizes[nodes[i]!]! * (image.nodes / total));
          const bounded = Math.min(maximum, Math.max(MINIMUM, sum));
          totals[i]! += weight * Math.floor((MAX_NODE_SCORE * (bounded - MINIMUM)) / (maximum - MINIMUM));
        }
      },
    };
  },
};

/** An image without tag or digest means its `latest`. */
export function normalizedImageName(name: string): string {
  return name.lastIndexOf(':') <= name.lastIndexOf('/') ? `${name}:latest` : name;
}
