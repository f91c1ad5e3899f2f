// Strategic merge patch: a merge patch in which lists are merged by the keys that the table of types declares, with
// directives ($patch, $retainKeys, $deleteFromPrimitiveList, $setElementOrder).
import { cloneJson, isJsonObject, setMember } from '../../api/json.ts';
import type { Field, Tables } from '../../api/tables.ts';
import { badRequest, type StatusError } from '../status.ts';
import { unprocessable } from './json.ts';
import { mergedOrder } from './order.ts';

type Members = { [key: string]: unknown };

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM = '$deleteFromPrimitiveList';
const SET_ORDER = '$setElementOrder';

const BAD_PRIMITIVE_LIST = 'invalid patch format of primitive list';
const BAD_RETAIN_KEYS = 'invalid patch format of retainKeys';
const BAD_SET_ORDER = 'invalid patch format of setElementOrder list';

/**
 * The document with the patch applied; neither is changed. Throws a Status: BadRequest for a malformed patch, Invalid
 * (422) for lists of lists.
 */
export function applyStrategicPatch<T extends object>(
  tables: Tables,
  typeName: string,
  document: T,
  patch: unknown,
): T {
  if (!isJsonObject(patch)) throw badRequest('invalid JSON document');
  return new Merge(tables).map(cloneJson(document) as Members, cloneJson(patch) as Members, `@${typeName}`) as T;
}

/** How a member is patched. */
interface Rule {
  /** The member's code in the table; undefined inside values whose type is not known. */
  readonly code: string | undefined;
  readonly strategy: string | undefined;
  readonly mergeKey: string | undefined;
}

const UNKNOWN: Rule = { code: undefined, strategy: undefined, mergeKey: undefined };

/** Merges in place: document and patch are copies. */
class Merge {
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  map(original: Members, patch: Members, code: string | undefined): Members {
    if (Object.hasOwn(patch, DIRECTIVE)) return applyDirective(patch);
    retainKeys(original, patch);
    this.#orderedLists(original, patch, code);
    for (const key of Object.keys(patch)) this.#member(original, key, patch[key], code);
    return original;
  }

  #member(original: Members, patchKey: string, value: unknown, code: string | undefined): void {
    const deletes = patchKey.startsWith(DELETE_FROM);
    const key = deletes ? directiveTarget(patchKey, DELETE_FROM, BAD_PRIMITIVE_LIST) : patchKey;
    if (value === null || value === undefined) {
      delete original[key];
      return;
    }
    const before = Object.hasOwn(original, key) ? original[key] : undefined;
    if (kindOf(before) !== kindOf(value)) {
      if (!deletes) setMember(original, key, withoutDirectives(value));
      return;
    }
    const rule = this.#rule(code, key);
    setMember(original, key, this.#merged(before, value, rule, deletes));
  }

