// What small container images are made of: root file systems from Debian's programs, written as `docker save` would.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { tar } from '../src/kubelet/tar.ts';

/** What an image is made of. */
export interface Recipe {
  /** Fills the root file system; `name` is the image's. */
  readonly files: (root: string, name: string) => void;
  /** The image's own configuration: Cmd, Entrypoint, Env, User. */
  readonly config: object;
}

export function write(root: string, path: string, text: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

export function copy(root: string, path: string, from = path): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  // What stands there may be a link, to a program that many share.
  rmSync(join(root, path), { force: true });
  copyFileSync(from, join(root, path));
}

/** A program with the shared libraries that it needs. */
export function program(root: string, path: string): void {
  copy(root, path);
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  for (const [, library] of libraries) copy(root, library!);
}

export function busybox(root: string): void {
  copy(root, '/bin/busybox');
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
  }
  for (const folder of ['tmp', 'etc', 'proc', 'sys', 'dev']) mkdirSync(join(root, folder), { recursive: true });
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Makes an image and writes it as an archive that `tsukube image load` takes. */
export function writeImage(recipe: Recipe, name: string, out: string): void {
  const root = mkdtempSync(join(tmpdir(), 'image-'));
  try {
    recipe.files(root, name);
    const options = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
    const layer = execFileSync('tar', [...options, '-C', root, '-cf', '-', '.'], { maxBuffer: 1 << 28 });
    // A name of its own: containerd refuses to ingest other bytes under the name that an import broken off has left behind.
    const digest = sha256(layer);
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    const rootfs = { type: 'layers', diff_ids: [`sha256:${digest}`] };
    const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: recipe.config, rootfs }));
    const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: [name], Layers: [`${digest}.tar`] }];
    writeFileSync(
      out,
      tar([
        { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
        { name: `${sha256(config)}.json`, content: config },
        { name: `${digest}.tar`, content: layer },
      ]),
    );
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
