// An applied configuration laid over an object: lists that are maps or sets by item, granular maps by key, all else as a whole
// (structured-merge-diff, typed.Merge).
import { isJsonObject, setMember } from '../../api/json.ts';
import { itemElement } from './list-items.ts';
import type { PathElement } from './path-element.ts';
import { DEDUCED, type FieldSchema } from './schema.ts';

type Members = { [key: string]: unknown };

/** Neither value is changed; the result shares what it has of both. The configuration has no item twice. */
export function mergeValues(schema: FieldSchema, live: unknown, config: unknown): unknown {
  if (config === undefined) return live;
  if (live === undefined || schema.leaf) return config;
  if (schema.kind === 'list') return mergeLists(schema, live, config);
  if (schema.kind === 'deduced' && !(isJsonObject(live) && isJsonObject(config))) return config;
  const left: Members = isJsonObject(live) ? live : {};
  const right: Members = isJsonObject(config) ? config : {};
  if (Object.keys(left).length === 0 && Object.keys(right).length === 0) return config;
  return mergeMaps(schema, left, right);
}

function mergeMaps(schema: FieldSchema, live: Members, config: Members): Members {
  const merged: Members = {};
  for (const key of Object.keys(live)) {
    const given = Object.hasOwn(config, key);
    setMember(merged, key, given ? mergeValues(memberSchema(schema, key), live[key], config[key]) : live[key]);
  }
  for (const key of Object.keys(config)) if (!Object.hasOwn(live, key)) setMember(merged, key, config[key]);
  return merged;
}

export function memberSchema(schema: FieldSchema, key: string): FieldSchema {
  return schema.byName?.get(key)?.schema ?? schema.element ?? DEDUCED;
}

/**
 * Items in the configuration's order, those that only the object has where they stood between them. Of an item that the
 * object has more than once and the configuration names, the configuration's form is left, once.
 */
function mergeLists(schema: FieldSchema, live: unknown, config: unknown): unknown {
  const left = Array.isArray(live) ? live : [];
  const right = Array.isArray(config) ? config : [];
  if (left.length === 0 && right.length === 0) return config;
  const lefts = left.map((item) => itemElement(schema, item));
  const rights = right.map((item) => itemElement(schema, item));
  const counts = new Map<PathElement, number>();
  for (const element of lefts) counts.set(element, (counts.get(element) ?? 0) + 1);
  const liveItems = new Map(lefts.map((element, i) => [element, counts.get(element)! > 1 ? undefined : left[i]]));
  const configItems = new Map(rights.map((element, i) => [element, right[i]]));
  const shared = rights.filter((element) => counts.has(element));
  const taken = new Set<PathElement>();
  const merged: unknown[] = [];
  const take = (element: PathElement): void => {
    taken.add(element);
    merged.push(mergeValues(schema.element!, liveItems.get(element), configItems.get(element)));
    if (shared[0] === element) shared.shift();
  };
  for (let l = 0, r = 0; l < lefts.length || r < rights.length; ) {
    const mine = lefts[l];
    if (mine !== undefined && r < rights.length) {
      if (mine === rights[r]) {
        take(mine);
        l++;
        r++;
        continue;
      }
      if (configItems.has(mine) && shared.length > 0 && shared[0] !== mine) {
        l++;
        continue;
      }
    }
    if (mine !== undefined && !configItems.has(mine)) merged.push(left[l++]);
    else {
      if (mine !== undefined && taken.has(mine)) l++;
      if (r < rights.length) take(rights[r++]!);
      else if (mine !== undefined && !taken.has(mine)) l++;
    }
  }
  return merged;
}
