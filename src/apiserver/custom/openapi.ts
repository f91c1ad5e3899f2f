// Custom resources' schemas as the OpenAPI documents publish them: whole in v3; in v2 without what v2 cannot say or old
// kubectls stumble over.
import type { SchemaProps } from '../../api/structural/schema.ts';
import type { TypeRow } from '../../api/tables.ts';

type Schema = { [key: string]: unknown };

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const ABOUT_VERSION = 'APIVersion defines the group and version of the schema that this object is written in.';
const ABOUT_KIND = 'Kind is the kind of resource that this object stands for.';
const ABOUT_METADATA = "Standard object's metadata.";

/** The schema of a custom resource's type; `ref` makes a reference to another type. */
export function publishedSchema(row: TypeRow, version: 2 | 3, ref: (type: string) => Schema): Schema {
  const { source } = row.structural!;
  const schema = version === 2 ? simplified(source) : ({ ...source } as Schema);
  const gvk = row.gvk.map(([group, v, kind]) => ({ group, version: v, kind }));
  if (!schema.properties && source['x-kubernetes-preserve-unknown-fields'] && version === 2) {
    return { type: 'object', 'x-kubernetes-group-version-kind': gvk };
  }
  return {
    ...schema,
    type: 'object',
    properties: {
      ...(schema.properties as Schema | undefined),
      apiVersion: { type: 'string', description: ABOUT_VERSION },
      kind: { type: 'string', description: ABOUT_KIND },
      metadata: { ...(version === 3 ? { allOf: [ref(OBJECT_META)] } : ref(OBJECT_META)), description: ABOUT_METADATA },
    },
    'x-kubernetes-group-version-kind': gvk,
  };
}

const V3_ONLY = ['allOf', 'anyOf', 'oneOf', 'not', 'nullable', 'default', 'x-kubernetes-validations'];

/** OpenAPI v2 knows no alternatives and no nulls, and old clients check what they know too strictly. */
function simplified(source: SchemaProps): Schema {
  const schema: Schema = {};
  for (const [word, value] of Object.entries(source)) if (!V3_ONLY.includes(word)) schema[word] = value;
  const { properties, items, additionalProperties } = source;
  const open = source['x-kubernetes-preserve-unknown-fields'] === true;
  if (source['x-kubernetes-int-or-string'] || source.nullable) delete schema.type;
  if (open || source.nullable) {
    delete schema.properties;
    delete schema.items;
    // An object of unknown members would be checked as a map of values that are something.
    delete schema.type;
    if (source.nullable) delete schema.additionalProperties;
    return schema;
  }
  if (properties) {
    schema.properties = Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, simplified(one)]));
  }
  if (items && !Array.isArray(items)) schema.items = simplified(items as SchemaProps);
  if (typeof additionalProperties === 'object') schema.additionalProperties = simplified(additionalProperties);
  return schema;
}
