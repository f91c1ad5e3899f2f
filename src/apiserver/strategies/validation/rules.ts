// The language of the validation tables: what must hold for a type's fields, as data. Code (`check`) only where data cannot say it.
import type { FormatName } from './formats.ts';
import type { Run } from './run.ts';

/** A decoded struct or map. */
export type Members = { readonly [key: string]: unknown };

export interface FieldRule {
  /** Empty is a finding: the detail after "Required value" (true: none). False: empty is no finding, whatever the table of types says. */
  readonly required?: boolean | string;
  /** The values that are supported, in the order in which they are listed. Default: the closed enum of the table of types. */
  readonly oneOf?: readonly string[];
  /** Values outside `oneOf` are "Invalid value" with this detail instead of "Unsupported value". */
  readonly notOneOf?: string;
  /** False: the table's closed enum is not checked here. */
  readonly closed?: false;
  readonly min?: number;
  readonly max?: number;
  /** Says what `min` and `max` want; default: "must be greater than or equal to 0" for a min of 0. */
  readonly range?: string;
  /** Zero means absent (a number that is not there, in Go). */
  readonly zeroIsAbsent?: true;
  readonly format?: FormatName;
  /** Elements of a list, or values of a map. */
  readonly each?: FieldRule;
  /** Keys of a map; findings are at the field. */
  readonly keys?: FormatName;
  readonly maxItems?: number;
  /** Elements of a list, or this member of them, occur once. */
  readonly unique?: true | string;
  /** An update may not change the value. `onceSet`: it may be set once. */
  readonly immutable?: true | 'onceSet' | string;
  /** Nothing below is looked at. */
  readonly opaque?: true;
  /** What the field is called in findings, where upstream's name for it differs from the API's. */
  readonly shownAs?: string;
}

/** Members of which only one may be present. */
export interface Union {
  readonly of: readonly string[];
  /** Said, at the struct, when none is present; absent: none is fine. */
  readonly none?: string;
  /** Said, at every one but the first, when there are more. */
  readonly many?: string;
}

export interface TypeRules {
  readonly fields?: { readonly [name: string]: FieldRule };
  readonly union?: Union;
  /** Runs after the struct's own fields, before what is below them. Paths that it reports are relative to the struct. */
  check?(value: never, run: Run): void;
  /** The same on an update, with what the struct was before. */
  checkUpdate?(value: never, old: never, run: Run): void;
}

/** Rules by the type's name without "io.k8s.api.": "core.v1.Container". */
export interface RuleTable {
  readonly [type: string]: TypeRules;
}
