// Discovery documents: the legacy ones (meta/v1 APIGroupList, APIResourceList ...) and the aggregated one. Pure.
import { apiVersionOf, type Resource, type Subresource } from '../../api/tables.ts';
import type { ServedGroup, ServedVersion } from './served-groups.ts';

export function apiVersions(address: string): object {
  const serverAddressByClientCIDRs = [{ clientCIDR: '0.0.0.0/0', serverAddress: address }];
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs };
}

export function apiGroupList(groups: readonly ServedGroup[]): object {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.filter((group) => group.name !== '').map(groupBody) };
}

export function apiGroup(group: ServedGroup): object {
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupBody(group) };
}

function groupBody({ name, versions }: ServedGroup): object {
  const all = versions.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: all, preferredVersion: all[0] };
}

export function apiResourceList(served: ServedVersion): object {
  const groupVersion = apiVersionOf(served);
  const resources = served.resources.flatMap((row) => [resourceEntry(row), ...subresourceEntries(row)]);
  return { kind: 'APIResourceList', ...(served.group !== '' && { apiVersion: 'v1' }), groupVersion, resources };
}

function resourceEntry(row: Resource): object {
  return {
    name: row.resource,
    singularName: row.singular,
    namespaced: row.namespaced,
    kind: row.kind,
    verbs: row.verbs,
    ...(row.shortNames.length > 0 && { shortNames: row.shortNames }),
    ...(row.categories.length > 0 && { categories: row.categories }),
    ...(row.storageVersionHash !== undefined && { storageVersionHash: row.storageVersionHash }),
  };
}

function subresourceEntries(row: Resource): object[] {
  return [...row.subresources.values()].map((sub) => ({
    name: `${row.resource}/${sub.name}`,
    singularName: '',
    namespaced: row.namespaced,
    ...(apiVersionOf(sub) !== apiVersionOf(row) && { group: sub.group, version: sub.version }),
    kind: sub.kind,
    verbs: sub.verbs,
  }));
}

/** apidiscovery.k8s.io APIGroupDiscoveryList, v2 or v2beta1. */
export function groupDiscoveryList(groups: readonly ServedGroup[], version: string): object {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(({ name, versions }) => ({
      metadata: { ...(name !== '' && { name }), creationTimestamp: null },
      versions: versions.map((served) => ({
        version: served.version,
        resources: served.resources.map(resourceDiscovery),
        freshness: served.isStale ? 'Stale' : 'Current',
      })),
    })),
  };
}

function resourceDiscovery(row: Resource): object {
  const subresources = [...row.subresources.values()].map(subresourceDiscovery);
  return {
    resource: row.resource,
    responseKind: { group: row.group, version: row.version, kind: row.kind },
    scope: row.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: row.singular,
    verbs: row.verbs,
    ...(row.shortNames.length > 0 && { shortNames: row.shortNames }),
    ...(row.categories.length > 0 && { categories: row.categories }),
    ...(subresources.length > 0 && { subresources }),
  };
}

function subresourceDiscovery({ name, group, version, kind, verbs }: Subresource): object {
  return { subresource: name, responseKind: { group, version, kind }, verbs };
}
