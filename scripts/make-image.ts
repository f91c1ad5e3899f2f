// Makes small container images from Debian's packages, without a registry and without Docker:
//   make-image.ts web NAME OUT.tar       a web server (nginx) that answers with its host name on port 80 and with NAME at
//                                        /version, with busybox beside it
//   make-image.ts client NAME OUT.tar    curl, with busybox beside it
//   make-image.ts busybox NAME OUT.tar   busybox alone
// The archive is what `docker save` writes; `tsukube image load OUT.tar` takes it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { tar } from '../src/kubelet/tar.ts';

const NGINX = `daemon off;
worker_processes 1;
error_log /dev/stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 256; }
http {
  access_log /dev/stdout;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server {
    listen 80;
    root /www;
    location = / { default_type text/plain; return 200 "$hostname\\n"; }
  }
}
`;

const KINDS: Readonly<Record<string, { files: (root: string, name: string) => void; config: object }>> = {
  busybox: { files: busybox, config: { Cmd: ['sh'], Env: ['PATH=/bin'] } },
  client: {
    files: (root) => {
      busybox(root);
      program(root, '/usr/bin/curl');
    },
    config: { Cmd: ['sh', '-c', 'trap exit TERM; while :; do sleep 3600 & wait; done'], Env: ['PATH=/bin:/usr/bin'] },
  },
  web: {
    files: (root, name) => {
      busybox(root);
      program(root, '/usr/sbin/nginx');
      write(root, '/etc/nginx.conf', NGINX);
      write(root, '/www/healthy', 'ok\n');
      write(root, '/www/version', `${name}\n`);
      write(root, '/etc/passwd', 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n');
      write(root, '/etc/group', 'root:x:0:\nnogroup:x:65534:\n');
    },
    config: {
      Entrypoint: ['/usr/sbin/nginx', '-c', '/etc/nginx.conf', '-g', 'user root root;'],
      Env: ['PATH=/bin:/usr/sbin'],
      ExposedPorts: { '80/tcp': {} },
    },
  },
};

function write(root: string, path: string, text: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function copy(root: string, path: string, from = path): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  copyFileSync(from, join(root, path));
}

/** A program with the shared libraries that it needs. */
function program(root: string, path: string): void {
  copy(root, path);
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  for (const [, library] of libraries) copy(root, library!);
}

function busybox(root: string): void {
  copy(root, '/bin/busybox');
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
  }
  for (const folder of ['tmp', 'etc', 'proc', 'sys', 'dev']) mkdirSync(join(root, folder), { recursive: true });
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

const [kind = '', name, out] = process.argv.slice(2);
const recipe = KINDS[kind];
if (!recipe || !name || !out) {
  console.error('usage: make-image.ts web|client|busybox NAME OUT.tar');
  process.exit(64);
}
const root = mkdtempSync(join(tmpdir(), 'image-'));
try {
  recipe.files(root, name);
  const options = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  const layer = execFileSync('tar', [...options, '-C', root, '-cf', '-', '.'], { maxBuffer: 1 << 28 });
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] };
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: recipe.config, rootfs }));
  const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: [name], Layers: ['layer.tar'] }];
  writeFileSync(
    out,
    tar([
      { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
      { name: `${sha256(config)}.json`, content: config },
      { name: 'layer.tar', content: layer },
    ]),
  );
  console.log(`${out}: ${name}, ${Math.round(readFileSync(out).length / 1024)} KiB`);
} finally {
  rmSync(root, { recursive: true, force: true });
}
