// The paths of resources as OpenAPI operations.
import resourceData from '../../api/data/resources.json' with { type: 'json' };
import { apiVersionOf, type Resource, type Tables } from '../../api/tables.ts';
import { inSlices } from '../../lib/turns.ts';
import type { Descriptions } from './descriptions.ts';
import { type Dialect, type Schema, SchemaSet } from './openapi-schemas.ts';

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const QUERY: { readonly [verb: string]: readonly string[] | undefined } = resourceData.queryParameters;
const QUERY_TYPES: { readonly [parameter: string]: string | undefined } = resourceData.queryParameterTypes;
const SUBRESOURCE_QUERY: { readonly [sub: string]: { readonly [verb: string]: readonly string[] } | undefined } =
  resourceData.subresourceQueryParameters as never;

const METHODS: { readonly [verb: string]: string } = {
  get: 'get',
  list: 'get',
  create: 'post',
  update: 'put',
  patch: 'patch',
  delete: 'delete',
  deletecollection: 'delete',
};
/** Upstream's names of the verbs in x-kubernetes-action and in operation ids. */
const ACTIONS: { readonly [verb: string]: readonly [action: string, id: string] } = {
  get: ['get', 'read'],
  list: ['list', 'list'],
  create: ['post', 'create'],
  update: ['put', 'replace'],
  patch: ['patch', 'patch'],
  delete: ['delete', 'delete'],
  deletecollection: ['deletecollection', 'deleteCollection'],
};
const CONNECT_KINDS = /^(Pod|Service|Node)\w*Options$/;
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';
const PATCHES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  STRATEGIC_PATCH,
  'application/apply-patch+yaml',
];
/** A strategic merge needs the merge keys of a built-in type: kubectl makes one of whatever is said to take it. */
const CUSTOM_PATCHES = PATCHES.filter((one) => one !== STRATEGIC_PATCH);
const MEDIA = ['application/json', 'application/yaml'];

export interface PathsAndSchemas {
  readonly paths: { [path: string]: Schema };
  readonly schemas: { [name: string]: Schema };
}

/** Paths of the resources and the schemas that these need; one resource in a turn of the event loop. */
export async function openApiOf(
  tables: Tables,
  resources: readonly Resource[],
  dialect: Dialect,
  descriptions: Descriptions = {},
): Promise<PathsAndSchemas> {
  const set = new SchemaSet(tables, dialect, descriptions);
  const paths: { [path: string]: Schema } = {};
  await inSlices(resources, 1, (row) => {
    addResource(paths, row, new Operations(tables, set, dialect, row));
    return 1;
  });
  return { paths, schemas: set.schemas };
}

function addResource(paths: { [path: string]: Schema }, row: Resource, operations: Operations): void {
  const base = `${row.group === '' ? '/api' : '/apis'}/${apiVersionOf(row)}`;
  const collection = `${base}/${row.namespaced ? 'namespaces/{namespace}/' : ''}${row.resource}`;
  const has = (...verbs: string[]): string[] => verbs.filter((verb) => row.verbs.includes(verb));
  const add = (path: string, item: Schema): void => {
    if (Object.keys(item).some((key) => key !== 'parameters')) paths[path] = item;
  };
  add(collection, operations.item(has('list', 'create', 'deletecollection'), row.namespaced, false));
  if (row.namespaced) add(`${base}/${row.resource}`, operations.item(has('list'), false, false, 'ForAllNamespaces'));
  add(`${collection}/{name}`, operations.item(has('get', 'update', 'patch', 'delete'), row.namespaced, true));
  for (const sub of row.subresources.values()) {
    add(`${collection}/{name}/${sub.name}`, operations.subresource(sub.name));
  }
}

class Operations {
  readonly #tables: Tables;
  readonly #set: SchemaSet;
  readonly #dialect: Dialect;
  readonly #row: Resource;

  constructor(tables: Tables, set: SchemaSet, dialect: Dialect, row: Resource) {
    this.#tables = tables;
    this.#set = set;
    this.#dialect = dialect;
    this.#row = row;
  }

