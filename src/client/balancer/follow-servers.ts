import type { EndpointSlice } from '../../api/generated/types.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Client } from '../contract.ts';

/** Between two watches, also when one cannot be had. */
const PAUSE_MS = 1_000;

/** The API servers that the endpoints of Service kubernetes name, as URLs. */
export function serverUrls({ endpoints, ports, addressType }: EndpointSlice): readonly string[] {
  const port = (ports ?? []).find(({ name }) => name === 'https')?.port;
  if (port === undefined) return [];
  const addresses = (endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap((one) => one.addresses);
  return addresses.map((address) => `https://${addressType === 'IPv6' ? `[${address}]` : address}:${port}`);
}

/** Tells of every change of the set of API servers, until the signal aborts. Never rejects: what was told last holds. */
export async function followServers(
  client: Client,
  clock: Clock,
  tell: (urls: readonly string[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const slices = client.resource('endpointslices.discovery.k8s.io');
  const query = { namespace: 'default', fieldSelector: 'metadata.name=kubernetes', resourceVersion: '0' };
  while (!signal.aborted) {
    try {
      for await (const batch of slices.watch(query, signal)) {
        for (const event of batch)
          if (event.type === 'ADDED' || event.type === 'MODIFIED') tell(serverUrls(event.object));
      }
    } catch {
      // Whoever asks next notices by itself what is wrong with the servers.
    }
    await sleep(clock, PAUSE_MS, signal).catch(() => undefined);
  }
}
