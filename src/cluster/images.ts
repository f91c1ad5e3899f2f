import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { containerdSocket } from '../kubelet/containerd.ts';
import { importImage } from '../kubelet/pause-image.ts';
import type { Layout } from './layout.ts';

/** Puts an OCI or docker archive into the node's containerd; the names of what was in it. */
export async function loadImage(layout: Layout, file: string, signal: AbortSignal): Promise<readonly string[]> {
  const path = resolve(file);
  await access(path).catch((cause: unknown) => {
    throw new Error(`${path} cannot be read`, { cause });
  });
  const socket = containerdSocket({ stateDir: layout.agent.state });
  await access(socket).catch((cause: unknown) => {
    throw new Error(`cluster "${layout.name}" has no containerd running; start it with "tsukube up"`, { cause });
  });
  return importImage({ socket }, path, signal);
}
