// CustomResourceDefinition: what its names, versions and schemas have to be.
import type { CustomResourceDefinition, CustomResourceDefinitionVersion } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import type { SchemaProps } from '../../api/structural/schema.ts';
import { compileJsonPath, plainMembers } from '../../machinery/json-path.ts';
import { dns1035LabelProblems, dnsSubdomainProblems } from '../../machinery/names.ts';
import type { FieldError } from '../../machinery/status.ts';
import {
  duplicate,
  eachInvalid,
  FIELD_IMMUTABLE,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from '../strategies/field-errors.ts';
import { defineStrategy } from '../strategies/strategy.ts';
import { schemaProblems } from './check-schema.ts';
import { CLEANUP_FINALIZER, isEstablished, isProtectedGroup } from './conditions.ts';
import { rulesProblems } from './rules/check.ts';

type Version = CustomResourceDefinitionVersion;

export const customResourceDefinitionStrategy = defineStrategy<CustomResourceDefinition>({
  countsGenerations: true,
  unconditionalUpdate: false,
  finalizerOnDelete: CLEANUP_FINALIZER,
  prepareForCreate(definition) {
    fillNames(definition);
    const stored = definition.spec.versions.filter((v) => v.storage).map((v) => v.name);
    definition.status = { storedVersions: stored } as Draft<CustomResourceDefinition>['status'];
  },
  prepareForUpdate(definition, old) {
    fillNames(definition);
    definition.status = structuredClone(old.status) as Draft<CustomResourceDefinition>['status'];
    const stored = new Set(definition.status?.storedVersions ?? []);
    for (const v of definition.spec.versions) if (v.storage) stored.add(v.name);
    definition.status = {
      ...definition.status,
      storedVersions: [...stored],
    } as Draft<CustomResourceDefinition>['status'];
  },
  validate: (definition) => [
    ...nameProblems(definition),
    ...approvalProblems(definition),
    ...versionsProblems(definition),
    ...conversionProblems(definition),
  ],
  validateUpdate: (definition, old) => [
    ...nameProblems(definition),
    ...versionsProblems(definition),
    ...conversionProblems(definition),
    ...changeProblems(definition, old),
  ],
  endpoints: {
    status: {
      validateUpdate(definition) {
        const stored = definition.status?.storedVersions ?? [];
        if (stored.length === 0)
          return [invalidValue('status.storedVersions', stored, 'must have at least one stored version')];
        const names = new Set(definition.spec.versions.map((v) => v.name));
        const missing = stored.filter((name) => !names.has(name));
        return missing.map((name) =>
          invalidValue(`status.storedVersions[${stored.indexOf(name)}]`, name, 'must appear in spec.versions'),
        );
      },
    },
  },
});

function fillNames({ spec }: Draft<CustomResourceDefinition>): void {
  const { names } = spec;
  if (!names?.kind) return;
  names.singular ||= names.kind.toLowerCase();
  names.listKind ||= `${names.kind}List`;
}

function nameProblems({ metadata, spec }: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = [];
  const { group, names, scope } = spec;
  if (metadata.name !== `${names.plural}.${group}`) {
    errors.push(invalidValue('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group'));
  }
  if (!group) errors.push(required('spec.group'));
  else {
    errors.push(...eachInvalid('spec.group', group, dnsSubdomainProblems(group)));
    if (!group.includes('.'))
      errors.push(invalidValue('spec.group', group, 'should be a domain with at least one dot'));
  }
  if (!scope) errors.push(required('spec.scope'));
  else if (!['Cluster', 'Namespaced'].includes(scope))
    errors.push(notSupported('spec.scope', scope, ['Cluster', 'Namespaced']));
  const label = (field: string, value: string | undefined): void => {
    if (!value) errors.push(required(field));
    else errors.push(...eachInvalid(field, value, dns1035LabelProblems(value)));
  };
  label('spec.names.plural', names.plural);
  label('spec.names.singular', names.singular);
  label('spec.names.kind', names.kind?.toLowerCase());
  label('spec.names.listKind', names.listKind?.toLowerCase());
  for (const [i, name] of (names.shortNames ?? []).entries()) label(`spec.names.shortNames[${i}]`, name);
  for (const [i, name] of (names.categories ?? []).entries()) label(`spec.names.categories[${i}]`, name);
  if (names.kind && names.kind === names.listKind) {
    errors.push(invalidValue('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'));
  }
  return errors;
}

function approvalProblems({ metadata, spec }: CustomResourceDefinition): FieldError[] {
  const field = 'metadata.annotations[api-approved.kubernetes.io]';
  const approval = metadata.annotations?.['api-approved.kubernetes.io'];
  if (!isProtectedGroup(spec.group)) return [];
  const link = 'see https://github.com/kubernetes/enhancements/pull/1111';
  if (!approval)
    return [required(field, `protected groups must have approval annotation "api-approved.kubernetes.io", ${link}`)];
  if (approval.startsWith('unapproved') || URL.canParse(approval)) return [];
  return [
    invalidValue(
      field,
      approval,
      `protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", ${link}`,
    ),
  ];
}

function versionsProblems({ spec }: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = [];
  const { versions } = spec;
  if (versions.length === 0) return [required('spec.versions', 'must have at least one version')];
  const stored = versions.filter((v) => v.storage).length;
  if (stored !== 1) {
    const names = versions.map((v) => v.name);
    errors.push(invalidValue('spec.versions', names, 'must have exactly one version marked as storage version'));
  }
  if (spec.preserveUnknownFields) {
    errors.push(
      invalidValue(
        'spec.preserveUnknownFields',
        true,
        'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
      ),
    );
  }
  const seen = new Set<string>();
  for (const [i, version] of versions.entries()) {
    if (seen.has(version.name)) errors.push(duplicate(`spec.versions[${i}].name`, version.name));
    seen.add(version.name);
    errors.push(...versionProblems(version, `spec.versions[${i}]`));
  }
  return errors;
}

function versionProblems(version: Version, path: string): FieldError[] {
  const errors = eachInvalid(`${path}.name`, version.name, dns1035LabelProblems(version.name));
  if (version.deprecationWarning !== undefined && !version.deprecated) {
    errors.push(
      invalidValue(`${path}.deprecationWarning`, version.deprecationWarning, 'can only be set for deprecated versions'),
    );
  }
  const schema = version.schema?.openAPIV3Schema as unknown as SchemaProps | undefined;
  if (!schema) errors.push(required(`${path}.schema.openAPIV3Schema`, 'schemas are required'));
  else {
    const at = `${path}.schema.openAPIV3Schema`;
    const structural = schemaProblems(schema, at);
    // Rules are read against the schema's types, which have to be right first.
    errors.push(...structural, ...(structural.length === 0 ? rulesProblems(schema, at) : []));
  }
  for (const [i, column] of (version.additionalPrinterColumns ?? []).entries()) {
    errors.push(...columnProblems(column, `${path}.additionalPrinterColumns[${i}]`));
  }
  for (const [i, field] of (version.selectableFields ?? []).entries()) {
    const at = `${path}.selectableFields[${i}].jsonPath`;
    if (!plainMembers(field.jsonPath))
      errors.push(invalidValue(at, field.jsonPath, 'is an invalid path: must be a simple json path'));
  }
  const { scale } = version.subresources ?? {};
  if (scale) errors.push(...scaleProblems(scale, `${path}.subresources.scale`));
  return errors;
}

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function columnProblems(column: NonNullable<Version['additionalPrinterColumns']>[number], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!column.name) errors.push(required(`${path}.name`));
  if (!column.type) errors.push(required(`${path}.type`, `must be one of ${COLUMN_TYPES.join(',')}`));
  else if (!COLUMN_TYPES.includes(column.type))
    errors.push(invalidValue(`${path}.type`, column.type, `must be one of ${COLUMN_TYPES.join(',')}`));
  if (column.format && !COLUMN_FORMATS.includes(column.format)) {
    errors.push(invalidValue(`${path}.format`, column.format, `must be one of ${COLUMN_FORMATS.join(',')}`));
  }
  if (!column.jsonPath) errors.push(required(`${path}.jsonPath`));
  else errors.push(...pathProblems(column.jsonPath, `${path}.jsonPath`));
  return errors;
}

