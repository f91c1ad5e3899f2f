import type { ObjectMeta } from './generated/types.ts';

/** What every stored object has. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** A copy that its owner may change before it is stored: a fresh decode, or `structuredClone` of a readonly object. */
export type Draft<T> = T extends readonly (infer E)[]
  ? Draft<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Draft<T[K]> }
    : T;

/** A deep copy of a readonly object, to change and send. */
export function draft<T extends object>(object: T): Draft<T> {
  return structuredClone(object) as Draft<T>;
}

/** "namespace/name", or "name" for an object without a namespace: the key of queues and indexes. */
export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name}` : name;
}

/** The inverse of keyOf. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
