// What the owners of fields need to know of a type: which values are owned as a whole, and how a list's items are told apart.
import type { PathElement } from './path-element.ts';

export type SchemaKind =
  | 'scalar'
  /** Named fields, each of its own type. */
  | 'struct'
  /** Any keys, values of one type. */
  | 'map'
  | 'list'
  /** Whatever is found: maps are granular, everything else is a leaf. */
  | 'deduced';

export type ScalarType = 'numeric' | 'string' | 'boolean' | 'untyped';

/** The source of a type's schema. Custom types implement it from their own; built-in types come from the table. */
export interface FieldSchema {
  readonly kind: SchemaKind;
  /** Owned as a whole: a scalar, or an atomic struct, map or list. */
  readonly leaf: boolean;
  readonly scalar?: ScalarType;
  /** Of a struct, in the order of FieldsV1. */
  readonly fields?: readonly SchemaField[];
  readonly byName?: ReadonlyMap<string, SchemaField>;
  /** Of a map or list, of a struct that takes unknown fields too; undefined for a struct that does not. */
  readonly element?: FieldSchema | undefined;
  /** Of a list that is not atomic: its keys, in order; none: a set. */
  readonly keys?: readonly SchemaKey[];
}

export interface SchemaField {
  readonly name: string;
  readonly element: PathElement;
  readonly schema: FieldSchema;
  /** What stands for an absent value that cannot be absent in Go; undefined: it can. */
  readonly zero: unknown;
}

export interface SchemaKey {
  readonly name: string;
  /** Stands for the key where an item lacks it. */
  readonly default: unknown;
}

/** A value that has no parts. */
export const scalar = (type: ScalarType): FieldSchema => ({ kind: 'scalar', leaf: true, scalar: type });

/** Anything, owned as a whole. */
export const UNTYPED: FieldSchema = scalar('untyped');

/** Anything at all, owned as a whole. */
export const ANY: FieldSchema = { kind: 'deduced', leaf: true };

/** Objects without a schema: maps are owned by key, lists as a whole. */
export const DEDUCED: FieldSchema = { kind: 'deduced', leaf: false };
