// The elected parts of a control plane, each with its election: controllers and scheduler, as users of their own.
import type { Tables } from '../api/tables.ts';
import type { UserInfo } from '../apiserver/contract.ts';
import type { Client, Informers } from '../client/contract.ts';
import { recordEvents } from '../client/events.ts';
import { makeInformers } from '../client/informers.ts';
import { electLeader } from '../client/leader-election.ts';
import { coreControllers } from '../controllers/core.ts';
import { runControllers } from '../controllers/runtime.ts';
import { workloadControllers } from '../controllers/workloads.ts';
import type { Environment } from '../lib/environment.ts';
import { runScheduler } from '../scheduler/scheduler.ts';
import type { Profile } from './profiles.ts';

export interface LeadingOptions {
  readonly env: Environment;
  readonly tables: Tables;
  /** The candidate's name. */
  readonly identity: string;
  readonly profile: Pick<Profile, 'election' | 'node' | 'eviction' | 'relistBackoff'>;
  readonly clientAs: (user: UserInfo) => Client;
}

export interface LeadingControllersOptions extends LeadingOptions {
  /** With the rights of the controller manager. */
  readonly informers: Informers;
  readonly clusterCidr: string;
  /** PEM of the authority of the API servers. */
  readonly rootCa: string;
}

export const CONTROLLER_MANAGER: UserInfo = systemUser('system:kube-controller-manager');
const SCHEDULER: UserInfo = systemUser('system:kube-scheduler');

/** Stands for election, and runs the controllers while elected, until the signal aborts. */
export function leadControllers(options: LeadingControllersOptions, signal: AbortSignal): Promise<void> {
  const { env, profile, clientAs, informers, clusterCidr, rootCa, identity } = options;
  const log = env.log.child('controllers');
  const manager = clientAs(CONTROLLER_MANAGER);
  return electLeader(
    {
      client: manager,
      env: { ...env, log },
      namespace: 'kube-system',
      name: 'kube-controller-manager',
      identity,
      timings: profile.election,
      fenced: true,
      events: recordEvents({ client: manager, env, component: 'kube-controller-manager' }, signal),
      lead: async (fenced, leading, guards) => {
        // What a deposed leader still has to report is refused like everything else that it does.
        const events = recordEvents({ client: fenced, env, component: 'kube-controller-manager' }, leading);
        const controllers = [
          ...coreControllers({
            rootCa,
            nodeIpam: { clusterCidr },
            podGc: { periodMs: profile.node.podGcPeriodMs, quarantineMs: profile.node.podGcQuarantineMs },
            nodeLifecycle: {
              timings: profile.node,
              rates: profile.eviction,
              monitorPeriodMs: profile.node.monitorPeriodMs,
            },
          }),
          ...workloadControllers(),
        ];
        const clientFor = (account: string): Client => clientAs(serviceAccount(account)).fenced(guards);
        await runControllers(controllers, { informers, env: { ...env, log }, events, clientFor }, leading);
      },
    },
    signal,
  );
}

/** Stands for election, and schedules while elected, until the signal aborts. */
export function leadScheduler(options: LeadingOptions, signal: AbortSignal): Promise<void> {
  const { profile, clientAs, tables, identity } = options;
  const env = { ...options.env, log: options.env.log.child('scheduler') };
  const client = clientAs(SCHEDULER);
  return electLeader(
    {
      client,
      env,
      namespace: 'kube-system',
      name: 'kube-scheduler',
      identity,
      timings: profile.election,
      fenced: true,
      events: recordEvents({ client, env, component: 'default-scheduler' }, signal),
      lead: async (fenced, leading) => {
        const events = recordEvents({ client: fenced, env, component: 'default-scheduler' }, leading);
        const informers = makeInformers({ client: fenced, tables, env, backoff: profile.relistBackoff });
        await runScheduler({ client: fenced, informers, env, events }, {}, leading);
      },
    },
    signal,
  );
}

function systemUser(username: string): UserInfo {
  return { username, groups: ['system:authenticated'] };
}

/** A controller's own account in kube-system, whose rights are system:controller:NAME. */
function serviceAccount(name: string): UserInfo {
  return {
    username: `system:serviceaccount:kube-system:${name}`,
    groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
  };
}
