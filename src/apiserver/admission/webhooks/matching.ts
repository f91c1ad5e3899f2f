// Which webhooks want to be asked about a request, and in which version of its resource.
import type { RuleWithOperations } from '../../../api/generated/types.ts';
import type { KubeObject } from '../../../api/object.ts';
import type { Resource, Tables } from '../../../api/tables.ts';
import type { Selector } from '../../../machinery/selector.ts';
import type { AdmissionRequest, AdmissionWorld } from '../plugin.ts';

/** A rule may name single objects. */
export type NamedRule = RuleWithOperations & { readonly resourceNames?: readonly string[] };

/** Which requests a webhook or a policy is for. */
export interface Criteria {
  readonly rules: readonly NamedRule[];
  /** Other versions of a resource count too, in the version that the rules name. */
  readonly equivalent: boolean;
  readonly namespaces: Selector;
  readonly objects: Selector;
}

/** What admission is told about cannot be kept from being mended by what it was told. */
const EXEMPT = new Set([
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
]);

export function isExempt({ row }: AdmissionRequest): boolean {
  return row.group === 'admissionregistration.k8s.io' && EXEMPT.has(row.resource);
}

/** Namespace of a request; a Namespace is in itself. */
export function namespaceOf({ target, old }: AdmissionRequest, object: KubeObject | undefined): string {
  if (target.namespace !== undefined) return target.namespace;
  return isNamespace(target.resource) ? (target.name ?? object?.metadata?.name ?? old?.metadata.name ?? '') : '';
}

const isNamespace = ({ group, resource }: Resource): boolean => group === '' && resource === 'namespaces';

/** The version in which a webhook wants the request; undefined: it wants none of it. */
export async function wantedAs(
  world: AdmissionWorld,
  criteria: Criteria,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<Resource | undefined> {
  const as = versionFor(world.tables, criteria, askedOf(request, object));
  if (!as || !selected(criteria.objects, request, object)) return undefined;
  return (await namespaceMatches(world, criteria.namespaces, request, object)) ? as : undefined;
}

/** What rules look at in a request. */
export function askedOf(request: AdmissionRequest, object: KubeObject | undefined): Asked {
  const { target, operation } = request;
  const { resource, subresource = '', name = object?.metadata?.name ?? '' } = target;
  return { operation, resource, subresource, name, namespaced: isInNamespace(request, object) };
}

/** Whether the request's namespace is selected; what is in none always is. */
export async function namespaceMatches(
  world: AdmissionWorld,
  selector: Selector,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<boolean> {
  if (selector.empty) return true;
  const labels = await namespaceLabels(world, request, object);
  return labels === undefined || selector.matches(labels);
}

function isInNamespace(request: AdmissionRequest, object: KubeObject | undefined): boolean {
  return !isNamespace(request.target.resource) && namespaceOf(request, object) !== '';
}

export interface Asked {
  readonly operation: string;
  readonly resource: Resource;
  readonly subresource: string;
  readonly name: string;
  readonly namespaced: boolean;
}

/** The version asked for, if a rule has it; else, where the policy allows, another of the same stored thing. */
export function versionFor(
  tables: Tables,
  { rules, equivalent }: Pick<Criteria, 'rules' | 'equivalent'>,
  asked: Asked,
): Resource | undefined {
  const concerned = rules.filter((rule) => concerns(rule, asked));
  if (concerned.length === 0) return undefined;
  const named = (row: Resource): boolean =>
    concerned.some((rule) => namesVersion(rule, row) && namesResource(rule, row.resource, asked.subresource));
  if (named(asked.resource)) return asked.resource;
  const { etcdPrefix } = asked.resource;
  if (!equivalent || etcdPrefix === undefined) return undefined;
  for (const row of tables.resources()) if (row.etcdPrefix === etcdPrefix && named(row)) return row;
  return undefined;
}

const holds = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(value));

function concerns(rule: NamedRule, { operation, namespaced, name }: Asked): boolean {
  if (!holds(rule.operations, operation)) return false;
  if (rule.resourceNames?.length && !rule.resourceNames.includes(name)) return false;
  if (rule.scope === 'Namespaced') return namespaced;
  return rule.scope !== 'Cluster' || !namespaced;
}

function namesVersion(rule: RuleWithOperations, row: Resource): boolean {
  return holds(rule.apiGroups, row.group) && holds(rule.apiVersions, row.version);
}

/** "pods", "pods/status", "pods/*", "*", "*\/scale", "*\/*"; without a slash no subresource is meant. */
function namesResource({ resources = [] }: RuleWithOperations, resource: string, subresource: string): boolean {
  return resources.some((path) => {
    const [name, sub = ''] = path.split('/', 2);
    return (name === '*' || name === resource) && (sub === '*' || sub === subresource);
  });
}

/** A selector is asked of the object and of what it was; what has no labels of its own only matches everything. */
export function selected(selector: Selector, { old }: AdmissionRequest, object: KubeObject | undefined): boolean {
  if (selector.empty) return true;
  return [object, old].some((one) => one?.metadata !== undefined && selector.matches(one.metadata.labels));
}

/** Labels of the request's namespace; undefined: it is in none. */
async function namespaceLabels(
  world: AdmissionWorld,
  request: AdmissionRequest,
  object: KubeObject | undefined,
): Promise<{ readonly [key: string]: string } | undefined> {
  const name = namespaceOf(request, object);
  if (name === '') return undefined;
  const { operation, target } = request;
  const own = isNamespace(target.resource) && target.subresource === undefined && operation !== 'DELETE';
  if (own && object) return object.metadata.labels ?? {};
  const namespace =
    world.get('', 'namespaces', undefined, name) ?? (await world.present('', 'namespaces', undefined, name));
  return namespace?.metadata.labels ?? {};
}