  #merged(before: unknown, value: unknown, rule: Rule, deletes: boolean): unknown {
    if (isJsonObject(value)) {
      return rule.strategy === 'replace'
        ? withoutDirectives(value)
        : this.map(before as Members, value as Members, rule.code);
    }
    if (!Array.isArray(value)) return value;
    if (rule.strategy !== 'merge') return withoutDirectives(value);
    return this.#list(before as unknown[], value, rule, deletes);
  }

  /** Merges lists of scalars as sets, lists of objects by their merge key; patched items come in the patch's order. */
  #list(original: unknown[], patch: unknown[], rule: Rule, deletes: boolean): unknown[] {
    if (original.length === 0 && patch.length === 0) return original;
    if (elementKind(original, patch) !== 'object') {
      if (deletes) {
        const unwanted = new Set(patch);
        return original.filter((item) => !unwanted.has(item));
      }
      return mergedOrder([...new Set([...original, ...patch])], patch, original, undefined);
    }
    const key = rule.mergeKey;
    if (key === undefined) throw badRequest(`cannot merge lists without merge key for type ${rule.code ?? 'unknown'}`);
    const { kept, changes } = specialElements(original as Members[], patch as Members[], key);
    const merged = this.#byKey([...kept], changes, key, rule.code?.slice(2));
    for (const item of merged) keyValue(item, key);
    return mergedOrder(merged, changes, kept, key);
  }

  #byKey(list: Members[], changes: readonly Members[], key: string, code: string | undefined): Members[] {
    const places = new Map<unknown, number>();
    list.forEach((item, i) => {
      const value = item[key];
      if (!places.has(value)) places.set(value, i);
    });
    for (const change of changes) {
      const value = keyValue(change, key);
      const at = places.get(value);
      if (at !== undefined) list[at] = this.map(list[at]!, ownMembers(change), code);
      else {
        places.set(value, list.length);
        list.push(withoutDirectives(change) as Members);
      }
    }
    return list;
  }

  /** Lists that come with $setElementOrder: merged, then ordered by it. The patch keeps neither. */
  #orderedLists(original: Members, patch: Members, code: string | undefined): void {
    for (const directive of Object.keys(patch)) {
      if (!directive.startsWith(SET_ORDER)) continue;
      const order = patch[directive];
      delete patch[directive];
      if (!Array.isArray(order)) throw badRequest(BAD_SET_ORDER);
      const key = directiveTarget(directive, SET_ORDER, BAD_SET_ORDER);
      const rule = this.#rule(code, key);
      const before = listMember(original, key);
      const changes = listMember(patch, key);
      checkOrder(changes ?? [], order, rule.mergeKey);
      const merged = this.#mergedForOrder(before, changes, rule);
      delete patch[key];
      if (merged) setMember(original, key, mergedOrder(merged, order, before ?? [], rule.mergeKey));
    }
  }

  #mergedForOrder(before: unknown[] | undefined, changes: unknown[] | undefined, rule: Rule): unknown[] | undefined {
    if (!changes) return before;
    if (!before) return withoutDirectives(changes) as unknown[];
    return rule.strategy === 'merge'
      ? this.#list(before, changes, rule, false)
      : (withoutDirectives(changes) as unknown[]);
  }

  #rule(code: string | undefined, key: string): Rule {
    if (code?.startsWith('{}')) return { code: code.slice(2), strategy: undefined, mergeKey: undefined };
    const field = code?.startsWith('@') ? this.#field(code.slice(1), key) : undefined;
    if (!field) return UNKNOWN;
    const strategy = field.patchStrategy?.split(',').find((s) => s !== 'retainKeys');
    return { code: this.#resolved(field.code), strategy, mergeKey: field.patchMergeKey };
  }

  #field(type: string, key: string): Field | undefined {
    const row = this.#tables.type(type);
    return row.alias ? this.#field(row.alias.slice(1), key) : row.fields?.get(key);
  }

  /** A code whose type is itself a list or alias stands for what it names. */
  #resolved(code: string): string {
    if (!code.startsWith('@')) return code;
    const row = this.#tables.type(code.slice(1));
    return row.list ? `[]${row.list}` : (row.alias ?? code);
  }
}

/** A shallow copy, as a patch's own. */
function ownMembers(change: Members): Members {
  const copy: Members = {};
  for (const key of Object.keys(change)) setMember(copy, key, change[key]);
  return copy;
}

/** $patch in a map: replace keeps only what the patch holds, delete leaves an empty map. */
function applyDirective(patch: Members): Members {
  const directive = patch[DIRECTIVE];
  if (directive === 'replace') {
    delete patch[DIRECTIVE];
    return withoutDirectives(patch) as Members;
  }
  if (directive === 'delete') return {};
  throw badPatchType(directive, patch);
}

/** $retainKeys: members of the original that it does not name are cleared; the patch must not set others. */
function retainKeys(original: Members, patch: Members): void {
  if (!Object.hasOwn(patch, RETAIN_KEYS)) return;
  const keys = patch[RETAIN_KEYS];
  delete patch[RETAIN_KEYS];
  if (!Array.isArray(keys)) throw badRequest(BAD_RETAIN_KEYS);
  const retained = new Set<unknown>(keys);
  for (const [key, value] of Object.entries(patch)) {
    const directive = key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    if (value !== null && !directive && !retained.has(key)) throw badRequest(BAD_RETAIN_KEYS);
  }
  for (const key of Object.keys(original)) if (!retained.has(key)) delete original[key];
}

