// An apply that would take fields from others: 409 with one cause a field (apimachinery, managedfields.NewConflictError).
import type { FieldSet } from '../field-sets/field-set.ts';
import { pathsOf } from '../field-sets/field-set.ts';
import { compareText, type PathElement, printPath } from '../field-sets/path-element.ts';
import { StatusError } from '../status.ts';
import type { ManagedEntry } from './managed-fields.ts';

export interface Conflict {
  readonly entry: ManagedEntry;
  readonly path: readonly PathElement[];
}

export function conflictsOf(entry: ManagedEntry, fields: FieldSet): Conflict[] {
  return pathsOf(fields).map((path) => ({ entry, path }));
}

/** The refusal of an apply. The caller may look at what it was refused for. */
export class ApplyConflict extends StatusError {
  readonly conflicts: readonly Conflict[];

  constructor(found: readonly Conflict[]) {
    const conflicts = [...found].sort((a, b) => compareText(describe(a.entry), describe(b.entry)));
    super('Conflict', messageOf(conflicts), {
      causes: conflicts.map(({ entry, path }) => ({
        reason: 'FieldManagerConflict',
        message: `conflict with ${describe(entry)}`,
        field: printPath(path),
      })),
    });
    this.conflicts = conflicts;
  }
}

function messageOf(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1) {
    return `Apply failed with 1 conflict: conflict with ${describe(first!.entry)}: ${printPath(first!.path)}`;
  }
  const lines: string[] = [];
  for (const [manager, of] of Map.groupBy(conflicts, ({ entry }) => describe(entry))) {
    lines.push(`conflicts with ${manager}:`, ...of.map(({ path }) => `- ${printPath(path)}`));
  }
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
}

/** `"kubectl" with subresource "scale" using apps/v1` */
function describe({ manager, subresource, operation, apiVersion }: ManagedEntry): string {
  const name = `${JSON.stringify(manager)}${subresource ? ` with subresource ${JSON.stringify(subresource)}` : ''}`;
  return operation === 'Update' ? `${name} using ${apiVersion}` : name;
}
