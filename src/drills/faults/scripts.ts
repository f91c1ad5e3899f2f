// The shell lines of faults. $dir is the host's directory, $scratch one of the drill's own below it. Whatever undoes may run on a
// host where nothing was done, or only a part of it, and twice.
import type { Component } from '../../cluster/ha/hosts.ts';
import type { Route } from './operations.ts';

/** Processes of relays run as this user, by which the rules know them. */
export const RELAY_USER = 65_534;
const TABLE = 'drill';
const quoted = (names: readonly string[]): string => `{ ${names.map((name) => `"${name}"`).join(', ')} }`;

/** Rules that the switch applies to packets from and to hosts. */
function onSwitch(hosts: readonly string[], verdict: string): string {
  return `nft -f - <<'END'
add table bridge ${TABLE}
add chain bridge ${TABLE} forward { type filter hook forward priority 10 ; }
add rule bridge ${TABLE} forward iifname ${quoted(hosts)} ${verdict}
add rule bridge ${TABLE} forward oifname ${quoted(hosts)} ${verdict}
END`;
}

export const HEAL_SWITCH = `nft -f - <<'END'
add table bridge ${TABLE}
delete table bridge ${TABLE}
END`;

export function loss(hosts: readonly string[], percent: number): string {
  return onSwitch(hosts, `numgen random mod 100 < ${percent} drop`);
}

export function bandwidth(hosts: readonly string[], kilobytesPerSecond: number): string {
  return onSwitch(hosts, `limit rate over ${kilobytesPerSecond} kbytes/second drop`);
}

export function netem(hosts: readonly string[], kind: 'duplicate' | 'reorder', percent: number): string {
  const how = kind === 'duplicate' ? `duplicate ${percent}%` : `delay 10ms reorder ${100 - percent}% 50%`;
  return hosts.map((host) => `tc qdisc add dev ${host} root netem ${how}`).join('\n');
}

export function noNetem(hosts: readonly string[]): string {
  return hosts.map((host) => `tc qdisc del dev ${host} root 2>/dev/null`).join('\n');
}

/** Existing connections are forgotten, so that they are made anew through the relay, or past it. */
function forget(ports: readonly number[]): string {
  return ports.map((port) => `conntrack -D -p tcp --orig-port-dst ${port} >/dev/null 2>&1`).join('\n');
}

export function throughRelay(routes: readonly Route[]): string {
  const rules = routes.map(
    ({ listen, address, port }) =>
      `add rule ip ${TABLE}-relay output meta skuid != ${RELAY_USER} ip daddr ${address} tcp dport ${port} redirect to :${listen}`,
  );
  return `nft -f - <<'END'
add table ip ${TABLE}-relay
add chain ip ${TABLE}-relay output { type nat hook output priority -110 ; }
${rules.join('\n')}
END
${forget(routes.map(({ port }) => port))}
true`;
}

export function pastRelay(ports: readonly number[]): string {
  return `nft -f - <<'END'
add table ip ${TABLE}-relay
delete table ip ${TABLE}-relay
END
${killed('relay')}
${forget(ports)}
true`;
}

export function block(ports: readonly number[]): string {
  const set = `{ ${ports.join(', ')} }`;
  const chains = ['prerouting', 'output'].map(
    (hook) => `add chain inet ${TABLE}-block ${hook} { type filter hook ${hook} priority -300 ; }
add rule inet ${TABLE}-block ${hook} tcp dport ${set} drop
add rule inet ${TABLE}-block ${hook} udp dport ${set} drop`,
  );
  return `nft -f - <<'END'
add table inet ${TABLE}-block
${chains.join('\n')}
END`;
}

export const UNBLOCK = `nft -f - <<'END'
add table inet ${TABLE}-block
delete table inet ${TABLE}-block
END`;

/** Ends what the drill left running on the host under this name. */
function killed(name: string): string {
  return `[ -e "$scratch/${name}.pid" ] && for pid in $(cat "$scratch/${name}.pid"); do kill -KILL "$pid" 2>/dev/null; done
rm -f "$scratch/${name}.pid"`;
}

/** The loop that would start it again stands still meanwhile. containerd's is the agent itself. */
export function stop(component: Component): string {
  // containerd is guarded by the agent itself.
  if (component === 'containerd')
    return `kill -STOP "$(cat "$dir/run/agent.pid")" && kill -KILL "$(cat ${CONTAINERD_PID})"`;
  return `kill -STOP "$(cat "$dir/run/${component}.supervisor.pid")" && kill -KILL "$(cat "$dir/run/${component}.pid")"`;
}

export function unstop(component: Component): string {
  const file = component === 'containerd' ? '$dir/run/agent.pid' : `$dir/run/${component}.supervisor.pid`;
  return `kill -CONT "$(cat "${file}")" 2>/dev/null
true`;
}

const CONTAINERD_PID = '/run/tsukube/*/containerd.pid';

/** It stands still and goes on ten times a second. */
export function slowDisk(percent: number): string {
  const still = ((percent / 100) * 0.1).toFixed(3);
  const goes = ((1 - percent / 100) * 0.1).toFixed(3);
  const loop = `while :; do read -r pid <"$dir/run/etcd.pid"; kill -STOP $pid; sleep ${still}; kill -CONT $pid; sleep ${goes}; done`;
  return background('slow-disk', loop);
}

export const FAST_DISK = `${killed('slow-disk')}
kill -CONT "$(cat "$dir/run/etcd.pid")" 2>/dev/null
true`;

export function busy(loops: number): string {
  return Array.from({ length: loops }, () => background('busy', 'while :; do :; done')).join('\n');
}

export const IDLE = `${killed('busy')}
true`;

