// HAProxy in front of the API servers, and keepalived for the address that clients use. Pure.
import type { Profile } from '../profiles.ts';
import { API_PORT, HAPROXY_MONITOR_PORT, type HostSpec, SERVER_PORT } from './topology.ts';

export interface HaproxyOptions {
  readonly servers: readonly Pick<HostSpec, 'name' | 'address'>[];
  /** What signed the servers' certificates. */
  readonly caFile: string;
  readonly timings: Profile['haproxy'];
  /** Where it runs as once its ports are open; absent: as it was started. */
  readonly user?: string;
}

/** A server that cannot reach etcd still answers what it has in its caches. */
export const LIVE_PATH = '/livez?exclude=etcd';
/**
 * Who lives is asked for only when nobody is ready: so much less often. And it takes so many times the failures to be taken for
 * dead: where that is wrong, because everything is slow, hosts give the address back and make it worse.
 */
const LIVE_CHECK_FACTOR = 5;
const LIVE_FALL_FACTOR = 3;
/** Unanswered ones in a row end a connection. */
const KEEP_ALIVE_PROBES = 2;

/**
 * A connection goes to the server with fewer of two that are drawn ("leastconn" would have a refused one wait before it goes to
 * the next server). A server that is ready is preferred; when none is (etcd has no quorum), those that live answer what can be
 * read from their caches. One that says itself that it is not ready gets no new connections and keeps those that it has:
 * requests outlast an election of etcd. A connection that is refused goes to the next server, and has the first checked in quick
 * succession; checks without an answer take it out and end its connections. (If the refusal itself took it out, that would end
 * the very connection that is on its way to the next.) What a host that vanished does not acknowledge ends its connection
 * before the checks do. One thread: each has TLS sessions of its own, and a check that resumes one costs both sides a third less.
 */
export function haproxyConfig({ servers, caFile, timings, user }: HaproxyOptions): string {
  const { checkIntervalMs, fastCheckIntervalMs, fall, rise } = timings;
  const checks = (interval: number, failures: number): string =>
    `inter ${checkIntervalMs * interval}ms fastinter ${fastCheckIntervalMs}ms fall ${fall * failures} rise ${rise}`;
  const backend = (name: string, path: string, checked: string): string => `
backend ${name}
  balance random(2)
  option httpchk GET ${path}
  http-check expect status 200 error-status L7OKC
  option redispatch 1
  retries 3
  default-server check check-ssl ca-file ${caFile} verify required ${checked} tcp-ut ${timings.unacknowledgedMs}ms on-marked-down shutdown-sessions
${servers.map((s) => `  server ${s.name} ${s.address}:${SERVER_PORT} verifyhost ${s.name}`).join('\n')}
`;
  return `global
  maxconn 8192
  log stderr format raw local0
  nbthread 1
  hard-stop-after 30s${user ? `\n  user ${user}\n  group ${user}` : ''}

defaults
  mode tcp
  log global
  option tcplog
  option dontlog-normal
  timeout connect ${timings.connectTimeoutMs}ms
  timeout check ${timings.checkTimeoutMs}ms
  timeout client 1h
  timeout server 1h
  option clitcpka
  option srvtcpka
${keepAlive('cli', timings)}${keepAlive('srv', timings)}
frontend api
  bind :${API_PORT}
  use_backend live if { nbsrv(ready) eq 0 }
  default_backend ready
${backend('ready', '/readyz', `${checks(1, 1)} observe layer4 error-limit 1 on-error fastinter`)}${backend('live', LIVE_PATH, checks(LIVE_CHECK_FACTOR, LIVE_FALL_FACTOR))}
frontend monitor
  mode http
  bind 127.0.0.1:${HAPROXY_MONITOR_PORT}
  timeout client 5s
  monitor-uri /ok
  monitor fail if { nbsrv(ready) eq 0 } { nbsrv(live) eq 0 }
`;
}

/** A peer that vanished while nothing was said: HTTP/1.1 has no pings. TCP counts in whole seconds. */
function keepAlive(side: 'cli' | 'srv', { keepAliveSeconds }: Profile['haproxy']): string {
  const lines = [`idle ${keepAliveSeconds}s`, `intvl ${keepAliveSeconds}s`, `cnt ${KEEP_ALIVE_PROBES}`];
  return lines.map((line) => `  ${side}tcpka-${line}\n`).join('');
}

export interface KeepalivedOptions {
  readonly host: Pick<HostSpec, 'name' | 'address'>;
  /** All control planes, in an order that is the same on each of them. */
  readonly all: readonly Pick<HostSpec, 'name' | 'address'>[];
  readonly virtualAddress: string;
  readonly timings: Profile['keepalived'];
}

const ROUTER_ID = 51;
const LOWEST_PRIORITY = 100;

/** All begin as backups, and who has the address keeps it as long as it can: nothing moves because a host came back. */
export function keepalivedConfig({ host, all, virtualAddress, timings }: KeepalivedOptions): string {
  const others = all.filter(({ name }) => name !== host.name);
  const priority = LOWEST_PRIORITY + all.length - all.findIndex(({ name }) => name === host.name);
  // keepalived runs scripts at whole seconds only.
  const seconds = Math.max(1, Math.round(timings.checkIntervalMs / 1000));
  return `global_defs {
  router_id ${host.name}
  script_user root
  enable_script_security
  vrrp_version 3
  vrrp_garp_master_delay 1
  vrrp_garp_master_refresh 5
}

vrrp_script balancer {
  script "/bin/busybox wget -q -O /dev/null http://127.0.0.1:${HAPROXY_MONITOR_PORT}/ok"
  interval ${seconds}
  timeout ${seconds}
  fall ${timings.fall}
  rise ${timings.rise}
}

vrrp_instance api {
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id ${ROUTER_ID}
  priority ${priority}
  advert_int ${timings.advertisementMs / 1000}
  unicast_src_ip ${host.address}
  unicast_peer {
${others.map(({ address }) => `    ${address}`).join('\n')}
  }
  virtual_ipaddress {
    ${virtualAddress}/32 dev eth0
  }
  track_script {
    balancer
  }
}
`;
}
