// What a request is about, read from its method and path alone, by upstream's rules (RequestInfo).
import { parseFieldSelector } from '../../machinery/selector-parse.ts';
import { badRequest } from '../../machinery/status.ts';
import { NO_QUERY } from './exchange.ts';

export interface RequestInfo {
  readonly isResource: boolean;
  /** get, list, watch, create, update, patch, delete, deletecollection; for other paths the method in lower case. */
  readonly verb: string;
  readonly path: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** What follows the subresource (proxy paths), without a leading slash, still percent-encoded. */
  readonly rest: string;
}

/** A map: over HTTP/2 a method may be any word, also the name of something that every object has. */
const VERBS: ReadonlyMap<string, string> = new Map([
  ['POST', 'create'],
  ['GET', 'get'],
  ['HEAD', 'get'],
  ['PUT', 'update'],
  ['PATCH', 'patch'],
  ['DELETE', 'delete'],
]);

/** Subresources of a namespace: after /namespaces/x/ these are not resources within it. */
const NAMESPACE_SUBRESOURCES = ['status', 'finalize'];

export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const parts = path.split('/');
  if (parts.includes('')) dropEmpty(parts);
  const grouped = parts[0] === 'apis';
  const isResource = (parts[0] === 'api' && parts.length >= 3) || (grouped && parts.length >= 4);
  if (!isResource) return nonResource(method, path);
  const [group, version] = grouped ? [decode(parts[1]!), decode(parts[2]!)] : ['', decode(parts[1]!)];
  let rest = parts.slice(grouped ? 3 : 2);
  let verb = VERBS.get(method) ?? '';
  const watchPrefix = rest[0] === 'watch';
  if (watchPrefix) {
    if (rest.length < 2) throw badRequest(`unable to determine kind and namespace from url, ${path}`);
    verb = 'watch';
    rest = rest.slice(1);
  }
  let namespace = '';
  if (rest[0] === 'namespaces' && rest.length > 1) {
    namespace = decode(rest[1]!);
    if (rest.length > 2 && !NAMESPACE_SUBRESOURCES.includes(rest[2]!)) rest = rest.slice(2);
  }
  const [resource = '', part = '', subresource = ''] = rest;
  const of = collectionVerb(verb, decode(part), query);
  return {
    isResource: true,
    verb: of.verb,
    path,
    group,
    version,
    resource: decode(resource),
    subresource: decode(subresource),
    namespace,
    name: of.name,
    rest: rest.length > 3 ? rest.slice(3).join('/') + (path.endsWith('/') ? '/' : '') : '',
  };
}

function dropEmpty(parts: string[]): void {
  let kept = 0;
  for (const part of parts) if (part !== '') parts[kept++] = part;
  parts.length = kept;
}

function nonResource(method: string, path: string): RequestInfo {
  const empty = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '', rest: '' };
  return { isResource: false, verb: method.toLowerCase(), path, ...empty };
}

/** A request without a name is about the collection; a field selector on metadata.name makes it about one object. */
function collectionVerb(verb: string, name: string, query: URLSearchParams): { verb: string; name: string } {
  if (name !== '' && verb !== 'get') return { verb, name };
  const watching = query !== NO_QUERY && isTrue(query.get('watch'));
  if (name !== '') return { verb: verb === 'get' && watching ? 'watch' : verb, name };
  if (verb === 'get') return { verb: watching ? 'watch' : 'list', name: nameOfSelector(query) };
  if (verb === 'watch') return { verb, name: nameOfSelector(query) };
  return { verb: verb === 'delete' ? 'deletecollection' : verb, name };
}

function nameOfSelector(query: URLSearchParams): string {
  const text = query.get('fieldSelector');
  if (!text?.includes('metadata.name')) return '';
  const found = parseFieldSelector(text).requirements.find((r) => r.key === 'metadata.name' && r.operator === 'In');
  return found?.values.length === 1 ? found.values[0]! : '';
}

/** As Go's strconv.ParseBool reads a query value; a bare `watch` counts. */
export function isTrue(value: string | null): boolean {
  return value !== null && !['0', 'f', 'F', 'false', 'False', 'FALSE'].includes(value);
}

function decode(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw badRequest(`invalid URL escape in ${JSON.stringify(part)}`, error);
  }
}
