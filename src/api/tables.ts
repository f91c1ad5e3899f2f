// The table of types and the table of resources: the facts that drive the whole server.
import resourceData from './data/resources.json' with { type: 'json' };
import typeData from './data/types.json' with { type: 'json' };
import type { CustomResourceColumnDefinition, CustomResourceSubresourceScale } from './generated/types.ts';
import type { StructuralSchema } from './structural/schema.ts';

/** One field of a type. `code` is "[]X" (list), "{}X" (map), "@type name", or a scalar code (data/README.md). */
export interface Field {
  readonly name: string;
  /** Protobuf field number; 0: not in the message. */
  readonly number: number;
  readonly code: string;
  readonly required: boolean;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  /** Presence is tracked: a zero value that was sent is kept. */
  readonly pointer: boolean;
  /** An embedded struct: its fields sit in the parent in JSON. */
  readonly inline: boolean;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly listMapKeys?: readonly string[];
  readonly mapType?: 'atomic' | 'granular';
}

export interface TypeRow {
  readonly name: string;
  readonly proto: string | null;
  /** Fields by JSON name, those of embedded structs included. Undefined for a type that is a leaf, list, alias or custom. */
  readonly fields: ReadonlyMap<string, Field> | undefined;
  /** Fields as declared, embedded structs as one field with `inline`. */
  readonly declared: readonly Field[];
  readonly structMapType?: string;
  /** The scalar code that the type stands for (quantity, time, intorstring ...). */
  readonly leaf?: string;
  /** The type is a list of this code. */
  readonly list?: string;
  /** The type is this other type. */
  readonly alias?: string;
  /** JSON is one of several forms (JSONSchemaPropsOr...). */
  readonly custom?: string;
  /** A custom resource's type: its shape is this schema's, but for apiVersion, kind and metadata. */
  readonly structural?: StructuralSchema;
  readonly gvk: readonly (readonly [group: string, version: string, kind: string])[];
}

export interface Subresource {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

export interface Resource {
  readonly group: string;
  readonly version: string;
  /** Plural name, as in the path. */
  readonly resource: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Name of the object's type in the table of types. */
  readonly type: string;
  readonly listType: string | undefined;
  /** apiVersion that is stored; undefined: the resource is not persisted (reviews, bindings). */
  readonly storageVersion: string | undefined;
  readonly storageVersionHash: string | undefined;
  /** Below /registry/. Resources that share it are versions of the same stored thing. */
  readonly etcdPrefix: string | undefined;
  readonly subresources: ReadonlyMap<string, Subresource>;
  /** What a CustomResourceDefinition says about this version of its resource; absent for built-in resources. */
  readonly custom?: CustomFacts;
}

/** The facts about a custom resource that have no place among those of built-in ones. */
export interface CustomFacts {
  /** The definition's name. */
  readonly definition: string;
  readonly schema: StructuralSchema;
  /** The version in which objects are stored: every version shares the same objects. */
  readonly storageVersion: string;
  readonly columns: readonly CustomResourceColumnDefinition[];
  /** Every version that the definition has, by name, served or not: objects may be stored in it, and fields managed. */
  readonly versions: ReadonlyMap<string, Resource>;
  /** JSON paths of fields that selectors may ask for: ".spec.color". */
  readonly selectableFields: readonly string[];
  readonly scale?: CustomResourceSubresourceScale;
  /** Objects of other versions are written as this one by the webhook of the definition; else only apiVersion differs. */
  readonly convertsByWebhook: boolean;
  /** Sent with every answer. */
  readonly deprecation?: string;
  /** The definition is being deleted: nothing may be created any more. */
  readonly terminating: boolean;
}

export interface Group {
  readonly name: string;
  /** Served versions, best first. */
  readonly versions: readonly string[];
  readonly preferred: string;
}

interface RawType {
  proto?: string | null;
  f?: [string, number, string, string, Record<string, unknown>?][];
  gvk?: [string, string, string][] | string;
  mt?: string;
  leaf?: string;
  list?: string;
  alias?: string;
  custom?: string;
}

interface RawResource {
  g: string;
  v: string;
  r: string;
  singular: string;
  kind: string;
  ns: boolean;
  verbs: string[];
  stage?: string;
  short?: string[];
  categories?: string[];
  type?: string;
  listType?: string;
  storage?: string;
  storageVersionHash?: string;
  etcdPrefix?: string;
  sub?: Subresource[];
}

const rawTypes = typeData as unknown as Record<string, RawType>;

/**
 * The types and resources that a server serves. Built-in rows come from the data; custom resources are added at run time.
 * Types are read from the data on first use, so that start-up pays for none that nobody asks for.
 */
export class Tables {
  readonly #types = new Map<string, TypeRow>();
  readonly #resources = new Map<string, Resource>();
  readonly #byKind = new Map<string, Resource>();
  readonly #kindTypes = new Map<string, string>();
  /** A custom resource's row by group and name: any of its versions. */
  readonly #custom = new Map<string, Resource>();
  #groups: readonly Group[] = [];
  /** By group and name, as they were asked for; forgotten with every change of the resources. */
  readonly #preferred = new Map<string, Map<string, Resource>>();
  /** Group versions, and what keys share, of the built-in resources. */
  readonly #builtInVersions: ReadonlySet<string>;
  readonly #builtInPrefixes: ReadonlySet<string>;

