// What the registry does about custom resources, as their definitions say.
import type { Draft, KubeObject } from '../../api/object.ts';
import type { CustomFacts, Resource } from '../../api/tables.ts';
import { compileJsonPath } from '../../machinery/json-path.ts';
import type { FieldError } from '../../machinery/status.ts';
import type { ScaleRule, Strategy } from '../strategies/strategy.ts';
import { customProblems } from './object-problems.ts';
import { ruleProblems } from './rules/evaluate.ts';

export function customStrategy(row: Resource, facts: CustomFacts): Strategy {
  const validateUpdate = (object: KubeObject, old: KubeObject): FieldError[] => customProblems(facts, object, old);
  const scale = scaleRule(facts);
  return {
    countsGenerations: true,
    countsStatus: !row.subresources.has('status'),
    unconditionalUpdate: false,
    selectable: selectableFields(facts),
    validate: (object) => customProblems(facts, object),
    validateUpdate,
    ...(facts.schema.hasRules && { rules: (object, old) => ruleProblems(facts.schema, object, old) }),
    resetFields: { '': row.subresources.has('status') ? ['status'] : [], status: ['metadata', 'spec'] },
    endpoints: { status: { prepareForUpdate: keepMetadata, validateUpdate } },
    ...(scale && { scale }),
  };
}

/** An update of the status leaves everything else as it was: not even labels change. */
function keepMetadata(object: Draft<KubeObject>, old: KubeObject): void {
  const { managedFields, resourceVersion } = object.metadata;
  const target = object as unknown as Record<string, unknown>;
  for (const name of Object.keys(target)) if (name !== 'status') delete target[name];
  const { status: _, ...rest } = structuredClone(old) as unknown as Record<string, unknown>;
  Object.assign(target, rest);
  if (managedFields) object.metadata.managedFields = managedFields;
  if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
}

function scaleRule({ scale }: CustomFacts): ScaleRule | undefined {
  return scale && { selector: 'text', paths: scale };
}

function selectableFields({ selectableFields: paths }: CustomFacts): Strategy['selectable'] & object {
  const fields: { [field: string]: (object: KubeObject) => string } = {};
  for (const path of paths) {
    const find = compileJsonPath(path);
    fields[path.slice(1)] = (object) => {
      const [value] = find(object);
      return value === undefined || value === null ? '' : String(value);
    };
  }
  return fields;
}
