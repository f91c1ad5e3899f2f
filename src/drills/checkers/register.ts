// An API object as a register: what clients write into one key, and what they read from it.
import type { Model } from './linearizability.ts';

/** A value stands for what was written: every write has one of its own. undefined: there is no object. */
export type Value = string | undefined;

export type RegisterInput =
  | { readonly kind: 'read' }
  /** Creates or replaces, whatever was there. */
  | { readonly kind: 'write'; readonly value: Value }
  /** Replaces only `expected`, as an update with a resourceVersion does. */
  | { readonly kind: 'swap'; readonly expected: Value; readonly value: Value };

export type RegisterOutput =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'done' }
  /** It was not as expected: nothing was changed. */
  | { readonly kind: 'conflict' };

export const register: Model<Value, RegisterInput, RegisterOutput> = {
  initial: undefined,
  step(state, input, output, known) {
    if (input.kind === 'read') return known && output.kind === 'value' && output.value !== state ? [] : [state];
    if (input.kind === 'write') return known && output.kind === 'conflict' ? [] : [input.value];
    const fits = state === input.expected;
    // Without effect it need not be ordered at all.
    if (!known) return fits ? [input.value] : [];
    if (output.kind === 'conflict') return fits ? [] : [state];
    return fits ? [input.value] : [];
  },
  key: (state) => state ?? '\0',
};