/** Takes items with $patch out of a list: deletions are done, a replacement empties the original. */
function specialElements(
  original: readonly Members[],
  patch: readonly Members[],
  key: string,
): { kept: Members[]; changes: Members[] } {
  const deleted = new Set<unknown>();
  const changes: Members[] = [];
  let replace = false;
  for (const item of patch) {
    const directive = item[DIRECTIVE];
    if (directive === undefined) changes.push(item);
    else if (directive === 'replace') replace = true;
    else if (directive === 'delete') deleted.add(keyValue(item, key));
    else if (directive === 'merge') throw badRequest('merging lists cannot yet be specified in the patch');
    else throw badPatchType(directive, item);
  }
  return { kept: replace ? [] : original.filter((item) => !deleted.has(item[key])), changes };
}

/** The patch's items must come in the order that $setElementOrder gives, and be part of it. */
function checkOrder(patch: readonly unknown[], order: readonly unknown[], key: string | undefined): void {
  if (patch.length === 0 || order.length === 0) return;
  const identity = (item: unknown): unknown => (key === undefined ? item : keyValue(item as Members, key));
  const items = patch.filter((item) => !(isJsonObject(item) && DIRECTIVE in item));
  let at = 0;
  for (const item of order) if (at < items.length && identity(items[at]) === identity(item)) at++;
  if (at < items.length) {
    const [shown, listed] = [goText(patch), goText(order)];
    throw badRequest(`The order in patch list:\n${shown}\n doesn't match ${SET_ORDER} list:\n${listed}\n`);
  }
}

/** A value that the document did not have: nulls and directives in it mean nothing. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => !(isJsonObject(item) && DIRECTIVE in item)).map(withoutDirectives);
  }
  if (!isJsonObject(value)) return value;
  if (value[DIRECTIVE] === 'delete') return {};
  const kept: Members = {};
  for (const [key, member] of Object.entries(value)) {
    const directive =
      key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    if (!directive && member !== null) setMember(kept, key, withoutDirectives(member));
  }
  return kept;
}

function directiveTarget(directive: string, prefix: string, problem: string): string {
  if (!directive.startsWith(`${prefix}/`)) throw badRequest(problem);
  return directive.slice(prefix.length + 1);
}

function listMember(object: Members, key: string): unknown[] | undefined {
  const value = Object.hasOwn(object, key) ? object[key] : undefined;
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw badRequest(BAD_SET_ORDER);
  return value;
}

function keyValue(item: unknown, key: string): unknown {
  const value = isJsonObject(item) ? item[key] : undefined;
  if (value !== undefined) return value;
  throw badRequest(`map: ${goText(item)} does not contain declared merge key: ${key}`);
}

function elementKind(...lists: readonly (readonly unknown[])[]): string {
  const kinds = new Set(lists.flat().map((item) => (Array.isArray(item) ? 'list' : kindOf(item))));
  if (kinds.has('list')) throw unprocessable('lists of lists are not supported');
  if (kinds.size > 1) throw badRequest(`list element types are not identical: ${goText(lists)}`);
  return [...kinds][0]!;
}

/** What must be the same on both sides for a merge. */
function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  if (value === null || value === undefined) return 'nothing';
  return typeof value === 'bigint' ? 'number' : typeof value;
}

function badPatchType(directive: unknown, map: unknown): StatusError {
  return badRequest(`unknown patch type: ${goText(directive)} in map: ${goText(map)}`);
}

/** A value as Go's %v prints it. */
function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  if (!isJsonObject(value)) return value === null || value === undefined ? '<nil>' : String(value);
  const members = Object.keys(value).sort();
  return `map[${members.map((key) => `${key}:${goText(value[key])}`).join(' ')}]`;
}
