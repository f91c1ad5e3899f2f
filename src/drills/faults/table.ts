// Every drill: what is broken, for how long, and what clients may notice of it, in the fast profile.
import { API_PORT, ETCD_CLIENT_PORT, ETCD_PEER_PORT, SERVER_PORT } from '../../cluster/ha/topology.ts';
import type { Drill, Step } from './drill.ts';
import type { Fault, Target } from './fault.ts';

const NAMESPACE = 'drill';
const at = (atMs: number, fault: Fault, forMs?: number): Step => ({
  fault,
  atMs,
  ...(forMs !== undefined && { forMs }),
});
const once = (fault: Fault, forMs?: number): readonly Step[] => [at(0, fault, forMs)];

const LEADER: Target = { role: 'etcd-leader' };
const FOLLOWER: Target = { role: 'etcd-follower' };
const HOLDER: Target = { role: 'address-holder' };
const WORKER: Target = { role: 'worker' };
const CONTROL_PLANE: Target = { role: 'control-plane' };
const CONTROLLERS: Target = { role: 'controllers' };

/** One API server of several: whoever asks again is answered by another. */
const ONE_SERVER = 'writes<0.5s,service=0';
/** What no write goes through: a machine that starts containers on two cores makes writes wait for some hundred ms. */
const UNTOUCHED = 'writes<1s,service=0';
/** Nothing says that a process stands still but its silence: HAProxy's checks find it out within 0.9 s. */
const SILENT_SERVER = 'writes<1.5s,service=0';

