// From a fault to operations, and to those that undo it. Pure: what is decided here can be written down before it is done.
import type { Component } from '../../cluster/ha/hosts.ts';
import { ETCD_PEER_PORT, type Role } from '../../cluster/ha/topology.ts';
import type { Fault, Target } from './fault.ts';
import * as scripts from './scripts.ts';

/** One thing that is done to the cluster. All of them may be done twice; those that undo do no harm where nothing is to be undone. */
export type Operation =
  | { readonly op: 'signal'; readonly host: string; readonly component: Component; readonly signal: Signal }
  | { readonly op: 'power'; readonly host: string; readonly on: boolean }
  | { readonly op: 'cable'; readonly host: string; readonly plugged: boolean }
  | {
      readonly op: 'partition';
      readonly from: readonly string[];
      readonly to: readonly string[];
      readonly oneWay: boolean;
      readonly ports: readonly number[];
    }
  | { readonly op: 'heal' }
  /** Shell lines in the switch's network namespace. */
  | { readonly op: 'switch'; readonly script: string }
  /** Shell lines on a host; nothing happens on one that is off. $dir is the host's directory, $scratch the drill's own in it. */
  | { readonly op: 'host'; readonly host: string; readonly script: string }
  /** A relay on the host, which outlives the drill; it writes its process id to $scratch/relay.pid. */
  | {
      readonly op: 'relay';
      readonly host: string;
      readonly delayMs: number;
      readonly jitterMs: number;
      readonly routes: readonly Route[];
    }
  /** Certificates that have run out take the place of the component's, whose own are kept in $scratch. */
  | { readonly op: 'expire'; readonly host: string; readonly component: 'etcd' | 'server' }
  /** Cordons the node, or takes that back; draining evicts the drill's pods, again and again until all may go. */
  | { readonly op: 'drain' | 'uncordon'; readonly host: string }
  | { readonly op: 'kill-pod'; readonly namespace: string; readonly selector: string };

export type Signal = 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT';

/** Evicts pods, which their budgets must allow. */
export const spendsBudgets = ({ op }: Operation): boolean => op === 'drain';

/** Connections to `port` of this host go on to another. */
export interface Route {
  readonly listen: number;
  readonly address: string;
  readonly port: number;
}

/** What is known of the cluster when a fault begins. */
export interface Situation {
  readonly hosts: readonly {
    readonly name: string;
    readonly role: Role;
    readonly address: string;
    readonly isOn: boolean;
  }[];
  readonly etcdLeader: string | undefined;
  readonly addressHolder: string | undefined;
  readonly controllers: string | undefined;
  readonly scheduler: string | undefined;
}

export interface Plan {
  /** What the fault hits, for the report. */
  readonly hit: readonly string[];
  readonly does: readonly Operation[];
  /** Empty: it heals by itself. In this order. */
  readonly undoes: readonly Operation[];
}

/** Throws when there is no such host now. */
export function planOf(fault: Fault, situation: Situation): Plan {
  if (fault.kind === 'kill-pod') {
    const { namespace, selector } = fault;
    return { hit: [selector], does: [{ op: 'kill-pod', namespace, selector }], undoes: [] };
  }
  if (fault.kind === 'partition') return partition(fault, situation);
  const hit = targets(fault.on, situation);
  const each = (operations: (host: string) => readonly Operation[]): readonly Operation[] => hit.flatMap(operations);
  const plan = (
    does: (host: string) => readonly Operation[],
    undoes: (host: string) => readonly Operation[],
  ): Plan => ({
    hit,
    does: each(does),
    undoes: each(undoes),
  });
  const script = (does: string, undoes: string): Plan =>
    plan(
      (host) => [{ op: 'host', host, script: does }],
      (host) => [{ op: 'host', host, script: undoes }],
    );
  switch (fault.kind) {
    case 'kill':
    case 'restart': {
      const signal = fault.kind === 'kill' ? 'SIGKILL' : 'SIGTERM';
      return plan(
        (host) => [{ op: 'signal', host, component: fault.component, signal }],
        () => [],
      );
    }
    case 'stop':
      return script(scripts.stop(fault.component), scripts.unstop(fault.component));
    case 'pause':
      return plan(
        (host) => [{ op: 'signal', host, component: fault.component, signal: 'SIGSTOP' }],
        (host) => [{ op: 'signal', host, component: fault.component, signal: 'SIGCONT' }],
      );
    case 'power-off':
      return plan(
        (host) => [{ op: 'power', host, on: false }],
        (host) => [{ op: 'power', host, on: true }],
      );
    case 'drain':
      return plan(
        (host) => [{ op: 'drain', host }],
        (host) => [{ op: 'uncordon', host }],
      );
    case 'unplug':
      return plan(
        (host) => [{ op: 'cable', host, plugged: false }],
        (host) => [{ op: 'cable', host, plugged: true }],
      );
    case 'loss':
      return { hit, does: [{ op: 'switch', script: scripts.loss(hit, fault.percent) }], undoes: [HEAL_SWITCH] };
    case 'bandwidth':
      return {
        hit,
        does: [{ op: 'switch', script: scripts.bandwidth(hit, fault.kilobytesPerSecond) }],
        undoes: [HEAL_SWITCH],
      };
    case 'duplicate':
    case 'reorder':
      return {
        hit,
        does: [{ op: 'switch', script: scripts.netem(hit, fault.kind, fault.percent) }],
        undoes: [{ op: 'switch', script: scripts.noNetem(hit) }],
      };
    case 'delay':
      return delay(fault, hit, situation);
    case 'block':
      return script(scripts.block(fault.ports), scripts.UNBLOCK);
    case 'slow-disk':
      return script(scripts.slowDisk(fault.percent), scripts.FAST_DISK);
    case 'full-disk':
      return script(scripts.FULL_DISK, scripts.ROOMY_DISK);
    case 'clock':
      return script(scripts.clock(fault.component, fault.offset), scripts.rightClock(fault.component));
    case 'cpu':
      return script(scripts.busy(fault.loops), scripts.IDLE);
    case 'memory':
      return script(scripts.memory(fault.component, fault.megabytes), scripts.ENOUGH_MEMORY);
    case 'files':
      return script(scripts.files(fault.component, fault.spare), scripts.enoughFiles(fault.component));
    case 'certificate':
      return {
        hit,
        does: each((host) => [
          { op: 'expire', host, component: fault.component },
          { op: 'signal', host, component: fault.component, signal: 'SIGTERM' },
        ]),
        // A server makes itself new certificates when it starts; a member of etcd keeps to what it was given.
        undoes: each((host): readonly Operation[] =>
          fault.component === 'server'
            ? [{ op: 'host', host, script: scripts.FORGET_CERTIFICATES }]
            : [
                { op: 'host', host, script: scripts.validCertificates(fault.component) },
                { op: 'signal', host, component: fault.component, signal: 'SIGTERM' },
              ],
        ),
      };
  }
}

