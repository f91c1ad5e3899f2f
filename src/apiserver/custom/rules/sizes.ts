// How large the values of a schema may be: from its own bounds, or else from the size of the largest request.
import type { StructuralSchema } from '../../../api/structural/schema.ts';

/** Bytes of the largest request (upstream's figure for estimates): what is not bounded otherwise is bounded by it. */
export const MAX_REQUEST_BYTES = 3 * 1024 * 1024;
/** A character is up to four bytes, and sizes are counted in bytes. */
const BYTES_OF_CHARACTER = 4;
/** Longest texts of formats that are values of a type of their own. */
const FORMATS: { readonly [format: string]: number | undefined } = { date: 10, 'date-time': 35, duration: 32 };

/** Upstream's size of a value at most: bytes of a text, items, members; 0 of what has none. */
export function maxSize(schema: StructuralSchema): number {
  const { maxItems, maxProperties, maxLength, format = '', enum: allowed } = schema.source;
  if (schema.intOrString) return MAX_REQUEST_BYTES - 2;
  switch (schema.type) {
    case 'string':
      if (format === 'byte') return maxLength ?? MAX_REQUEST_BYTES - 2;
      if (maxLength !== undefined) return maxLength * BYTES_OF_CHARACTER;
      if (allowed) return Math.max(...allowed.map((one) => String(one).length));
      return FORMATS[format] ?? MAX_REQUEST_BYTES - 2;
    case 'array':
      return maxItems ?? Math.floor((MAX_REQUEST_BYTES - 2) / (minBytes(schema.items) + 1));
    case 'object': {
      const value = typeof schema.additional === 'object' ? schema.additional : undefined;
      // Of a key there are at least two quotes, a colon and a comma.
      const unbounded = Math.floor((MAX_REQUEST_BYTES - 2) / (minBytes(value) + 6));
      return schema.additional ? (maxProperties ?? unbounded) : 0;
    }
    default:
      return 0;
  }
}

/** How many values of a schema fit into one request. */
export function maxCardinality(schema: StructuralSchema): number {
  return Math.floor(MAX_REQUEST_BYTES / (minBytes(schema) + 1));
}

/** The fewest bytes in which a value can be written. */
function minBytes(schema: StructuralSchema | undefined): number {
  if (!schema) return 1;
  if (schema.type === 'object') {
    let bytes = 2;
    for (const name of schema.source.required ?? []) {
      const property = schema.properties.get(name);
      if (property && property.source.default === undefined) bytes += name.length + 4 + minBytes(property);
    }
    return bytes;
  }
  if (schema.intOrString) return 1;
  return schema.type === 'boolean' ? 4 : schema.type === 'integer' || schema.type === 'number' ? 1 : 2;
}
