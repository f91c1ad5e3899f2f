// The objects of writes under way. What a write stores comes back with the store's watch, as bytes: where they are the very
// ones that were written the object that they were made of is used, and nothing is parsed again.
import type { KubeObject } from '../../api/object.ts';
import type { Stored } from '../../store/contract.ts';

interface Draft {
  readonly value: Buffer;
  /** What `value` parses to. */
  readonly object: KubeObject;
}

/** Bounded by the writes under way: each holds one. */
export class Drafts {
  readonly #byKey = new Map<string, Draft>();

  /** Holds the object of a write until the function returned is called. From now on nobody changes it. */
  hold(key: string, value: Buffer, object: KubeObject): () => void {
    const draft = { value, object };
    this.#byKey.set(key, draft);
    return () => {
      // Of several writes of one object the last one's is held.
      if (this.#byKey.get(key) === draft) this.#byKey.delete(key);
    };
  }

  /** The object that these bytes were made of, if they were made here just now. */
  of({ key, value }: Stored): KubeObject | undefined {
    const draft = this.#byKey.get(key);
    return draft && (draft.value === value || draft.value.equals(value)) ? draft.object : undefined;
  }
}
