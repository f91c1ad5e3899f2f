// Objects that are made alike have equal sets of fields: those that stay are kept once, however many objects have them.
import { stringifyJson } from '../../api/json.ts';
import type { FieldSet } from './field-set.ts';

/** Sets that are kept to be found again. When there are as many all are forgotten: whoever has one keeps it. */
const MAX_SETS = 1000;
/** Longer ones are of few objects. */
const MAX_TEXT = 8192;

const known = new Map<string, FieldSet>();

/** The set itself, or an equal one that was given before. */
export function interned(set: FieldSet): FieldSet {
  const text = stringifyJson(set);
  if (text.length > MAX_TEXT) return set;
  const same = known.get(text);
  if (same) return same;
  if (known.size === MAX_SETS) known.clear();
  known.set(text, set);
  return set;
}
