// Controllers and schedulers that stand for election, each in a process of its own that may be stopped and killed.
import type { Tables } from '../api/tables.ts';
import type { UserInfo } from '../apiserver/contract.ts';
import type { Client } from '../client/contract.ts';
import { inProcessClient } from '../client/in-process.ts';
import { makeInformers } from '../client/informers.ts';
import { CONTROLLER_MANAGER, leadControllers, leadScheduler } from '../cluster/leading.ts';
import { PROFILES } from '../cluster/profiles.ts';
import { userAgentOf } from '../cluster/user-agents.ts';
import type { Environment } from '../lib/environment.ts';
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
  return inProcessClient({ api: link.api, tables, user, clock: env.clock, userAgent: userAgentOf(user) });
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
  const clientAs = (user: UserInfo): Client => clientOver(link, tables, program.env, user);
  const { env, signal } = program;
  const leading = { env, tables, identity: name, profile: PROFILES.default, clientAs };
  const informers = makeInformers({ client: clientAs(CONTROLLER_MANAGER), tables, env });
  const run =
    kind === 'controllers'
      ? leadControllers({ ...leading, informers, clusterCidr: '10.244.0.0/16', rootCa: ROOT_CA }, signal)
      : leadScheduler(leading, signal);
  run.then(
    () => program.dead || violations.add('components run on', `${name} ended`),
    (error: unknown) => program.dead || violations.add('components run on', `${name} failed: ${describe(error)}`),
  );
  return { name, kind, program, link };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
