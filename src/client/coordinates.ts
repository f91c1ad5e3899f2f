import type { ResourceTypes } from '../api/generated/types.ts';
import { apiVersionOf, type Resource, type Tables } from '../api/tables.ts';
import type { DiscoveredResource, ResourceCoordinates } from './contract.ts';

const VERSION = /^v[0-9]+((alpha|beta)[0-9]+)?$/;

/** "pods", "deployments.apps", or with a version "horizontalpodautoscalers.v1.autoscaling": the row that the key names. */
export function rowOfKey(tables: Tables, key: keyof ResourceTypes): Resource {
  const [resource = '', second = '', ...rest] = key.split('.');
  const row = VERSION.test(second)
    ? tables.resource(rest.join('.'), second, resource)
    : tables.preferred([second, ...rest].filter((part) => part !== '').join('.'), resource);
  if (!row) throw new Error(`the resource "${key}" is not served by these tables`);
  return row;
}

/** One text for a resource at a version: "v1/pods", "apps/v1/deployments". */
export function coordinatesKey(coordinates: ResourceCoordinates): string {
  return `${apiVersionOf(coordinates)}/${coordinates.resource}`;
}

/** Orders versions as kube-aware: v2 before v1 before v1beta1 before v1alpha1; others after, by name. */
export function compareVersions(a: string, b: string): number {
  const x = versionRank(a);
  const y = versionRank(b);
  if (!x || !y) return x ? -1 : y ? 1 : a < b ? -1 : 1;
  return y.stage - x.stage || y.major - x.major || y.minor - x.minor;
}

function versionRank(version: string): { stage: number; major: number; minor: number } | undefined {
  const match = /^v([0-9]+)(?:(alpha|beta)([0-9]+))?$/.exec(version);
  if (!match) return undefined;
  const stage = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0;
  return { stage, major: Number(match[1]), minor: Number(match[3] ?? 0) };
}

/** Every resource once: at its group's preferred version, or at the best one that has it. */
export function preferredOnly(
  rows: Iterable<DiscoveredResource>,
  preferred: (group: string) => string | undefined,
): DiscoveredResource[] {
  const best = new Map<string, DiscoveredResource>();
  for (const row of rows) {
    const key = `${row.group}/${row.resource}`;
    const known = best.get(key);
    const better =
      !known ||
      row.version === preferred(row.group) ||
      (known.version !== preferred(row.group) && compareVersions(row.version, known.version) < 0);
    if (better) best.set(key, row);
  }
  return [...best.values()];
}
