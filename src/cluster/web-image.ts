// A small web server as an image, without a registry: busybox, which answers with the name of its pod.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { tar } from '../kubelet/tar.ts';

/** Never pulled: it is loaded into every node. */
export const WEB_IMAGE = 'tsukube.local/web:1';

const NOTHING = new Uint8Array();
const SERVE = 'hostname >/www/index.html && exec /bin/busybox httpd -f -p 80 -h /www';

/** A docker archive, the same bytes every time on a machine. */
export async function webImageArchive(): Promise<Buffer> {
  const busybox = await readFile('/bin/busybox');
  const files = [
    { name: 'bin/busybox', content: busybox, mode: 0o755 },
    { name: 'bin/sh', content: NOTHING, link: 'busybox' },
    { name: 'bin/hostname', content: NOTHING, link: 'busybox' },
    { name: 'www/index.html', content: Buffer.from('\n'), mode: 0o644 },
  ];
  const layer = tar(files);
  // A name of its own: containerd refuses to ingest other bytes under the name that an import broken off has left behind.
  const digest = sha256(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Cmd: ['/bin/sh', '-c', SERVE], Env: ['PATH=/bin'], ExposedPorts: { '80/tcp': {} } },
      rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    }),
  );
  const name = `${sha256(config)}.json`;
  const manifest = [{ Config: name, RepoTags: [WEB_IMAGE], Layers: [`${digest}.tar`] }];
  return tar([
    { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
    { name, content: config },
    { name: `${digest}.tar`, content: layer },
  ]);
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
