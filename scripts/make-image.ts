// Makes small container images from Debian's packages, without a registry and without Docker:
//   make-image.ts web NAME OUT.tar       a web server (nginx) that answers with its host name on port 80 and with NAME at
//                                        /version, with busybox beside it
//   make-image.ts client NAME OUT.tar    curl, with busybox beside it
//   make-image.ts busybox NAME OUT.tar   busybox alone
// The archive is what `docker save` writes; `tsukube image load OUT.tar` takes it.
import { statSync } from 'node:fs';
import { busybox, program, type Recipe, write, writeImage } from './image-archive.ts';

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

const KINDS: Readonly<Record<string, Recipe>> = {
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

const [kind = '', name, out] = process.argv.slice(2);
const recipe = KINDS[kind];
if (!recipe || !name || !out) {
  console.error('usage: make-image.ts web|client|busybox NAME OUT.tar');
  process.exit(64);
}
writeImage(recipe, name, out);
console.log(`${out}: ${name}, ${Math.round(statSync(out).size / 1024)} KiB`);