function pathProblems(jsonPath: string, field: string): FieldError[] {
  if (!jsonPath.startsWith('.')) return [invalidValue(field, jsonPath, 'must be a json path starting with .')];
  try {
    compileJsonPath(jsonPath);
    return [];
  } catch (error) {
    return [invalidValue(field, jsonPath, `is an invalid path: ${(error as Error).message}`)];
  }
}

function scaleProblems(scale: NonNullable<NonNullable<Version['subresources']>['scale']>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const check = (
    name: 'specReplicasPath' | 'statusReplicasPath' | 'labelSelectorPath',
    below: readonly string[],
  ): void => {
    const value = scale[name];
    if (!value) {
      if (name !== 'labelSelectorPath') errors.push(required(`${path}.${name}`));
      return;
    }
    const fits = plainMembers(value) && below.some((one) => value.startsWith(one));
    if (!fits) errors.push(invalidValue(`${path}.${name}`, value, `should be a json path under ${below.join(' or ')}`));
  };
  check('specReplicasPath', ['.spec.']);
  check('statusReplicasPath', ['.status.']);
  check('labelSelectorPath', ['.spec.', '.status.']);
  return errors;
}

function conversionProblems({ spec }: CustomResourceDefinition): FieldError[] {
  const { conversion } = spec;
  if (!conversion) return [];
  const { strategy, webhook } = conversion;
  if (!['None', 'Webhook'].includes(strategy))
    return [notSupported('spec.conversion.strategy', strategy, ['None', 'Webhook'])];
  if (strategy === 'None') {
    return webhook
      ? [forbiddenField('spec.conversion.webhook', 'should not be set when strategy is not set to Webhook')]
      : [];
  }
  const { clientConfig, conversionReviewVersions = [] } = webhook ?? {};
  const errors: FieldError[] = [];
  const path = 'spec.conversion.webhook';
  if (!clientConfig) errors.push(required(`${path}.clientConfig`, 'required when strategy is set to Webhook'));
  else if (Boolean(clientConfig.url) === Boolean(clientConfig.service)) {
    errors.push(required(`${path}.clientConfig`, 'exactly one of url or service is required'));
  }
  if (conversionReviewVersions.length === 0) errors.push(required(`${path}.conversionReviewVersions`));
  else if (!conversionReviewVersions.includes('v1')) {
    errors.push(
      invalidValue(`${path}.conversionReviewVersions`, conversionReviewVersions, 'must include at least one of v1'),
    );
  }
  return errors;
}

function changeProblems(definition: CustomResourceDefinition, old: CustomResourceDefinition): FieldError[] {
  const errors: FieldError[] = [];
  const fixed = (field: string, value: unknown, before: unknown): void => {
    if (value !== before) errors.push(invalidValue(field, value, FIELD_IMMUTABLE));
  };
  fixed('spec.group', definition.spec.group, old.spec.group);
  fixed('spec.names.plural', definition.spec.names.plural, old.spec.names.plural);
  if (isEstablished(old)) {
    fixed('spec.scope', definition.spec.scope, old.spec.scope);
    fixed('spec.names.kind', definition.spec.names.kind, old.spec.names.kind);
  }
  const names = new Set(definition.spec.versions.map((v) => v.name));
  for (const [i, stored] of (definition.status?.storedVersions ?? []).entries()) {
    if (!names.has(stored))
      errors.push(invalidValue(`status.storedVersions[${i}]`, stored, 'must appear in spec.versions'));
  }
  return errors;
}
