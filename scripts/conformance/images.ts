// The images that the suite's pods ask for, under the suite's own names, made from Debian's programs and from what the suite
// was built with: nothing is pulled from anywhere.
import { chmodSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { busybox, copy, program, type Recipe, write, writeImage } from '../image-archive.ts';
import { sourceIn } from './build.ts';
import { run } from './process.ts';

/** Debian packages whose programs the images have. */
const PACKAGES = [
  'bash',
  'bind9-dnsutils',
  'busybox-static',
  'curl',
  'etcd-client',
  'etcd-server',
  'iproute2',
  'libc-bin',
  'netcat-openbsd',
  'nginx-light',
];
const PROGRAMS = ['/usr/bin/dig', '/usr/bin/curl', '/usr/bin/getent', '/bin/ss', '/bin/bash'];
const PATH = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];

function system(root: string): void {
  busybox(root);
  for (const folder of ['root', 'home', 'var/tmp', 'mnt', 'run']) mkdirSync(join(root, folder), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  write(root, '/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n');
  write(root, '/etc/group', 'root:x:0:\nnogroup:x:65534:\n');
  write(root, '/etc/nsswitch.conf', 'hosts: files dns\n');
}

/** Programs of Debian in the place of busybox's own. The shell too: busybox's runs its own, whatever PATH says. */
function programs(root: string, paths: readonly string[]): void {
  for (const path of paths) program(root, path);
  program(root, '/bin/dash');
  copy(root, '/bin/sh', '/bin/dash');
}

/** A program that stands for busybox's of the same name. */
function instead(root: string, path: string, from: string): void {
  programs(root, [from]);
  copy(root, path, from);
}

const plain: Recipe = { files: system, config: { Cmd: ['sh'], Env: PATH } };

const agnhost = (bin: string, source: string): Recipe => ({
  files(root) {
    system(root);
    mkdirSync(join(root, 'uploads'));
    for (const name of ['localhost.crt', 'localhost.key']) copy(root, `/${name}`, join(source, 'porter', name));
    programs(root, PROGRAMS);
    instead(root, '/usr/bin/nc', '/bin/nc.openbsd');
    copy(root, '/agnhost', join(bin, 'agnhost'));
    symlinkSync('agnhost', join(root, 'agnhost-2'));
  },
  config: { Entrypoint: ['/agnhost'], Cmd: ['pause'], Env: PATH },
});

/** A web server on port 80 that serves the folder `root`, in which are these files. */
const web = (folder: string, files: { readonly [name: string]: string }): Recipe => ({
  files(root) {
    system(root);
    programs(root, ['/usr/sbin/nginx']);
    instead(root, '/usr/bin/mv', '/bin/mv');
    write(root, '/etc/nginx.conf', configuration(folder));
    for (const [name, text] of Object.entries(files)) write(root, join(folder, name), text);
  },
  config: {
    Entrypoint: ['/usr/sbin/nginx', '-c', '/etc/nginx.conf', '-g', 'user root root;'],
    Env: ['PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ExposedPorts: { '80/tcp': {} },
  },
});

const configuration = (folder: string): string => `daemon off;
worker_processes 1;
error_log /dev/stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 256; }
http {
  access_log /dev/stdout;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server { listen 80; root ${folder}; }
}
`;

/** Says as whom it runs; it would be root, were it allowed to. */
const privileges: Recipe = {
  files(root) {
    system(root);
    programs(root, ['/usr/bin/id']);
    copy(root, '/usr/bin/as-root', '/usr/bin/id');
    chmodSync(join(root, 'usr/bin/as-root'), 0o4755);
  },
  config: { Entrypoint: ['/bin/sh', '-c', 'echo "Effective uid: $(/usr/bin/as-root -u)"'], Env: PATH },
};

const E2E = 'gcr.io/kubernetes-e2e-test-images';

/** By name, from the programs that were built with the suite, and its source. */
function recipes(cache: string): { readonly [name: string]: Recipe } {
  const bin = join(cache, 'bin');
  const httpd = web('/usr/local/apache2/htdocs', { 'index.html': '<html><body><h1>It works!</h1></body></html>\n' });
  const nginx = web('/usr/share/nginx/html', { 'index.html': '<title>Welcome to nginx!</title>\n' });
  const demo = (name: string): Recipe => web('/www', { 'data.json': `{\n"image": "${name}.jpg"\n}\n` });
  const one = (path: string, more: readonly string[] = []): Recipe => ({
    files(root) {
      system(root);
      programs(root, more);
      copy(root, path, join(bin, path));
    },
    config: { Entrypoint: [path], Env: PATH },
  });
  return {
    'k8s.gcr.io/e2e-test-images/agnhost:2.21': agnhost(bin, join(sourceIn(cache), 'test/images/agnhost')),
    'docker.io/library/busybox:1.29': plain,
    'k8s.gcr.io/pause:3.2': {
      files: (root) => copy(root, '/pause', join(bin, 'agnhost')),
      config: { Entrypoint: ['/pause', 'pause'] },
    },
    'docker.io/library/httpd:2.4.38-alpine': httpd,
    'docker.io/library/httpd:2.4.39-alpine': httpd,
    'docker.io/library/nginx:1.14-alpine': nginx,
    'docker.io/library/nginx:1.15-alpine': nginx,
    [`${E2E}/nautilus:1.0`]: demo('nautilus'),
    [`${E2E}/kitten:1.0`]: demo('kitten'),
    [`${E2E}/nonewprivs:1.0`]: privileges,
    [`${E2E}/nonroot:1.0`]: { ...plain, config: { Cmd: ['id', '-u'], Env: PATH, User: '1234' } },
    [`${E2E}/jessie-dnsutils:1.0`]: {
      files(root) {
        system(root);
        programs(root, [...PROGRAMS, '/usr/bin/nslookup']);
      },
      config: { Cmd: ['sleep', '3600'], Env: PATH },
    },
    [`${E2E}/sample-apiserver:1.17`]: one('/sample-apiserver'),
    'k8s.gcr.io/etcd:3.4.13-0': {
      files(root) {
        system(root);
        for (const name of ['etcd', 'etcdctl']) {
          programs(root, [`/usr/bin/${name}`]);
          copy(root, `/usr/local/bin/${name}`, `/usr/bin/${name}`);
        }
      },
      config: { Cmd: ['/usr/local/bin/etcd'], Env: PATH },
    },
  };
}

/** Archives of every image, made in `cache` where they are missing. */
export async function ensureImages(cache: string, say: (text: string) => void): Promise<readonly string[]> {
  const folder = join(cache, 'images');
  const wanted = Object.entries(recipes(cache)).map(
    ([name, recipe]) => [name, recipe, join(folder, `${name.replace(/[/:]/g, '_')}.tar`)] as const,
  );
  const missing = wanted.filter(([, , file]) => !existsSync(file));
  if (missing.length > 0) {
    say(`conformance: making ${missing.length} images ...`);
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    await run('apt-get', ['-qy', 'install', '--no-install-recommends', ...PACKAGES], { env });
    mkdirSync(folder, { recursive: true });
    for (const [name, recipe, file] of missing) writeImage(recipe, name, file);
  }
  return wanted.map(([, , file]) => file);
}
