// What a node needs from Debian, and how it gets there.
import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';

/** A Debian package and a file that shows it is there. */
interface DebianPackage {
  readonly name: string;
  readonly shownBy: string;
}

export const NODE_PACKAGES: readonly DebianPackage[] = [
  { name: 'containerd', shownBy: '/usr/bin/containerd' },
  { name: 'runc', shownBy: '/usr/sbin/runc' },
  { name: 'containernetworking-plugins', shownBy: '/usr/lib/cni/bridge' },
  { name: 'nftables', shownBy: '/usr/sbin/nft' },
  { name: 'iproute2', shownBy: '/bin/ip' },
  { name: 'conntrack', shownBy: '/usr/sbin/conntrack' },
  { name: 'busybox-static', shownBy: '/bin/busybox' },
  { name: 'unzip', shownBy: '/usr/bin/unzip' },
  { name: 'ca-certificates', shownBy: '/etc/ssl/certs/ca-certificates.crt' },
];

/** What a cluster of several hosts needs besides. */
export const HA_PACKAGES: readonly DebianPackage[] = [
  { name: 'etcd-server', shownBy: '/usr/bin/etcd' },
  { name: 'etcd-client', shownBy: '/usr/bin/etcdctl' },
  { name: 'haproxy', shownBy: '/usr/sbin/haproxy' },
  { name: 'keepalived', shownBy: '/usr/sbin/keepalived' },
];

/** What only the tests need: clusters of several hosts, a web server to put into an image, a client, a system call trace. */
export const TEST_PACKAGES: readonly DebianPackage[] = [
  ...HA_PACKAGES,
  { name: 'nginx-light', shownBy: '/usr/sbin/nginx' },
  { name: 'curl', shownBy: '/usr/bin/curl' },
  { name: 'strace', shownBy: '/usr/bin/strace' },
  { name: 'procps', shownBy: '/usr/bin/pgrep' },
];

/** The packages of the list whose file is not there. */
export async function missingPackages(wanted: readonly DebianPackage[]): Promise<string[]> {
  const present = await Promise.all(
    wanted.map((p) =>
      access(p.shownBy).then(
        () => true,
        () => false,
      ),
    ),
  );
  return wanted.filter((_, i) => !present[i]).map((p) => p.name);
}

/**
 * Installs packages with apt-get, without starting any service of theirs. Throws with apt's own words when it fails.
 */
export async function installPackages(names: readonly string[], signal: AbortSignal): Promise<void> {
  if (names.length === 0) return;
  const install = ['install', '-qy', '--no-install-recommends', ...names];
  const first = await aptGet(install, signal);
  if (first.code === 0) return;
  // A fresh machine has no package lists, or stale ones.
  const update = await aptGet(['update', '-q'], signal);
  if (update.code !== 0) throw new Error(`apt-get update failed:\n${update.output}`);
  const second = await aptGet(install, signal);
  if (second.code !== 0) throw new Error(`apt-get could not install ${names.join(', ')}:\n${second.output}`);
}

async function aptGet(args: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }> {
  const child = spawn('apt-get', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // RUNLEVEL=1 makes Debian's maintainer scripts leave services alone: we run our own containerd.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    signal,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-8192);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