  constructor() {
    const enabled = new Set<string>();
    this.#groups = resourceData.groups
      .map((g) => ({ name: g.group, versions: g.enabledByDefault as readonly string[], preferred: g.preferred }))
      .filter((g) => g.versions.length > 0);
    for (const group of this.#groups) for (const version of group.versions) enabled.add(`${group.name}/${version}`);
    for (const raw of resourceData.resources as RawResource[]) {
      if (enabled.has(`${raw.g}/${raw.v}`) && raw.type) this.addResource(builtIn(raw));
    }
    this.#builtInVersions = enabled;
    this.#builtInPrefixes = new Set([...this.#resources.values()].flatMap((row) => row.etcdPrefix ?? []));
  }

  /** API groups in discovery order ("" is the legacy core group). */
  get groups(): readonly Group[] {
    return this.#groups;
  }

  resources(): Iterable<Resource> {
    return this.#resources.values();
  }

  /** The row for a path: group "", version "v1", resource "pods". */
  resource(group: string, version: string, resource: string): Resource | undefined {
    return this.#resources.get(`${group}/${version}/${resource}`);
  }

  /** The row of a resource at its group's preferred version. */
  preferred(group: string, resource: string): Resource | undefined {
    const known = this.#preferred.get(group)?.get(resource);
    if (known) return known;
    const row = this.#findPreferred(group, resource);
    if (!row) return undefined;
    const ofGroup = this.#preferred.get(group) ?? new Map<string, Resource>();
    this.#preferred.set(group, ofGroup.set(resource, row));
    return row;
  }

  #findPreferred(group: string, resource: string): Resource | undefined {
    const found = this.#groups.find((g) => g.name === group);
    const versions = found ? [found.preferred, ...found.versions] : [];
    for (const version of versions) {
      const row = this.resource(group, version, resource);
      if (row) return row;
    }
    return this.#custom.get(`${group}/${resource}`);
  }

  /** The row that serves a kind: apiVersion "apps/v1", kind "Deployment". */
  byKind(apiVersion: string, kind: string): Resource | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }

