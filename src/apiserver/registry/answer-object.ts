import type { ObjectMeta } from '../../api/generated/types.ts';
import { stringifyJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Revision } from '../../store/contract.ts';
import { unmanagedOf } from '../cache/cached-object.ts';
import type { CachedObject } from '../contract.ts';

/** An answer that is not a stored object as stored: another version of one, a dry run's outcome, a Scale, a Status. */
export class AnswerObject implements CachedObject {
  readonly key: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly revision: Revision;
  readonly object: KubeObject;
  #bytes: Buffer | undefined;
  readonly #derived = new Map<string, unknown>();

  constructor(object: KubeObject, of: { readonly key?: string; readonly revision?: Revision } = {}) {
    this.object = object;
    this.key = of.key ?? '';
    this.namespace = object.metadata?.namespace;
    this.name = object.metadata?.name ?? '';
    this.revision = of.revision ?? 0;
  }

  get unmanaged(): KubeObject {
    return this.derived('unmanaged', () => unmanagedOf(this.object));
  }

  get metadata(): ObjectMeta {
    return this.object.metadata;
  }

  get bytes(): Buffer {
    this.#bytes ??= Buffer.from(stringifyJson(this.object));
    return this.#bytes;
  }

  derived<T>(form: string, make: (self: CachedObject) => T): T {
    if (!this.#derived.has(form)) this.#derived.set(form, make(this));
    return this.#derived.get(form) as T;
  }
}
