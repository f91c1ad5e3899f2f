// Label and field selectors of a request, compiled into what the cache filters by.
import type { KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import type { Requirement, Selector } from '../../machinery/selector.ts';
import { EVERYTHING, parseFieldSelector, parseLabelSelector } from '../../machinery/selector-parse.ts';
import { badRequest } from '../../machinery/status.ts';
import type { Filter, Target } from '../contract.ts';
import { fieldsOf, selectableFields } from '../strategies/strategies.ts';
import { storedFieldName } from './versions.ts';

const METADATA_FIELDS = ['metadata.name', 'metadata.namespace'];

/** A field selector in the names of the stored version; refuses fields that the resource does not offer. */
function compileFields(text: string, asked: Resource, row: Resource): Selector {
  const parsed = parseFieldSelector(text);
  if (parsed.empty) return EVERYTHING;
  const own = selectableFields(row);
  const renamed: Requirement[] = [];
  for (const requirement of parsed.requirements) {
    const key = storedFieldName(asked, requirement.key);
    if (!METADATA_FIELDS.includes(key) && !own.includes(key)) throw unsupportedField(requirement.key, own);
    renamed.push({ ...requirement, key });
  }
  if (renamed.every((r, i) => r.key === parsed.requirements[i]!.key)) return parsed;
  return fieldSelector(renamed, text);
}

function unsupportedField(field: string, own: readonly string[]): Error {
  if (own.length > 0) return badRequest(`field label not supported: ${field}`);
  return badRequest(
    `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
  );
}

/** Field selectors know equality only; an absent field is "". */
function fieldSelector(requirements: readonly Requirement[], text: string): Selector {
  return {
    requirements,
    empty: requirements.length === 0,
    matches: (values) => requirements.every((r) => r.values.includes(values?.[r.key] ?? '') === (r.operator === 'In')),
    toString: () => text,
  };
}

/** The value that a selector demands of a field, when it demands one. */
function demanded(selector: Selector, field: string): string | undefined {
  const found = selector.requirements.find((r) => r.key === field && r.operator === 'In' && r.values.length === 1);
  return found?.values[0];
}

export interface Selectors {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export function filterOf(target: Target, row: Resource, options: Selectors): Filter {
  const labels = options.labelSelector ? parseLabelSelector(options.labelSelector) : EVERYTHING;
  const fields = options.fieldSelector ? compileFields(options.fieldSelector, target.resource, row) : EVERYTHING;
  const namespace = target.namespace ?? (row.namespaced ? demanded(fields, 'metadata.namespace') : undefined);
  const name = target.name ?? demanded(fields, 'metadata.name');
  return {
    ...(row.namespaced && namespace !== undefined && { namespace }),
    ...(name !== undefined && { name }),
    ...(!labels.empty && { labels }),
    ...(!fields.empty && { fields }),
  };
}

/** True when the filter restricts more than the namespace: counts of what remains mean nothing then. */
export function selects(filter: Filter): boolean {
  return filter.labels !== undefined || filter.fields !== undefined || filter.name !== undefined;
}

export function matchesFilter(filter: Filter, row: Resource, object: KubeObject): boolean {
  if (filter.namespace !== undefined && object.metadata.namespace !== filter.namespace) return false;
  if (filter.name !== undefined && object.metadata.name !== filter.name) return false;
  if (filter.labels && !filter.labels.matches(object.metadata.labels)) return false;
  return !filter.fields || filter.fields.matches(fieldsOf(row, object));
}