  /**
   * Whether a custom resource may be entered. Built-in group versions are complete (upstream sends no request for them on to
   * where custom resources are served), and their types and keys are nobody else's.
   */
  isFree({ group, version, type, listType, etcdPrefix }: Resource): boolean {
    if (this.#builtInVersions.has(`${group}/${version}`)) return false;
    if (etcdPrefix !== undefined && this.#builtInPrefixes.has(etcdPrefix)) return false;
    return !Object.hasOwn(rawTypes, type) && !(listType !== undefined && Object.hasOwn(rawTypes, listType));
  }

  addResource(row: Resource): void {
    this.#preferred.clear();
    this.#resources.set(`${row.group}/${row.version}/${row.resource}`, row);
    this.#byKind.set(`${apiVersionOf(row)}/${row.kind}`, row);
    if (row.custom) this.#custom.set(`${row.group}/${row.resource}`, row);
  }

  removeResource(row: Resource): void {
    this.#preferred.clear();
    this.#resources.delete(`${row.group}/${row.version}/${row.resource}`);
    this.#byKind.delete(`${apiVersionOf(row)}/${row.kind}`);
    if (row.custom) this.#custom.delete(`${row.group}/${row.resource}`);
  }

  /** Adds the type of a custom resource, or puts it in the place of the one of that name. */
  addType(row: TypeRow): void {
    this.#types.set(row.name, row);
  }

  /** Takes a custom resource's type away. */
  removeType(name: string): void {
    this.#types.delete(name);
  }

  /** A type by its definition name; throws for a name that the table does not have. */
  type(name: string): TypeRow {
    let row = this.#types.get(name);
    if (!row) {
      row = this.#readType(name);
      this.#types.set(name, row);
    }
    return row;
  }

  /** The definition name of a kind that has no resource of its own too (DeleteOptions, PodExecOptions ...). */
  typeOfKind(apiVersion: string, kind: string): string | undefined {
    if (this.#kindTypes.size === 0) {
      for (const [name, raw] of Object.entries(rawTypes)) {
        if (!Array.isArray(raw.gvk)) continue;
        for (const [g, v, k] of raw.gvk) this.#kindTypes.set(`${g === '' ? v : `${g}/${v}`}/${k}`, name);
      }
    }
    return this.#kindTypes.get(`${apiVersion}/${kind}`);
  }

  #readType(name: string): TypeRow {
    const raw = rawTypes[name];
    if (!raw) throw new Error(`no type ${name} in the table`);
    const declared = (raw.f ?? []).map(readField);
    const fields = new Map<string, Field>();
    for (const field of declared) {
      if (!field.inline) fields.set(field.name, field);
      else for (const [key, inner] of this.type(field.code.slice(1)).fields ?? []) fields.set(key, inner);
    }
    return {
      name,
      proto: raw.proto ?? null,
      fields: raw.f && !raw.custom ? fields : undefined,
      declared,
      gvk: Array.isArray(raw.gvk) ? raw.gvk : [],
      ...(raw.mt && { structMapType: raw.mt }),
      ...(raw.leaf && { leaf: raw.leaf }),
      ...(raw.list && { list: raw.list }),
      ...(raw.alias && { alias: raw.alias }),
      ...(raw.custom && { custom: raw.custom }),
    };
  }
}

/** "v1" for the core group, "group/version" for others. */
export function apiVersionOf(row: { readonly group: string; readonly version: string }): string {
  return row.group === '' ? row.version : `${row.group}/${row.version}`;
}

/** A resource's name as upstream writes it in messages and RBAC: "pods", "deployments.apps". */
export function groupResource(row: { readonly group: string; readonly resource: string }): string {
  return row.group === '' ? row.resource : `${row.resource}.${row.group}`;
}

function builtIn(raw: RawResource): Resource {
  return {
    group: raw.g,
    version: raw.v,
    resource: raw.r,
    singular: raw.singular,
    kind: raw.kind,
    namespaced: raw.ns,
    verbs: raw.verbs,
    shortNames: raw.short ?? [],
    categories: raw.categories ?? [],
    type: raw.type!,
    listType: raw.listType,
    storageVersion: raw.storage,
    storageVersionHash: raw.storageVersionHash,
    etcdPrefix: raw.etcdPrefix,
    subresources: new Map((raw.sub ?? []).map((s) => [s.name, s])),
  };
}

function readField([name, number, code, flags, extras = {}]: NonNullable<RawType['f']>[number]): Field {
  const e = extras as { d?: unknown; en?: string[]; ps?: string; pk?: string; lt?: string; lk?: string[]; mt?: string };
  return {
    name,
    number,
    code,
    required: flags.includes('r'),
    omitEmpty: flags.includes('e'),
    omitZero: flags.includes('z'),
    pointer: flags.includes('p'),
    inline: flags.includes('i'),
    ...(e.d !== undefined && { default: e.d }),
    ...(e.en && { enum: e.en }),
    ...(e.ps !== undefined && { patchStrategy: e.ps }),
    ...(e.pk !== undefined && { patchMergeKey: e.pk }),
    ...(e.lt && { listType: e.lt as 'atomic' }),
    ...(e.lk && { listMapKeys: e.lk }),
    ...(e.mt && { mapType: e.mt as 'atomic' }),
  };
}