  /** A path item with one operation a verb. */
  item(verbs: readonly string[], inNamespace: boolean, named: boolean, suffix = ''): Schema {
    const { kind, type, group, version, listType } = this.#row;
    const item: Schema = {};
    for (const verb of verbs) {
      const result = verb === 'list' ? listType : verb.startsWith('delete') ? `${META}.Status` : type;
      item[METHODS[verb]!] = this.#operation({
        verb,
        result: result ?? `${META}.Status`,
        body: bodyOf(verb, type),
        query: QUERY[verb] ?? [],
        gvk: { group, version, kind },
        id: `${this.#row.namespaced && suffix === '' ? 'Namespaced' : ''}${kind}${suffix}`,
      });
    }
    item.parameters = this.#pathParameters(inNamespace, named);
    return item;
  }

  subresource(name: string): Schema {
    const sub = this.#row.subresources.get(name)!;
    const connects = CONNECT_KINDS.test(sub.kind);
    const type = this.#tables.typeOfKind(apiVersionOf(sub), sub.kind);
    const item: Schema = {};
    for (const verb of sub.verbs) {
      const plain = connects || type === undefined || (name === 'log' && sub.kind === 'Pod');
      item[METHODS[verb]!] = this.#operation({
        verb: connects ? 'connect' : verb,
        result: plain ? undefined : type,
        body: plain ? undefined : bodyOf(verb, type),
        query: SUBRESOURCE_QUERY[name]?.[verb] ?? QUERY[verb] ?? [],
        gvk: { group: sub.group, version: sub.version, kind: sub.kind },
        id: `${connects ? capital(METHODS[verb]!) : ''}${this.#row.namespaced ? 'Namespaced' : ''}${this.#row.kind}${capital(name)}`,
      });
    }
    item.parameters = this.#pathParameters(this.#row.namespaced, true);
    return item;
  }

  #operation(of: {
    verb: string;
    result: string | undefined;
    body: string | undefined;
    query: readonly string[];
    gvk: object;
    id: string;
  }): Schema {
    const [action, idVerb] = ACTIONS[of.verb] ?? [of.verb, of.verb];
    const group = this.#row.group === '' ? 'core' : this.#row.group.split('.')[0]!;
    const tag = `${group}_${this.#row.version}`;
    const parameters = of.query.map((name) => this.#parameter(name, 'query'));
    return {
      tags: [tag],
      operationId: `${idVerb}${capital(group)}${capital(this.#row.version)}${of.id}`,
      ...this.#body(of.verb, of.body, parameters),
      ...(this.#dialect.version === 2 && { produces: MEDIA, schemes: ['https'] }),
      responses: { 200: this.#answer(of.result), 401: { description: 'Unauthorized' } },
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': of.gvk,
    };
  }

  #body(verb: string, type: string | undefined, parameters: Schema[]): Schema {
    if (type === undefined) return { parameters };
    const media = verb !== 'patch' ? ['*/*'] : this.#row.custom ? CUSTOM_PATCHES : PATCHES;
    const schema = this.#set.ref(type);
    if (this.#dialect.version === 2) {
      const body = { name: 'body', in: 'body', required: !verb.startsWith('delete'), schema };
      return { parameters: [...parameters, body], consumes: media };
    }
    const content = Object.fromEntries(media.map((name) => [name, { schema }]));
    return { parameters, requestBody: { content, ...(!verb.startsWith('delete') && { required: true }) } };
  }

  #answer(type: string | undefined): Schema {
    const schema = type === undefined ? { type: 'string' } : this.#set.ref(type);
    if (this.#dialect.version === 2) return { description: 'OK', schema };
    return { description: 'OK', content: Object.fromEntries(MEDIA.map((name) => [name, { schema }])) };
  }

  #pathParameters(inNamespace: boolean, named: boolean): Schema[] {
    const names = [...(named ? ['name'] : []), ...(inNamespace ? ['namespace'] : [])];
    return names.map((name) => this.#parameter(name, 'path'));
  }

  #parameter(name: string, place: 'path' | 'query'): Schema {
    const type = QUERY_TYPES[name] ?? 'string';
    const common = { name, in: place, ...(place === 'path' && { required: true }), uniqueItems: true };
    return this.#dialect.version === 2 ? { ...common, type } : { ...common, schema: { type, uniqueItems: true } };
  }
}

function bodyOf(verb: string, type: string): string | undefined {
  if (verb === 'create' || verb === 'update') return type;
  if (verb === 'patch') return `${META}.Patch`;
  return verb.startsWith('delete') ? `${META}.DeleteOptions` : undefined;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
