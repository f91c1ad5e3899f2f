// Controllers and schedulers that stand for election, each in a process of its own that may be stopped and killed.
import type { Tables } from '../api/tables.ts';
import type { UserInfo } from '../apiserver/contract.ts';
import type { Client } from '../client/contract.ts';
import { recordEvents } from '../client/events.ts';
import { inProcessClient } from '../client/in-process.ts';
import { makeInformers } from '../client/informers.ts';
import { electLeader } from '../client/leader-election.ts';
import { coreControllers } from '../controllers/core.ts';
import { runControllers } from '../controllers/runtime.ts';
import { workloadControllers } from '../controllers/workloads.ts';
import type { Environment } from '../lib/environment.ts';
import { runScheduler } from '../scheduler/scheduler.ts';
import type { Guard } from '../store/contract.ts';
import { ROOT_CA } from './api-server.ts';
import type { Link, Network } from './network.ts';
import { SimulatedProcess } from './process.ts';
import type { Violations } from './violations.ts';

export type CandidateKind = 'controllers' | 'scheduler';

export interface Candidate {
  readonly name: string;
  readonly kind: CandidateKind;
  readonly program: SimulatedProcess;
  readonly link: Link;
}

/** A client of a user over a component's connection. */
export function clientOver(link: Link, tables: Tables, env: Environment, user: UserInfo): Client {
  return inProcessClient({ api: link.api, tables, user, clock: env.clock, userAgent: 'tsukube' });
}

/** Starts a process that stands under its own name; it never ends by itself. */
export function stand(
  kind: CandidateKind,
  name: string,
  {
    network,
    tables,
    violations,
  }: { readonly network: Network; readonly tables: Tables; readonly violations: Violations },
): Candidate {
  const program = new SimulatedProcess(network.world, name);
  const link = network.connect(program);
  const { signal } = new AbortController();
  const clientAs = (user: UserInfo): Client => clientOver(link, tables, program.env, user);
  const run = kind === 'controllers' ? leadControllers : leadScheduler;
  run({ name, env: program.env, tables, clientAs }, signal).then(
    () => violations.add('components run on', `${name} ended`),
    (error: unknown) => violations.add('components run on', `${name} failed: ${describe(error)}`),
  );
  return { name, kind, program, link };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

interface Parts {
  readonly name: string;
  readonly env: Environment;
  readonly tables: Tables;
  readonly clientAs: (user: UserInfo) => Client;
}

async function leadControllers({ name, env, tables, clientAs }: Parts, signal: AbortSignal): Promise<void> {
  const client = clientAs({ username: 'system:kube-controller-manager', groups: ['system:authenticated'] });
  const events = recordEvents({ client, env, component: 'kube-controller-manager' }, signal);
  const informers = makeInformers({ client, tables, env });
  let guards: readonly Guard[] = [];
  const elector: Client = {
    ...client,
    fenced: (carried) => {
      guards = carried;
      return client.fenced(carried);
    },
  };
  const lead = async (_client: Client, leading: AbortSignal): Promise<void> => {
    const controllers = [
      ...coreControllers({ rootCa: ROOT_CA, nodeIpam: { clusterCidr: '10.244.0.0/16' } }),
      ...workloadControllers(),
    ];
    const clientFor = (account: string): Client => clientAs(serviceAccount(account)).fenced(guards);
    await runControllers(controllers, { informers, env, events, clientFor }, leading);
  };
  const lease = { namespace: 'kube-system', name: 'kube-controller-manager', identity: name };
  await electLeader({ ...lease, client: elector, env, fenced: true, events, lead }, signal);
}

async function leadScheduler({ name, env, tables, clientAs }: Parts, signal: AbortSignal): Promise<void> {
  const client = clientAs({ username: 'system:kube-scheduler', groups: ['system:authenticated'] });
  const events = recordEvents({ client, env, component: 'default-scheduler' }, signal);
  const lead = async (fenced: Client, leading: AbortSignal): Promise<void> => {
    const informers = makeInformers({ client: fenced, tables, env });
    await runScheduler({ client: fenced, informers, env, events }, {}, leading);
  };
  const lease = { namespace: 'kube-system', name: 'kube-scheduler', identity: name };
  await electLeader({ ...lease, client, env, fenced: true, events, lead }, signal);
}

function serviceAccount(name: string): UserInfo {
  return {
    username: `system:serviceaccount:kube-system:${name}`,
    groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
  };
}
