// Faults as data: what is hit, and how. What each does, and what undoes it, is worked out in operations.ts.
import type { Component } from '../../cluster/ha/hosts.ts';

/** Which hosts, by what they are when the fault begins. */
export type Target =
  /** The host whose member leads etcd. */
  | { readonly role: 'etcd-leader' }
  /** A host whose member follows. */
  | { readonly role: 'etcd-follower' }
  /** The host that has the API's address. */
  | { readonly role: 'address-holder' }
  /** The host whose controllers, or scheduler, are the active ones. */
  | { readonly role: 'controllers' | 'scheduler' }
  /** This many of them, the quiet ones first. Default 1. */
  | { readonly role: 'control-plane' | 'worker'; readonly count?: number | 'all' }
  /** All hosts whose name ends in this number: what shares a rack, a room or a switch. */
  | { readonly zone: number }
  | { readonly hosts: readonly string[] };

export type Fault =
  /** Ends at once; whoever guards it starts it again. */
  | { readonly kind: 'kill'; readonly on: Target; readonly component: Component }
  /** Ends in good order, and is started again. */
  | { readonly kind: 'restart'; readonly on: Target; readonly component: Component }
  /** Ends, and stays away. */
  | { readonly kind: 'stop'; readonly on: Target; readonly component: Component }
  /** Stands still, connections open. */
  | { readonly kind: 'pause'; readonly on: Target; readonly component: Component }
  /** The processes of one pod of a label end. */
  | { readonly kind: 'kill-pod'; readonly namespace: string; readonly selector: string }
  /** No new pod goes to the hosts, and those of the service there are evicted, as their budget allows. */
  | { readonly kind: 'drain'; readonly on: Target }
  | { readonly kind: 'power-off'; readonly on: Target }
  | { readonly kind: 'unplug'; readonly on: Target }
  /** Packets between the two are lost; "others": all control planes but those. */
  | {
      readonly kind: 'partition';
      readonly from: Target;
      readonly to: Target | 'others' | 'machine';
      readonly oneWay?: boolean;
      readonly ports?: readonly number[];
    }
  /** Packets to and from the hosts are lost, by chance. */
  | { readonly kind: 'loss'; readonly on: Target; readonly percent: number }
  | { readonly kind: 'bandwidth'; readonly on: Target; readonly kilobytesPerSecond: number }
  /** What the hosts send to these ports of the other control planes arrives late. */
  | {
      readonly kind: 'delay';
      readonly on: Target;
      readonly ports: readonly number[];
      readonly delayMs: number;
      readonly jitterMs: number;
    }
  | { readonly kind: 'duplicate' | 'reorder'; readonly on: Target; readonly percent: number }
  /** Packets to these ports, of these hosts' own and of their pods, are lost. */
  | { readonly kind: 'block'; readonly on: Target; readonly ports: readonly number[] }
  /** etcd stands still for this share of every tenth of a second, as under a slow disk. */
  | { readonly kind: 'slow-disk'; readonly on: Target; readonly percent: number }
  /** No byte is left on the file system of etcd's data. */
  | { readonly kind: 'full-disk'; readonly on: Target }
  | { readonly kind: 'clock'; readonly on: Target; readonly component: Component; readonly offset: string }
  | { readonly kind: 'cpu'; readonly on: Target; readonly loops: number }
  /** The component may take only this much more memory. */
  | { readonly kind: 'memory'; readonly on: Target; readonly component: Component; readonly megabytes: number }
  /** The component can open only this many more files. */
  | { readonly kind: 'files'; readonly on: Target; readonly component: Component; readonly spare: number }
  /** The component is started again with certificates that have run out. */
  | { readonly kind: 'certificate'; readonly on: Target; readonly component: 'etcd' | 'server' };

export type FaultKind = Fault['kind'];

/** For people: "pause etcd on the host whose member leads etcd". */
export function describeFault(fault: Fault): string {
  const on = 'on' in fault ? describeTarget(fault.on) : '';
  switch (fault.kind) {
    case 'kill-pod':
      return `kill the processes of a pod (${fault.selector})`;
    case 'power-off':
      return `power off ${on}`;
    case 'drain':
      return `drain ${on}`;
    case 'unplug':
      return `pull the cable of ${on}`;
    case 'partition': {
      const to = typeof fault.to === 'string' ? fault.to : describeTarget(fault.to);
      const where = fault.ports ? ` on port ${fault.ports.join(', ')}` : '';
      return `cut ${describeTarget(fault.from)} off from ${to}${where}${fault.oneWay ? ', one way' : ''}`;
    }
    case 'loss':
    case 'duplicate':
    case 'reorder':
      return `${fault.kind} ${fault.percent} % of the packets of ${on}`;
    case 'bandwidth':
      return `${fault.kilobytesPerSecond} kB/s for ${on}`;
    case 'delay':
      return `${fault.delayMs} ± ${fault.jitterMs} ms from ${on} to ports ${fault.ports.join(', ')}`;
    case 'block':
      return `drop packets to ports ${fault.ports.join(', ')} on ${on}`;
    case 'slow-disk':
      return `etcd waits ${fault.percent} % of its time on ${on}`;
    case 'full-disk':
      return `no space left under etcd on ${on}`;
    case 'clock':
      return `the clock of ${fault.component} is ${fault.offset} on ${on}`;
    case 'cpu':
      return `${fault.loops} busy loops on ${on}`;
    case 'memory':
      return `${fault.component} can take ${fault.megabytes} MB more memory on ${on}`;
    case 'files':
      return `${fault.component} can open ${fault.spare} more files on ${on}`;
    case 'certificate':
      return `the certificates of ${fault.component} have run out on ${on}`;
    default:
      return `${fault.kind} ${fault.component} on ${on}`;
  }
}

export function describeTarget(target: Target): string {
  if ('hosts' in target) return target.hosts.join(', ');
  if ('zone' in target) return `zone ${target.zone}`;
  switch (target.role) {
    case 'etcd-leader':
      return "etcd's leader";
    case 'etcd-follower':
      return 'a follower of etcd';
    case 'address-holder':
      return 'the holder of the address';
    case 'controllers':
      return "the active controllers' host";
    case 'scheduler':
      return "the active scheduler's host";
    default: {
      const { count = 1 } = target;
      return count === 'all' ? `all ${target.role}s` : count === 1 ? `a ${target.role}` : `${count} ${target.role}s`;
    }
  }
}
