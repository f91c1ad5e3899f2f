// Structural schemas of custom resources, compiled for walking: what a definition's openAPIV3Schema says about the shape of
// values. The value rules (patterns, bounds, allOf …) stay in `source` and are checked by machinery/structural.
import type { JSONSchemaProps, Json } from '../generated/types.ts';

/** A schema as it stands in JSON: `items` and `additionalProperties` are written without the wrappers of the Go type. */
export type SchemaProps = Omit<
  JSONSchemaProps,
  'items' | 'additionalProperties' | 'properties' | 'allOf' | 'anyOf' | 'oneOf' | 'not'
> & {
  readonly items?: SchemaProps | readonly SchemaProps[];
  readonly additionalProperties?: SchemaProps | boolean;
  readonly properties?: { readonly [name: string]: SchemaProps };
  readonly allOf?: readonly SchemaProps[];
  readonly anyOf?: readonly SchemaProps[];
  readonly oneOf?: readonly SchemaProps[];
  readonly not?: SchemaProps;
};

export interface StructuralSchema {
  /** object, array, string, integer, number, boolean; "" where anything may stand. */
  readonly type: string;
  readonly nullable: boolean;
  readonly default: Json | undefined;
  readonly properties: ReadonlyMap<string, StructuralSchema>;
  /** Of all properties that are not named; true: whatever they are. */
  readonly additional: StructuralSchema | true | undefined;
  readonly items: StructuralSchema | undefined;
  readonly preservesUnknown: boolean;
  /** The value is an object with apiVersion, kind and metadata of its own. */
  readonly embedded: boolean;
  readonly intOrString: boolean;
  readonly listType: 'atomic' | 'set' | 'map' | undefined;
  readonly listMapKeys: readonly string[];
  readonly mapType: 'atomic' | 'granular' | undefined;
  /** There is a default here or below. */
  readonly hasDefaults: boolean;
  /** There is a rule (x-kubernetes-validations) here or below. */
  readonly hasRules: boolean;
  readonly source: SchemaProps;
}

/** Compiles a schema. It may be one that is not structural: what has no place in a structural schema is passed over. */
export function compileSchema(source: SchemaProps): StructuralSchema {
  const properties = new Map(Object.entries(source.properties ?? {}).map(([name, one]) => [name, compileSchema(one)]));
  const { additionalProperties: more, items: element } = source;
  const additional = typeof more === 'object' ? compileSchema(more) : more === true ? true : undefined;
  const items = element && !Array.isArray(element) ? compileSchema(element as SchemaProps) : undefined;
  const below = [
    ...properties.values(),
    ...(typeof additional === 'object' ? [additional] : []),
    ...(items ? [items] : []),
  ];
  return {
    type: source.type ?? '',
    nullable: source.nullable === true,
    default: source.default,
    properties,
    additional,
    items,
    preservesUnknown: source['x-kubernetes-preserve-unknown-fields'] === true,
    embedded: source['x-kubernetes-embedded-resource'] === true,
    intOrString: source['x-kubernetes-int-or-string'] === true,
    listType: source['x-kubernetes-list-type'] as StructuralSchema['listType'],
    listMapKeys: source['x-kubernetes-list-map-keys'] ?? [],
    mapType: source['x-kubernetes-map-type'] as StructuralSchema['mapType'],
    hasDefaults: source.default !== undefined || below.some((one) => one.hasDefaults),
    hasRules: (source['x-kubernetes-validations'] ?? []).length > 0 || below.some((one) => one.hasRules),
    source,
  };
}
