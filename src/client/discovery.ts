import type { DiscoveredResource } from './contract.ts';
import { preferredOnly } from './coordinates.ts';
import type { Wire } from './https.ts';

interface GroupList {
  readonly groups?: readonly {
    readonly name: string;
    readonly versions: readonly { readonly version: string }[];
    readonly preferredVersion?: { readonly version: string };
  }[];
}

interface ResourceList {
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
  }[];
}

/**
 * Every resource that a server serves, by the discovery documents that all servers have. A group version that cannot be had
 * (an aggregated server that is down) is left out, as client-go's partial discovery.
 */
export async function discoverOver(wire: Wire, signal: AbortSignal): Promise<readonly DiscoveredResource[]> {
  const { groups = [] } = (await wire.call('GET', '/apis', { signal })) as GroupList;
  const preferred = new Map([['', 'v1'], ...groups.map((g) => [g.name, g.preferredVersion?.version ?? ''] as const)]);
  const places = [
    { group: '', version: 'v1', path: '/api/v1' },
    ...groups.flatMap(({ name: group, versions }) =>
      versions.map(({ version }) => ({ group, version, path: `/apis/${group}/${version}` })),
    ),
  ];
  const lists = await Promise.all(
    places.map(async ({ group, version, path }) => {
      const list = await wire.call('GET', path, { signal }).catch((error: unknown) => {
        if (group === '' || signal.aborted) throw error;
        return {};
      });
      return ((list as ResourceList).resources ?? [])
        .filter((one) => !one.name.includes('/'))
        .map(({ name: resource, kind, namespaced, verbs }) => ({ group, version, resource, kind, namespaced, verbs }));
    }),
  );
  return preferredOnly(lists.flat(), (group) => preferred.get(group));
}