const HEAL_SWITCH: Operation = { op: 'switch', script: scripts.HEAL_SWITCH };

function partition(fault: Extract<Fault, { kind: 'partition' }>, situation: Situation): Plan {
  const from = targets(fault.from, situation);
  const others = situation.hosts.filter(({ name, role }) => role === 'control-plane' && !from.includes(name));
  const to =
    fault.to === 'machine'
      ? ['machine']
      : fault.to === 'others'
        ? others.map(({ name }) => name)
        : targets(fault.to, situation).filter((name) => !from.includes(name));
  if (to.length === 0) throw new Error('there is nobody to be cut off from');
  const { oneWay = false, ports = [] } = fault;
  return { hit: from, does: [{ op: 'partition', from, to, oneWay, ports }], undoes: [{ op: 'heal' }] };
}

const FIRST_RELAY_PORT = 17_001;

function delay(fault: Extract<Fault, { kind: 'delay' }>, hit: readonly string[], { hosts }: Situation): Plan {
  const operations = hit.map((host): readonly Operation[] => {
    const others = hosts.filter(({ name, role }) => role === 'control-plane' && name !== host);
    const routes = others
      .flatMap(({ address }) => fault.ports.map((port) => ({ address, port })))
      .map((to, i) => ({ ...to, listen: FIRST_RELAY_PORT + i }));
    const { delayMs, jitterMs } = fault;
    return [
      { op: 'relay', host, delayMs, jitterMs, routes },
      { op: 'host', host, script: scripts.throughRelay(routes) },
    ];
  });
  const undoes = hit.map((host): Operation => ({ op: 'host', host, script: scripts.pastRelay(fault.ports) }));
  return { hit, does: operations.flat(), undoes };
}

/** Names of hosts that are on. Throws when there is none. */
export function targets(target: Target, situation: Situation): readonly string[] {
  const on = situation.hosts.filter((host) => host.isOn);
  const found = named(target, situation).filter((name) => on.some((host) => host.name === name));
  if (found.length === 0)
    throw new Error(`no host is ${'role' in target ? `the ${target.role}` : 'among those named'} now`);
  return found;
}

function named(target: Target, situation: Situation): readonly string[] {
  if ('hosts' in target) return target.hosts;
  const { hosts, etcdLeader, addressHolder, controllers, scheduler } = situation;
  if ('zone' in target) return hosts.map(({ name }) => name).filter((name) => name.endsWith(`-${target.zone}`));
  const one = (name: string | undefined): readonly string[] => (name === undefined ? [] : [name]);
  switch (target.role) {
    case 'etcd-leader':
      return one(etcdLeader);
    case 'address-holder':
      return one(addressHolder);
    case 'controllers':
      return one(controllers);
    case 'scheduler':
      return one(scheduler);
    case 'etcd-follower': {
      const quiet = hosts.filter(({ name, role }) => role === 'control-plane' && name !== etcdLeader);
      return one((quiet.find(({ name }) => name !== addressHolder) ?? quiet[0])?.name);
    }
    default: {
      const weight = (name: string): number =>
        [etcdLeader, addressHolder, controllers, scheduler].filter((busy) => busy === name).length;
      const all = hosts.filter(({ role, isOn }) => role === target.role && isOn);
      const quietFirst = all.toSorted((a, b) => weight(a.name) - weight(b.name)).map(({ name }) => name);
      const { count = 1 } = target;
      return count === 'all' ? quietFirst : quietFirst.slice(0, count);
    }
  }
}

/** Ports by which control planes speak to each other's etcd. */
export const PEER_PORTS: readonly number[] = [ETCD_PEER_PORT];
