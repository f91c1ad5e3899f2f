// Printer columns of custom resources: a JSON path each.
import type { KubeObject } from '../../api/object.ts';
import type { CustomFacts } from '../../api/tables.ts';
import { compileJsonPath, type JsonPath } from '../../machinery/json-path.ts';
import { ageColumn, ago, type Column, nameColumn } from '../printers/column.ts';

/** The name, and what the definition asks for; the age where it asks for nothing. */
export function customColumns({ columns }: CustomFacts): readonly Column[] {
  if (columns.length === 0) return [nameColumn, ageColumn];
  return [nameColumn, ...columns.map((column) => columnOf(column))];
}

function columnOf({ name, type, format, description, priority, jsonPath }: CustomFacts['columns'][number]): Column {
  const find = finder(jsonPath);
  return {
    name,
    type: type as 'string',
    ...(format && { format }),
    description: description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    ...(priority && { priority }),
    cell: (object: KubeObject, nowMs: number) => cellOf(type, find(object), nowMs),
  };
}

/** A path that is none finds nothing: it was refused when the definition was written, or is of a time before that. */
function finder(path: string): JsonPath {
  try {
    return compileJsonPath(path);
  } catch {
    return () => [];
  }
}

function cellOf(type: string, found: readonly unknown[], nowMs: number): unknown {
  const [value] = found;
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer':
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value === 'string' ? ago(value, nowMs) : '<invalid>';
    default:
      return found.map(textOf).join(' ');
  }
}

function textOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}
