// One life of an API server: everything but its listener and its certificates, over a store on the simulated disk.
import type { Tables } from '../api/tables.ts';
import { reconcileBootstrapRoles } from '../apiserver/auth/bootstrap-reconcile.ts';
import { PRIVILEGED_GROUP, rbacAuthorizer } from '../apiserver/auth/rbac.ts';
import { bootstrap, publishServers } from '../apiserver/bootstrap/bootstrap.ts';
import { startCaches } from '../apiserver/cache/cache-set.ts';
import type { UserInfo } from '../apiserver/contract.ts';
import { createPipeline } from '../apiserver/pipeline.ts';
import { createRegistry } from '../apiserver/registry/registry.ts';
import { fieldsOf } from '../apiserver/strategies/strategies.ts';
import { nextTurn } from '../lib/turns.ts';
import { LocalStore } from '../store/local.ts';
import type { SimulatedDisk } from './disk.ts';
import type { History } from './history.ts';
import type { ServerLife } from './network.ts';
import { SimulatedProcess, type World } from './process.ts';
import type { Violations } from './violations.ts';

/** Whoever needs every right: the server itself, simulated nodes, the scenario's user. */
export const ADMINISTRATOR: UserInfo = {
  username: 'system:apiserver',
  groups: [PRIVILEGED_GROUP, 'system:authenticated'],
};

/** What stands for the authority's certificate: nothing in the simulation connects by TLS. */
export const ROOT_CA = '-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n';

const SERVICES = { cidr: '10.96.0.0/12', nodePorts: { first: 30000, last: 32767 } };

export interface ServerParts {
  readonly world: World;
  readonly tables: Tables;
  readonly disk: SimulatedDisk;
  readonly history: History;
  readonly violations: Violations;
}

/** Starts; resolves when it would be ready. It lives until its process is killed. */
export async function startServer({ world, tables, disk, history, violations }: ServerParts): Promise<ServerLife> {
  const program = new SimulatedProcess(world, 'apiserver');
  const { env, signal } = program;
  const local = new LocalStore({ records: disk.open(program), clock: env.clock, log: env.log, valuesInMemory: false });
  const store = history.follow(local);
  const broken = (error: unknown): void => violations.add('no broken invariant', String(error));
  const caches = await startCaches(store, tables, fieldsOf, env, signal, broken);
  const authorizer = rbacAuthorizer(caches, tables, signal);
  const registry = createRegistry({ tables, store, caches, env, rbac: authorizer, network: SERVICES });
  const context = { user: ADMINISTRATOR, signal, warn: () => undefined, userAgent: 'kube-apiserver' };
  await bootstrap(registry, tables, context, {
    port: 6443,
    serviceIP: '10.96.0.1',
    serviceCIDR: SERVICES.cidr,
    clientCA: ROOT_CA,
    rootCA: ROOT_CA,
  });
  await publishServers(registry, tables, context, { addresses: ['192.0.2.1'], port: 6443 });
  await reconcileBootstrapRoles(registry, tables, context);
  await caches.consistent(signal);
  await nextTurn();
  return { api: createPipeline(registry, authorizer), program };
}
