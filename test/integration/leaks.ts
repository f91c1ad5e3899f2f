// What a cluster could leave behind on a machine: compared before and after.
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Everything that counts, as lines by subject. */
export type Traces = ReadonlyMap<string, ReadonlySet<string>>;

export function traces(): Traces {
  return new Map(
    [
      ['processes', processes()],
      ['mounts', mounts()],
      ['network namespaces', namespaces()],
      ['interfaces', lines('ip', ['-o', 'link', 'show']).map(interfaceName)],
      [
        'addresses',
        lines('ip', ['-o', 'addr', 'show']).map((line) => line.replace(/\s+/g, ' ').replace(/valid_lft.*/, '')),
      ],
      ['routes', lines('ip', ['route', 'show', 'table', 'all'])],
      ['rules', existsSync('/usr/sbin/nft') ? lines('nft', ['list', 'tables']) : []],
      ['cgroups', cgroups()],
      [
        'files',
        globSync(['/run/tsukube/**', '/var/run/netns/*', '/var/lib/cni/**', '/var/log/pods/*', '/etc/cni/net.d/*']),
      ],
      ['sysctls', sysctls()],
    ].map(([subject, found]) => [subject as string, new Set(found as string[])]),
  );
}

/** Lines of `after` that `before` does not have, each with its subject. Empty: nothing leaked. */
export function leaked(before: Traces, after: Traces): string[] {
  const found: string[] = [];
  for (const [subject, now] of after) {
    for (const line of now) if (!before.get(subject)?.has(line)) found.push(`${subject}: ${line}`);
  }
  return found;
}

/**
 * Processes by id and command line. What a cluster leaves behind is detached: what still has a parent that is no part of a
 * cluster (a shell, another test) is not counted.
 */
function processes(): string[] {
  const all = new Map(readdirSync('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? processOf(Number(entry)) : [])));
  const isDetached = (pid: number): boolean => {
    const found = all.get(pid);
    return pid <= 1 || !found || (found.isOurs && isDetached(found.parent));
  };
  return [...all].filter(([pid]) => pid > 1 && isDetached(pid)).map(([pid, { command }]) => `${pid} ${command}`);
}

function processOf(pid: number): [number, { parent: number; command: string; isOurs: boolean }][] {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
    const isOurs = /tsukube|containerd|runc|nginx|busybox|etcd|haproxy|keepalived/.test(command);
    return [[pid, { parent, command, isOurs }]];
  } catch (error) {
    // It ended while we looked.
    if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return [];
  }
}

function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[4]!);
}

function namespaces(): string[] {
  const found = new Set<string>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      found.add(readlinkSync(`/proc/${entry}/ns/net`));
    } catch (error) {
      if (!['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return [...found];
}

function interfaceName(line: string): string {
  return line.split(':')[1]!.trim().replace(/@.*/, '');
}

function cgroups(): string[] {
  return globSync('/sys/fs/cgroup/**/').filter((path) => /kubepods|tsukube|cri-containerd/.test(path));
}

function sysctls(): string[] {
  const names = ['net/ipv4/ip_forward', 'net/ipv4/conf/all/rp_filter', 'net/bridge/bridge-nf-call-iptables'];
  return names
    .filter((name) => existsSync(`/proc/sys/${name}`))
    .map((name) => `${name}=${readFileSync(`/proc/sys/${name}`, 'utf8').trim()}`);
}

function lines(command: string, args: string[]): string[] {
  return execFileSync(command, args, { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
