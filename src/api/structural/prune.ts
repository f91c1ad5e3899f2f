// Pruning of custom resources: members that the schema does not name are taken away, and their paths told.
import { cloneJson } from '../json.ts';
import type { StructuralSchema } from './schema.ts';

type Members = { [key: string]: unknown };

const ENVELOPE = ['apiVersion', 'kind', 'metadata'];

/** Upstream stops counting here too. */
const PATH_LIMIT = 100;

/**
 * Prunes in place; returns the paths of what was taken away (`spec.list[0].x`). The object's own apiVersion, kind and
 * metadata, and those of embedded resources, stay: metadata is read by its own type.
 */
export function prune(schema: StructuralSchema, object: object): string[] {
  const run = new Pruning();
  run.members(schema, object as Members, '', true);
  return run.paths;
}

/** Whether pruning would leave a value as it is. */
export function isPruned(schema: StructuralSchema, object: object): boolean {
  return prune(schema, cloneJson(object)).length === 0;
}

class Pruning {
  readonly paths: string[] = [];

  value(schema: StructuralSchema | undefined, value: unknown, path: string): void {
    if (Array.isArray(value)) {
      const items = schema?.items;
      if (schema?.preservesUnknown && !items) return;
      for (const [i, item] of value.entries()) this.value(items, item, `${path}[${i}]`);
    } else if (typeof value === 'object' && value !== null) {
      this.members(schema, value as Members, path, schema?.embedded === true);
    }
  }

  members(schema: StructuralSchema | undefined, object: Members, path: string, isResource: boolean): void {
    for (const name of Object.keys(object)) {
      const at = path === '' ? name : `${path}.${name}`;
      const property = schema?.properties.get(name);
      if (isResource && ENVELOPE.includes(name)) continue;
      if (property) this.value(property, object[name], at);
      else if (typeof schema?.additional === 'object') this.value(schema.additional, object[name], at);
      else if (schema?.additional === true) this.value(undefined, object[name], at);
      else if (!schema?.preservesUnknown) {
        delete object[name];
        if (this.paths.length < PATH_LIMIT) this.paths.push(at);
      }
    }
  }
}