function background(name: string, line: string): string {
  return `(${line}) </dev/null >/dev/null 2>&1 9>&- &
echo $! >>"$scratch/${name}.pid"`;
}

/**
 * etcd goes on on a file system in memory, as large as its data and a little, and then without a byte to spare. The data on disk
 * is not touched until all of it is copied back.
 */
export const FULL_DISK = `mountpoint -q "$dir/etcd" && exit 0
loop=$(cat "$dir/run/etcd.supervisor.pid")
kill -STOP "$loop" && kill -KILL "$(cat "$dir/run/etcd.pid")"
sleep 0.1
size=$(( $(du -sm "$dir/etcd" | cut -f1) + 24 ))
mkdir -p "$scratch/small" && mount -t tmpfs -o "size=\${size}m,mode=700" drill "$scratch/small" &&
  cp -a "$dir/etcd/." "$scratch/small/" && mount --move "$scratch/small" "$dir/etcd"
kill -CONT "$loop"
sleep 1
cat /dev/zero >"$dir/etcd/filler" 2>/dev/null
true`;

export const ROOMY_DISK = `loop=$(cat "$dir/run/etcd.supervisor.pid" 2>/dev/null)
if mountpoint -q "$dir/etcd"; then
  kill -STOP "$loop"; kill -KILL "$(cat "$dir/run/etcd.pid")" 2>/dev/null; sleep 0.1
  rm -f "$dir/etcd/filler"; rm -rf "$dir/etcd.new"
  cp -a "$dir/etcd" "$dir/etcd.new" && sync "$dir/etcd.new" && umount -l "$dir/etcd" &&
    mv "$dir/etcd" "$dir/etcd.old" && mv "$dir/etcd.new" "$dir/etcd" && rm -rf "$dir/etcd.old"
fi
mountpoint -q "$scratch/small" && umount -l "$scratch/small"
[ -n "$loop" ] && kill -CONT "$loop" 2>/dev/null
true`;

/** Debian's libfaketime shifts what a program is told of the time of day. */
export const FAKETIME = '/usr/lib/*/faketime/libfaketime.so.1';

/** The unit is started with another command; its own is kept. */
export function clock(component: Component, offset: string): string {
  return `unit="$dir/units/${component}"
[ -e "$scratch/unit-${component}" ] || cp "$unit" "$scratch/unit-${component}"
{ printf '/usr/bin/env\\nLD_PRELOAD=%s\\nFAKETIME=${offset}\\nFAKETIME_DONT_FAKE_MONOTONIC=1\\nDONT_FAKE_MONOTONIC=1\\n' ${FAKETIME}
  cat "$scratch/unit-${component}"; } >"$unit"
${startedAnew(component)}`;
}

export function rightClock(component: Component): string {
  return `[ -e "$scratch/unit-${component}" ] || exit 0
mv "$scratch/unit-${component}" "$dir/units/${component}"
${startedAnew(component)}`;
}

/** The first process of the host reads the unit when nobody guards it. */
function startedAnew(component: Component): string {
  return `kill -KILL "$(cat "$dir/run/${component}.supervisor.pid")"
kill -TERM "$(cat "$dir/run/${component}.pid")"
true`;
}

/**
 * In a group of its own, of either version of cgroups. What it has already is counted where it was: only growth is bounded. The
 * kernel kills what grows beyond, and the supervisor starts it again outside the group.
 */
export function memory(component: Component, megabytes: number): string {
  return `pid=$(cat "$dir/run/${component}.pid")
[ -e "$scratch/memory" ] && exit 0
if [ -d /sys/fs/cgroup/memory ]; then group=/sys/fs/cgroup/memory file=memory.limit_in_bytes
else group=/sys/fs/cgroup file=memory.max; fi
group="$group/drill-$(hostname)-$$"
mkdir "$group" && echo "$group" >"$scratch/memory" && echo "$pid" >"$group/cgroup.procs" && echo $(( ${megabytes} << 20 )) >"$group/$file"`;
}

export const ENOUGH_MEMORY = `[ -e "$scratch/memory" ] || exit 0
group=$(cat "$scratch/memory")
for file in memory.limit_in_bytes memory.max; do
  [ -e "$group/$file" ] && { echo -1 >"$group/$file" || echo max >"$group/$file"; } 2>/dev/null
done
for pid in $(cat "$group/cgroup.procs" 2>/dev/null); do echo "$pid" >"$(dirname "$group")/cgroup.procs"; done
rmdir "$group" 2>/dev/null
rm -f "$scratch/memory"`;

export function files(component: Component, spare: number): string {
  return `pid=$(cat "$dir/run/${component}.pid")
[ -e "$scratch/files-${component}" ] || prlimit --pid "$pid" --nofile --output SOFT --noheadings >"$scratch/files-${component}"
prlimit --pid "$pid" --nofile=$(( $(ls "/proc/$pid/fd" | wc -l) + ${spare} )):`;
}

export function enoughFiles(component: Component): string {
  return `[ -e "$scratch/files-${component}" ] || exit 0
prlimit --pid "$(cat "$dir/run/${component}.pid")" --nofile="$(tr -d ' ' <"$scratch/files-${component}"):"
rm -f "$scratch/files-${component}"`;
}

/** Puts back what was kept of a component's certificates. */
export function validCertificates(component: 'etcd' | 'server'): string {
  return `[ -d "$scratch/certificates-${component}" ] || exit 0
cp -a "$scratch/certificates-${component}/." "$dir/pki/${component === 'etcd' ? 'etcd/' : ''}" && rm -rf "$scratch/certificates-${component}"`;
}

export const FORGET_CERTIFICATES = `rm -rf "$scratch/certificates-server"`;
