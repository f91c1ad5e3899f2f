// Whether a definition's schema is structural, as apiextensions.k8s.io/v1 demands, with upstream's findings and wording.
import { cloneJson } from '../../api/json.ts';
import { prune } from '../../api/structural/prune.ts';
import { compileSchema, type SchemaProps } from '../../api/structural/schema.ts';
import type { FieldError } from '../../machinery/status.ts';
import { forbiddenField, invalidValue, notSupported, required } from '../strategies/field-errors.ts';
import { patternOf, validateValue } from './validate-value.ts';

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];

/** Findings of the schema of one version; `path` is where it stands. */
export function schemaProblems(schema: SchemaProps, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!schema.type) errors.push(required(`${path}.type`, 'must not be empty at the root'));
  else if (schema.type !== 'object')
    errors.push(invalidValue(`${path}.type`, schema.type, 'must be object at the root'));
  if (schema.nullable) errors.push(forbiddenField(`${path}.nullable`, 'nullable cannot be true at the root'));
  if (schema.additionalProperties !== undefined) {
    errors.push(forbiddenField(`${path}.additionalProperties`, 'must not be used at the root'));
  }
  errors.push(...metadataProblems(schema.properties?.metadata, `${path}.properties[metadata]`));
  errors.push(...nodeProblems(schema, path, 'root'));
  return errors;
}

/** Of the object's own metadata a schema may restrict name and generateName only. */
function metadataProblems(metadata: SchemaProps | undefined, path: string): FieldError[] {
  if (!metadata) return [];
  const errors =
    metadata.type === 'object' ? [] : [invalidValue(`${path}.type`, metadata.type ?? '', 'must be object')];
  const names = Object.keys(metadata.properties ?? {});
  const others = names.filter((name) => name !== 'name' && name !== 'generateName');
  const what = 'must not specify anything other than name and generateName, but metadata is implicitly specified';
  return others.length > 0 ? [...errors, forbiddenField(path, what)] : errors;
}

/** Where a schema stands. */
type Place = 'root' | 'property' | 'items';

const PLACE_WORDS = {
  root: 'at the root',
  property: 'for specified object fields',
  items: 'for specified array items',
};
const UNSUPPORTED = [
  '$ref',
  'definitions',
  'dependencies',
  'patternProperties',
  'additionalItems',
  'id',
  '$schema',
] as const;

function nodeProblems(schema: SchemaProps, path: string, place: Place): FieldError[] {
  const errors = [
    ...keywordProblems(schema, path, place),
    ...listProblems(schema, path),
    ...valueProblems(schema, path),
  ];
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    if (place === 'root' && name === 'metadata') continue;
    errors.push(...nodeProblems(one, `${path}.properties[${name}]`, 'property'));
  }
  if (Array.isArray(schema.items))
    errors.push(forbiddenField(`${path}.items`, 'items must be a schema object and not an array'));
  else if (schema.items) errors.push(...nodeProblems(schema.items as SchemaProps, `${path}.items`, 'items'));
  if (typeof schema.additionalProperties === 'object') {
    errors.push(...nodeProblems(schema.additionalProperties, `${path}.additionalProperties`, 'property'));
  }
  for (const word of ['allOf', 'anyOf', 'oneOf'] as const) {
    for (const [i, one] of (schema[word] ?? []).entries()) {
      errors.push(...junctorProblems(one, schema, `${path}.${word}[${i}]`));
    }
  }
  if (schema.not) errors.push(...junctorProblems(schema.not, schema, `${path}.not`));
  return errors;
}