export const DRILLS: readonly Drill[] = [
  {
    name: 'server-kill',
    title: 'an API server is killed',
    steps: once({ kind: 'kill', on: HOLDER, component: 'server' }),
    objective: `${ONE_SERVER},failed=0`,
  },
  {
    name: 'server-restart',
    title: 'an API server is stopped in good order and started again',
    steps: once({ kind: 'restart', on: HOLDER, component: 'server' }),
    objective: ONE_SERVER,
  },
  {
    name: 'server-stop',
    title: 'an API server stays away',
    steps: once({ kind: 'stop', on: HOLDER, component: 'server' }, 5_000),
    objective: 'writes<1s,service=0',
  },
  {
    name: 'server-pause',
    title: 'an API server stands still, its connections open',
    steps: once({ kind: 'pause', on: HOLDER, component: 'server' }, 5_000),
    objective: SILENT_SERVER,
  },
  {
    name: 'etcd-leader-kill',
    title: "etcd's leader is killed",
    steps: once({ kind: 'kill', on: LEADER, component: 'etcd' }),
    objective: 'writes<2.5s,service=0',
  },
  {
    name: 'etcd-leader-pause',
    title: "etcd's leader stands still",
    steps: once({ kind: 'pause', on: LEADER, component: 'etcd' }, 6_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'etcd-leader-isolated',
    title: "etcd's leader is cut off from the other members only",
    steps: once({ kind: 'partition', from: LEADER, to: 'others', ports: [ETCD_PEER_PORT] }, 6_000),
    objective: 'writes<3s,service=0',
  },
  {
    name: 'etcd-one-way',
    title: "what etcd's leader sends no longer arrives, what others send does",
    steps: once({ kind: 'partition', from: LEADER, to: 'others', oneWay: true, ports: [ETCD_PEER_PORT] }, 6_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'controllers-kill',
    title: 'the active controllers are killed',
    steps: once({ kind: 'kill', on: CONTROLLERS, component: 'server' }),
    objective: `${ONE_SERVER},pods<4s`,
  },
  {
    name: 'controllers-pause',
    title: 'the active controllers stand still, and go on later',
    steps: once({ kind: 'pause', on: CONTROLLERS, component: 'server' }, 8_000),
    objective: `${SILENT_SERVER},pods<4s`,
  },
  {
    name: 'balancer-kill',
    title: 'HAProxy is killed where the address is',
    steps: once({ kind: 'kill', on: HOLDER, component: 'haproxy' }),
    objective: 'writes<3s,service=0',
    needs: { virtualAddress: true },
  },
  {
    name: 'keepalived-stop',
    title: 'keepalived is gone where the address is',
    steps: once({ kind: 'stop', on: HOLDER, component: 'keepalived' }, 4_000),
    objective: 'writes<3s,service=0',
    needs: { virtualAddress: true },
  },
  {
    name: 'host-power',
    title: 'the host with the address loses power',
    steps: once({ kind: 'power-off', on: HOLDER }, 8_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'host-cable',
    title: 'the cable of the host with the address is pulled',
    steps: once({ kind: 'unplug', on: HOLDER }, 8_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'host-isolated',
    title: 'a control plane reaches clients, but no other control plane',
    steps: once({ kind: 'partition', from: CONTROL_PLANE, to: 'others' }, 6_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'worker-power',
    title: 'a worker loses power',
    steps: once({ kind: 'power-off', on: WORKER }, 12_000),
    objective: 'writes<1s,service<5s,recover<60s',
  },
  {
    name: 'worker-cable',
    title: "a worker's cable is pulled",
    steps: once({ kind: 'unplug', on: WORKER }, 10_000),
    objective: 'writes<1s,service<5s,recover<60s',
  },
  {
    name: 'agent-kill',
    title: "a worker's kubelet and proxy are killed",
    steps: once({ kind: 'kill', on: WORKER, component: 'agent' }),
    objective: UNTOUCHED,
  },
  {
    name: 'agent-pause',
    title: "a worker's kubelet and proxy stand still",
    steps: once({ kind: 'pause', on: WORKER, component: 'agent' }, 4_000),
    objective: UNTOUCHED,
  },
  {
    name: 'containerd-kill',
    title: 'containerd of a worker is killed',
    steps: once({ kind: 'kill', on: WORKER, component: 'containerd' }),
    objective: UNTOUCHED,
  },
  {
    name: 'pod-kill',
    title: 'the processes of a pod of the service are killed',
    steps: once({ kind: 'kill-pod', namespace: NAMESPACE, selector: 'app=web' }),
    objective: 'writes<1s,service<2s',
  },
  {
    name: 'zone-loss',
    title: 'a control plane and a worker lose power together',
    steps: once({ kind: 'power-off', on: { zone: 2 } }, 10_000),
    objective: 'writes<4s,service<5s,recover<60s',
    needs: { workers: 2 },
  },
  {
    name: 'quorum-loss',
    title: 'two of three members of etcd stand still: writes are refused, then all goes on',
    steps: [
      at(0, { kind: 'pause', on: LEADER, component: 'etcd' }, 6_000),
      at(0, { kind: 'pause', on: FOLLOWER, component: 'etcd' }, 6_000),
    ],
    objective: 'writes<9s,service=0,recover<30s',
  },
  {
    name: 'rolling-restart',
    title: 'every API server is restarted, one after the other',
    steps: [1, 2, 3].map((n, i) => at(i * 7_000, { kind: 'restart', on: { hosts: [`cp-${n}`] }, component: 'server' })),
    objective: ONE_SERVER,
  },
  {
    name: 'rolling-etcd',
    title: 'every member of etcd is restarted, one after the other',
    steps: [1, 2, 3].map((n, i) => at(i * 6_000, { kind: 'restart', on: { hosts: [`cp-${n}`] }, component: 'etcd' })),
    objective: 'writes<2.5s,service=0',
  },
  {
    name: 'packet-loss',
    title: "a third of the packets of etcd's leader are lost",
    steps: once({ kind: 'loss', on: LEADER, percent: 30 }, 6_000),
    objective: 'writes<5s,service<2s',
  },
  {
    name: 'slow-network',
    title: "what etcd's leader sends to the others arrives 60 ± 30 ms late",
    steps: once({ kind: 'delay', on: LEADER, ports: [ETCD_PEER_PORT], delayMs: 60, jitterMs: 30 }, 6_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'slow-link',
    title: 'a control plane has 100 kB/s',
    steps: once({ kind: 'bandwidth', on: FOLLOWER, kilobytesPerSecond: 100 }, 6_000),
    objective: 'writes<3s,service<2s',
  },
  {
    name: 'duplicate-packets',
    title: 'a tenth of the packets of the leader come twice',
    steps: once({ kind: 'duplicate', on: LEADER, percent: 10 }, 5_000),
    objective: UNTOUCHED,
  },
  {
    name: 'reordered-packets',
    title: 'a quarter of the packets of the leader come out of order',
    steps: once({ kind: 'reorder', on: LEADER, percent: 25 }, 5_000),
    objective: 'writes<1s,service=0',
  },
  {
    name: 'slow-disk',
    title: "etcd's leader waits for its disk 80 % of the time",
    steps: once({ kind: 'slow-disk', on: LEADER, percent: 80 }, 6_000),
    objective: 'writes<4s,service=0',
  },
  {
    name: 'full-disk',
    title: "not a byte is left under etcd's leader",
    steps: once({ kind: 'full-disk', on: LEADER }, 6_000),
    objective: 'writes<5s,service=0,recover<60s',
  },
  {
    name: 'clock-step',
    title: "an API server's clock is five minutes ahead",
    steps: once({ kind: 'clock', on: CONTROLLERS, component: 'server', offset: '+300s' }, 8_000),
    objective: 'writes<1s,service=0,recover<60s',
  },
  {
    name: 'cpu',
    title: 'four busy loops beside a control plane',
    steps: once({ kind: 'cpu', on: LEADER, loops: 4 }, 6_000),
    objective: 'writes<3s,service<2s',
  },
  {
    name: 'memory',
    title: 'an API server gets no more memory',
    steps: once({ kind: 'memory', on: HOLDER, component: 'server', megabytes: 4 }, 5_000),
    objective: 'writes<3s,service=0',
  },
  {
    name: 'files',
    title: 'an API server can open no more files',
    steps: once({ kind: 'files', on: HOLDER, component: 'server', spare: 0 }, 5_000),
    objective: 'writes<3s,service=0',
  },
  {
    name: 'certificate-server',
    title: "an API server's certificate has run out when it starts",
    steps: once({ kind: 'certificate', on: HOLDER, component: 'server' }, 5_000),
    objective: 'writes<1s,service=0',
  },
  {
    name: 'certificate-etcd',
    title: 'the certificates of a member of etcd have run out',
    steps: once({ kind: 'certificate', on: FOLLOWER, component: 'etcd' }, 5_000),
    objective: 'writes<3s,service=0,recover<60s',
  },
  {
    name: 'drain',
    title: 'a worker is drained while every API server is restarted: the budget holds',
    steps: [
      at(0, { kind: 'drain', on: { role: 'worker' } }, 1_000),
      ...[1, 2, 3].map((n, i) =>
        at(500 + i * 6_000, { kind: 'restart', on: { hosts: [`cp-${n}`] }, component: 'server' }),
      ),
    ],
    objective: 'writes<1s,service=0',
    needs: { workers: 2 },
  },
  {
    name: 'registry-loss',
    title: 'no worker reaches anything outside, registries least of all',
    steps: once(
      { kind: 'partition', from: { role: 'worker', count: 'all' }, to: 'machine', ports: [80, 443, 5000] },
      5_000,
    ),
    objective: `${UNTOUCHED},pods<6s`,
  },
  {
    name: 'dns-loss',
    title: 'no DNS on one worker',
    steps: once({ kind: 'block', on: WORKER, ports: [53] }, 5_000),
    objective: `${UNTOUCHED},dns=0`,
  },
  {
    name: 'api-cut-off',
    title: 'a worker no longer reaches the API',
    steps: once({ kind: 'block', on: WORKER, ports: [API_PORT, SERVER_PORT, ETCD_CLIENT_PORT] }, 3_000),
    objective: UNTOUCHED,
  },
];
