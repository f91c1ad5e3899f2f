// What runs first on a host and on the switch: shell scripts, because they cost a megabyte each.

/**
 * The first process of a host. Arguments: the host's directory and name. It waits for a line on its input, which says that
 * the cable is plugged in; without one (who switched the host on has died) it ends. Then it starts every unit (a file of
 * `units/` whose lines are a command's words) under the supervising loop, takes up orphans, and looks every two seconds
 * whether the loops are there. /run is empty after every start, as on any machine.
 */
export const HOST_INIT = `#!/bin/sh
dir=$1
name=$2
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
read -r go || exit 1
exec </dev/null
say() { echo "$name: $*" >&2; }
cover() { [ -e "$2" ] || return 0; mount --bind "$1" "$2" || { say "cannot mount $2"; exit 1; }; }

hostname "$name" || exit 1
resolv=$(readlink -f /etc/resolv.conf)
mount -t tmpfs -o mode=755 tmpfs /run || exit 1
mkdir -p /run/lock
[ -n "$resolv" ] && [ ! -e "$resolv" ] && mkdir -p "$(dirname "$resolv")" && : >"$resolv"
cover "$dir/etc/resolv.conf" /etc/resolv.conf
cover "$dir/etc/hosts" /etc/hosts
cover "$dir/etc/hostname" /etc/hostname
cover "$dir/etc/machine-id" /etc/machine-id
cover "$dir/etc/boot-id" /proc/sys/kernel/random/boot_id
cover "$dir/var/lib/cni" /var/lib/cni
rm -f "$dir"/run/*.pid "$dir"/run/*.ended

start() {
  IFS='
'
  set -f
  set -- $(cat "$dir/units/$unit")
  set +f
  unset IFS
  setsid /bin/sh "\${dir%/hosts/*}/run/supervise.sh" "$dir/run/$unit.pid" "$@" >>"$dir/logs/$unit.log" 2>&1 &
  echo $! >"$dir/run/$unit.supervisor.pid"
}

# A loop that was killed left its process unguarded: that makes way for a guarded one.
guard() {
  for path in "$dir"/units/*; do
    unit=\${path##*/}
    [ -e "$path" ] || continue
    { read -r loop <"$dir/run/$unit.supervisor.pid"; } 2>/dev/null || loop=
    [ -n "$loop" ] && kill -0 "$loop" 2>/dev/null && continue
    [ -e "$dir/run/$unit.ended" ] && continue
    [ -n "$loop" ] && say "nobody guards $unit; starting it again"
    { read -r child <"$dir/run/$unit.pid"; } 2>/dev/null && kill -KILL "$child" 2>/dev/null
    start
  done
}

trap 'exit 0' TERM
while :; do
  guard
  sleep 2 &
  wait $!
done
`;

/** The first process of the switch: it only keeps the namespaces, and ends with them. Argument: a named pipe to wait on. */
export const SWITCH_INIT = `#!/bin/sh
exec 3<>"$1"
read -r never <&3
`;
