/** A compiled label or field selector. `matches` takes the labels (or selectable fields) as a map. */
export interface Selector {
  matches(values: { readonly [key: string]: string } | undefined): boolean;
  /** True when it matches everything. */
  readonly empty: boolean;
  /** The requirements, for indexes and messages. */
  readonly requirements: readonly Requirement[];
  toString(): string;
}

export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  readonly values: readonly string[];
}