function keywordProblems(schema: SchemaProps, path: string, place: Place): FieldError[] {
  const errors: FieldError[] = [];
  const free = schema['x-kubernetes-int-or-string'] || schema['x-kubernetes-preserve-unknown-fields'];
  if (!schema.type && place !== 'root' && !free)
    errors.push(required(`${path}.type`, `must not be empty ${PLACE_WORDS[place]}`));
  if (schema.type && !TYPES.includes(schema.type)) errors.push(notSupported(`${path}.type`, schema.type, TYPES));
  if (schema['x-kubernetes-int-or-string'] && schema.type) {
    const what = 'must be empty if x-kubernetes-int-or-string is true';
    errors.push(invalidValue(`${path}.type`, schema.type, what));
  }
  if (schema['x-kubernetes-int-or-string'] && schema['x-kubernetes-preserve-unknown-fields']) {
    const what = 'must be false if x-kubernetes-int-or-string is true';
    errors.push(invalidValue(`${path}.x-kubernetes-preserve-unknown-fields`, true, what));
  }
  if (schema.type === 'array' && !schema.items) errors.push(required(`${path}.items`, 'must be specified'));
  if (schema['x-kubernetes-preserve-unknown-fields'] && schema.type && schema.type !== 'object') {
    errors.push(
      invalidValue(`${path}.type`, schema.type, 'must be object if x-kubernetes-preserve-unknown-fields is true'),
    );
  }
  if (place === 'root' || schema['x-kubernetes-embedded-resource']) errors.push(...envelopeProblems(schema, path));
  if (schema['x-kubernetes-embedded-resource']) errors.push(...embeddedProblems(schema, path));
  for (const word of UNSUPPORTED)
    if (schema[word] !== undefined) errors.push(forbiddenField(`${path}.${word}`, `${word} is not supported`));
  if (schema.uniqueItems) {
    errors.push(
      forbiddenField(
        `${path}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    );
  }
  if (schema.additionalProperties === false) {
    errors.push(forbiddenField(`${path}.additionalProperties`, 'additionalProperties cannot be set to false'));
  }
  if (schema.properties && schema.additionalProperties) {
    errors.push(
      forbiddenField(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'),
    );
  }
  if (schema.pattern && !patternOf(schema.pattern)) {
    errors.push(invalidValue(`${path}.pattern`, schema.pattern, "must be a valid regular expression, but isn't"));
  }
  return errors;
}

/** What every object has, of the types that it has there. */
function envelopeProblems({ properties }: SchemaProps, path: string): FieldError[] {
  return ['kind', 'apiVersion'].flatMap((name) => {
    const one = properties && Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (!one || one.type === 'string') return [];
    return [invalidValue(`${path}.properties[${name}].type`, one.type ?? '', 'must be string')];
  });
}

function embeddedProblems(schema: SchemaProps, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.type !== 'object') {
    const what = 'must be object if x-kubernetes-embedded-resource is true';
    errors.push(schema.type ? invalidValue(`${path}.type`, schema.type, what) : required(`${path}.type`, what));
  }
  if (schema.additionalProperties !== undefined) {
    const what = 'must not be used if x-kubernetes-embedded-resource is set';
    errors.push(forbiddenField(`${path}.additionalProperties`, what));
  }
  if (schema['x-kubernetes-int-or-string']) {
    const what = 'must be false if x-kubernetes-int-or-string is true';
    errors.push(invalidValue(`${path}.x-kubernetes-embedded-resource`, true, what));
  }
  if (Object.keys(schema.properties ?? {}).length === 0 && !schema['x-kubernetes-preserve-unknown-fields']) {
    const what =
      'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields';
    errors.push(required(`${path}.properties`, what));
  }
  return errors;
}

function listProblems(schema: SchemaProps, path: string): FieldError[] {
  const type = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const map = schema['x-kubernetes-map-type'];
  const errors: FieldError[] = [];
  const items = schema.items && !Array.isArray(schema.items) ? (schema.items as SchemaProps) : undefined;
  if (map !== undefined && !['atomic', 'granular'].includes(map)) {
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, map, ['atomic', 'granular']));
  }
  if (map !== undefined && schema.type !== 'object') {
    errors.push(
      invalidValue(`${path}.type`, schema.type ?? '', 'must be object if x-kubernetes-map-type is specified'),
    );
  }
  if (type === undefined) {
    if (keys.length > 0)
      errors.push(required(`${path}.x-kubernetes-list-type`, 'must be map if x-kubernetes-list-map-keys is non-empty'));
    return errors;
  }
  if (!['atomic', 'set', 'map'].includes(type)) {
    errors.push(notSupported(`${path}.x-kubernetes-list-type`, type, ['atomic', 'set', 'map']));
  }
  if (schema.type !== 'array') {
    errors.push(
      invalidValue(`${path}.type`, schema.type ?? '', 'must be array if x-kubernetes-list-type is specified'),
    );
  }
  if (type !== 'map') {
    if (keys.length > 0)
      errors.push(
        invalidValue(`${path}.x-kubernetes-list-type`, type, 'must be map if x-kubernetes-list-map-keys is non-empty'),
      );
    return errors;
  }
  if (keys.length === 0)
    errors.push(required(`${path}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map'));
  if (items && items.type !== 'object') {
    errors.push(
      invalidValue(
        `${path}.items.type`,
        items.type ?? '',
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    );
  }
  for (const [i, key] of keys.entries()) {
    const one = items?.properties?.[key];
    const at = `${path}.x-kubernetes-list-map-keys[${i}]`;
    if (!one)
      errors.push(
        invalidValue(
          at,
          key,
          'must be a property of the items schema'.replace('a property', `${JSON.stringify(key)}, a property`),
        ),
      );
    else if (one.default === undefined && !(items?.required ?? []).includes(key)) {
      errors.push(
        required(
          `${path}.items.properties[${key}].default`,
          `this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
        ),
      );
    }
  }
  return errors;
}

/** Defaults have to be values that the schema allows, and nothing that it would prune. */
function valueProblems(schema: SchemaProps, path: string): FieldError[] {
  if (schema.default === undefined) return [];
  const compiled = compileSchema(schema);
  const at = `${path}.default`;
  const value = cloneJson(schema.default);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const unknown = prune({ ...compiled, embedded: false }, value);
    if (unknown.length > 0)
      return [invalidValue(at, schema.default, `must not have unknown fields: ${unknown.join(', ')}`)];
  }
  return validateValue(schema, schema.default, at).map((one) => ({
    ...one,
    field: one.field === '<nil>' ? at : one.field,
  }));
}

/** What may not stand inside: a word that is there, or that says something. */
const NOT_INSIDE = [
  ...(['description', 'type', 'title'] as const).map((word) => [word, 'must be empty'] as const),
  ...(['default', 'additionalProperties'] as const).map((word) => [word, 'must be undefined'] as const),
  ['nullable', 'must be false'],
  ['x-kubernetes-preserve-unknown-fields', 'must be false'],
  ['x-kubernetes-embedded-resource', 'must be false'],
  ['x-kubernetes-int-or-string', 'must be false'],
  ['x-kubernetes-list-map-keys', 'must be empty'],
  ['x-kubernetes-list-type', 'must be undefined'],
  ['x-kubernetes-map-type', 'must be undefined'],
  ['x-kubernetes-validations', 'must be empty'],
] as const;

function saysNothing(word: (typeof NOT_INSIDE)[number], value: unknown): boolean {
  if (value === undefined) return true;
  if (word[1] === 'must be undefined') return false;
  return value === false || value === '' || (Array.isArray(value) && value.length === 0);
}

/** Inside allOf, anyOf, oneOf and not values are restricted; what there is stands outside. */
function junctorProblems(schema: SchemaProps, outer: SchemaProps | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  // The one form in which types may stand inside: an integer or a string.
  const intOrString = outer?.['x-kubernetes-int-or-string'] === true;
  for (const word of NOT_INSIDE) {
    const [name, what] = word;
    if (saysNothing(word, schema[name]) || (name === 'type' && intOrString)) continue;
    errors.push(forbiddenField(`${path}.${name}`, `${what} to be structural`));
  }
  if (schema.properties && Object.hasOwn(schema.properties, 'metadata')) {
    errors.push(forbiddenField(`${path}.properties[metadata]`, 'must not be specified in a nested context'));
  }
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    const at = `${path}.properties[${name}]`;
    const declared = outer?.properties && Object.hasOwn(outer.properties, name) ? outer.properties[name] : undefined;
    const bare = path.replace(/\.(allOf|anyOf|oneOf)\[\d+\]|\.not/g, '');
    if (!declared) errors.push(required(`${bare}.properties[${name}]`, `because it is defined in ${at}`));
    errors.push(...junctorProblems(one, declared ?? { type: 'object' }, at));
  }
  if (schema.items && !Array.isArray(schema.items)) {
    const declared = outer?.items && !Array.isArray(outer.items) ? (outer.items as SchemaProps) : undefined;
    errors.push(...junctorProblems(schema.items as SchemaProps, declared, `${path}.items`));
  }
  for (const word of ['allOf', 'anyOf', 'oneOf'] as const) {
    for (const [i, one] of (schema[word] ?? []).entries())
      errors.push(...junctorProblems(one, outer, `${path}.${word}[${i}]`));
  }
  if (schema.not) errors.push(...junctorProblems(schema.not, outer, `${path}.not`));
  return errors;
}
