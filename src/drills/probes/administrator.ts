// A drill's connections have the administrator's rights.
import { accessFrom, readKubeconfig } from '../../client/kubeconfig.ts';
import { SERVER_PORT } from '../../cluster/ha/topology.ts';
import type { Layout } from '../../cluster/layout.ts';
import type { Clock } from '../../lib/clock.ts';
import { Connection } from './connection.ts';

const CONNECT_TIMEOUT_MS = 500;

export interface Wish {
  /** The address of one server; absent: the API's address. */
  readonly server?: string | undefined;
  readonly pingMs?: number | undefined;
}

/** A connection of its own, which is made with the first question. */
export async function administrator(
  { layout, clock }: { readonly layout: Layout; readonly clock: Clock },
  { server, pingMs }: Wish = {},
): Promise<Connection> {
  const access = await accessFrom(await readKubeconfig(layout.adminKubeconfig));
  const servers = server === undefined ? access.servers : [`https://${server}:${SERVER_PORT}`];
  return new Connection({
    access: { ...access, servers },
    clock,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    ...(pingMs !== undefined && { pingMs }),
  });
}
