// Everything that validation finds in a custom resource beyond its metadata.
import type { KubeObject } from '../../api/object.ts';
import { schemaOfMember } from '../../api/structural/default.ts';
import type { StructuralSchema } from '../../api/structural/schema.ts';
import type { CustomFacts } from '../../api/tables.ts';
import type { FieldError } from '../../machinery/status.ts';
import { duplicate, invalidValue, required } from '../strategies/field-errors.ts';
import { validateObjectMeta } from '../strategies/object-meta.ts';
import { identityText } from './list-identity.ts';
import { MAX_FINDINGS, validateValue } from './validate-value.ts';

/** Findings of the schema, of lists that are sets or maps, and of embedded resources, not of rules; `old`: of an update. */
export function customProblems({ schema }: CustomFacts, object: KubeObject, old?: KubeObject): FieldError[] {
  return [...validateValue(schema.source, object, '', old), ...shapeProblems(schema, object, '')];
}

type Members = { readonly [name: string]: unknown };

function shapeProblems(schema: StructuralSchema, value: unknown, path: string): FieldError[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    const inner = items ? value.flatMap((item, i) => shapeProblems(items, item, `${path}[${i}]`)) : [];
    return [...listProblems(schema, value, path), ...inner];
  }
  if (typeof value !== 'object' || value === null) return [];
  const errors = schema.embedded && path !== '' ? embeddedProblems(value as Members, path) : [];
  for (const [name, member] of Object.entries(value)) {
    const property = schemaOfMember(schema, name);
    if (!property || (path === '' && name === 'metadata')) continue;
    errors.push(...shapeProblems(property, member, path === '' ? name : `${path}.${name}`));
  }
  return errors;
}

/** Elements of a set differ; those of a map have different keys. */
function listProblems(schema: StructuralSchema, list: readonly unknown[], path: string): FieldError[] {
  if (schema.listType !== 'set' && schema.listType !== 'map') return [];
  const { listMapKeys } = schema;
  const keysOf = (item: unknown): unknown =>
    Object.fromEntries(listMapKeys.map((key) => [key, (item as Members | null)?.[key]]));
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [i, item] of list.entries()) {
    const own = schema.listType === 'set' ? item : keysOf(item);
    const text = identityText(own);
    if (seen.has(text)) errors.push(duplicate(`${path}[${i}]`, own));
    if (errors.length >= MAX_FINDINGS) break;
    seen.add(text);
  }
  return errors;
}

function embeddedProblems(object: Members, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['apiVersion', 'kind']) {
    const value = object[name];
    if (value === undefined || value === '') errors.push(required(`${path}.${name}`, 'must not be empty'));
    else if (typeof value !== 'string') errors.push(invalidValue(`${path}.${name}`, value, 'must be a string'));
  }
  const { metadata } = object as { metadata?: KubeObject['metadata'] };
  if (typeof metadata !== 'object' || metadata === null) return errors;
  const found = validateObjectMeta(
    { ...metadata, name: metadata.name || 'embedded' },
    {
      namespaced: metadata.namespace !== undefined,
      nameRule: () => [],
    },
  );
  errors.push(...found.map((one) => ({ ...one, field: `${path}.${one.field}` })));
  return errors;
}
