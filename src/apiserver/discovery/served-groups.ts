// The groups, versions and resources that the tables serve now, in discovery order.
import type { Group, Resource, Tables } from '../../api/tables.ts';

export interface ServedVersion {
  readonly group: string;
  readonly version: string;
  /** By name. */
  readonly resources: readonly Resource[];
  /** Another server serves it, which does not answer: the resources are those that it told of last. */
  readonly isStale?: true;
}

export interface ServedGroup {
  readonly name: string;
  /** Best first. */
  readonly versions: readonly ServedVersion[];
}

/** Built-in groups first, in their order, then those of custom resources by name. */
export function servedGroups(tables: Tables): ServedGroup[] {
  const byVersion = new Map<string, Resource[]>();
  const versionsOf = new Map<string, Set<string>>();
  for (const row of tables.resources()) {
    const key = `${row.group}/${row.version}`;
    byVersion.set(key, [...(byVersion.get(key) ?? []), row]);
    versionsOf.set(row.group, (versionsOf.get(row.group) ?? new Set()).add(row.version));
  }
  const known: readonly Group[] = tables.groups;
  const names = [...known.map((group) => group.name).filter((name) => versionsOf.has(name))];
  for (const name of [...versionsOf.keys()].sort()) if (!names.includes(name)) names.push(name);
  return names.map((name) => {
    const declared = known.find((group) => group.name === name)?.versions ?? [];
    const further = [...versionsOf.get(name)!].filter((version) => !declared.includes(version)).sort(byPriority);
    const versions = [...declared, ...further].filter((version) => byVersion.has(`${name}/${version}`));
    return {
      name,
      versions: versions.map((version) => {
        const resources = [...byVersion.get(`${name}/${version}`)!];
        return { group: name, version, resources: resources.sort((a, b) => (a.resource < b.resource ? -1 : 1)) };
      }),
    };
  });
}

interface RemoteServed {
  readonly group: string;
  readonly version: string;
  readonly available: boolean;
  readonly resources: readonly Resource[];
}

/** The same with what other servers serve, whether they answer or not, behind what is served here. */
export function withRemote(groups: readonly ServedGroup[], remotes: readonly RemoteServed[]): readonly ServedGroup[] {
  const all = new Map(groups.map((group) => [group.name, group]));
  for (const { group: name, version, available, resources } of remotes) {
    const group = all.get(name) ?? { name, versions: [] };
    if (group.versions.some((one) => one.version === version)) continue;
    const served = { group: name, version, resources, ...(!available && ({ isStale: true } as const)) };
    all.set(name, { name, versions: [...group.versions, served] });
  }
  return [...all.values()];
}

const VERSION = /^v(\d+)(?:(alpha|beta)(\d+))?$/;
const STAGES = ['alpha', 'beta', undefined];

/** Orders versions as upstream does for custom resources: GA before beta before alpha, newer first, other names last. */
export function byPriority(a: string, b: string): number {
  const [x, y] = [VERSION.exec(a), VERSION.exec(b)];
  if (!x || !y) return x ? -1 : y ? 1 : a < b ? -1 : 1;
  const stage = STAGES.indexOf(y[2]) - STAGES.indexOf(x[2]);
  return stage || Number(y[1]) - Number(x[1]) || Number(y[3] ?? 0) - Number(x[3] ?? 0);
}

/** Makes a value from the resources served, again only when these have changed. */
export function madeFromResources<T>(tables: Tables, make: () => T): () => T {
  let rows: readonly Resource[] | undefined;
  let value: T | undefined;
  return () => {
    const now = [...tables.resources()];
    if (!rows || rows.length !== now.length || rows.some((row, i) => row !== now[i])) {
      value = make();
      rows = now;
    }
    return value as T;
  };
}
