// Whether an extension API server can be asked, and what its APIService says of it. Pure but for the asking.
import type { APIService, APIServiceCondition, EndpointSlice, Service } from '../../api/generated/types.ts';
import { sameJson } from '../../api/json.ts';
import type { Resource } from '../../api/tables.ts';

/** An Available condition without its time. */
export type Availability = Pick<APIServiceCondition, 'status' | 'reason' | 'message'>;

export const LOCAL: Availability = {
  status: 'True',
  reason: 'Local',
  message: 'Local APIServices are always available',
};
export const PASSED: Availability = { status: 'True', reason: 'Passed', message: 'all checks passed' };

const unavailable = (reason: string, message: string): Availability => ({ status: 'False', reason, message });

/** What is wrong before anybody is asked: the Service, its port, its endpoints. undefined: nothing. */
export function placeProblem(
  apiService: APIService,
  service: Service | undefined,
  slices: readonly EndpointSlice[],
): Availability | undefined {
  const { name = '', namespace = '', port = 443 } = apiService.spec?.service ?? {};
  const at = `service/${name} in ${JSON.stringify(namespace)}`;
  if (!service) return unavailable('ServiceNotFound', `${at} is not present`);
  const found = service.spec?.ports?.find((one) => one.port === port);
  if (!found) return unavailable('ServicePortError', `${at} is not listening on port ${port}`);
  const ready = slices.some(
    (slice) =>
      slice.ports?.some((one) => (one.name ?? '') === (found.name ?? '')) &&
      (slice.endpoints ?? []).some((endpoint) => endpoint.conditions?.ready !== false && endpoint.addresses.length > 0),
  );
  if (ready) return undefined;
  const message = `endpoints for ${at} have no addresses with port name ${JSON.stringify(found.name ?? '')}`;
  return unavailable('MissingEndpoints', message);
}

export function discoveryProblem(error: unknown): Availability {
  return unavailable('FailedDiscoveryCheck', `failing or missing response: ${(error as Error).message}`);
}

/** The status with the Available condition set; undefined: it is so already. */
export function withAvailability(
  apiService: APIService,
  availability: Availability,
  now: string,
): APIService | undefined {
  const conditions = apiService.status?.conditions ?? [];
  const old = conditions.find((one) => one.type === 'Available');
  if (old && sameJson({ ...old, lastTransitionTime: undefined }, { type: 'Available', ...availability }))
    return undefined;
  const lastTransitionTime = old?.status === availability.status ? (old.lastTransitionTime ?? now) : now;
  const condition: APIServiceCondition = { type: 'Available', ...availability, lastTransitionTime };
  return { ...apiService, status: { conditions: [...conditions.filter((one) => one !== old), condition] } };
}

interface ResourceEntry {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced?: boolean;
  readonly kind: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly group?: string;
  readonly version?: string;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.filter(isText) : []);

/** An entry that everybody's discovery can be made of; undefined for one that tells of no resource. */
function entryOf(found: unknown): ResourceEntry | undefined {
  const one = (found ?? {}) as { readonly [member: string]: unknown };
  if (!isText(one.name) || !isText(one.kind)) return undefined;
  return {
    ...{ name: one.name, kind: one.kind, namespaced: one.namespaced === true },
    ...{ verbs: texts(one.verbs), shortNames: texts(one.shortNames), categories: texts(one.categories) },
    ...(isText(one.singularName) && { singularName: one.singularName }),
    ...(isText(one.group) && { group: one.group }),
    ...(isText(one.version) && { version: one.version }),
  };
}

/** The resources that another server's APIResourceList tells of, as rows for the discovery documents; they are in no table. */
export function rowsOfList(list: unknown, group: string, version: string): Resource[] {
  const found = (list as { resources?: unknown } | null)?.resources;
  const entries = (Array.isArray(found) ? found : []).flatMap((one) => entryOf(one) ?? []);
  const whole = entries.filter((one) => !one.name.includes('/'));
  return whole.map((one) => ({
    group,
    version,
    resource: one.name,
    singular: one.singularName ?? '',
    kind: one.kind,
    namespaced: one.namespaced === true,
    verbs: one.verbs ?? [],
    shortNames: one.shortNames ?? [],
    categories: one.categories ?? [],
    type: '',
    listType: undefined,
    storageVersion: undefined,
    storageVersionHash: undefined,
    etcdPrefix: undefined,
    subresources: new Map(
      entries
        .filter((sub) => sub.name.startsWith(`${one.name}/`))
        .map((sub) => {
          const name = sub.name.slice(one.name.length + 1);
          const place = { group: sub.group ?? group, version: sub.version ?? version };
          return [name, { name, ...place, kind: sub.kind, verbs: sub.verbs ?? [] }];
        }),
    ),
  }));
}
