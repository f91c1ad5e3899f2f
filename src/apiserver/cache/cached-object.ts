// An object as of one revision, shared by everyone who reads it: bytes, parsed form and derived forms, each made on first use.
import type { ObjectMeta } from '../../api/generated/types.ts';
import { parseJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import type { Revision, Stored } from '../../store/contract.ts';
import type { CachedObject, WatchDelivery } from '../contract.ts';
import { frameOf, managedFieldsIn, metadataOf, withoutRevision, withRevision } from './bytes.ts';
import type { Versioned } from './event.ts';

/** Under test a change of a shared object throws where it is made. */
const FREEZE =
  process.env.TSUKUBE_FREEZE === '1' || process.env.NODE_ENV === 'test' || process.env.NODE_TEST_CONTEXT !== undefined;

/** The object of a store's entry. */
export function storedObject(stored: Stored): CachedObject {
  return new StoredObject(stored.key, stored.value, stored.revision);
}

export class StoredObject implements CachedObject {
  readonly key: string;
  readonly name: string;
  readonly revision: Revision;
  /** As stored until the first use, with the revision from then on. */
  #bytes: Buffer;
  #spliced = false;
  #object: KubeObject | undefined;
  #unmanaged: KubeObject | undefined;
  #derived: Map<string, unknown> | undefined;
  #past = false;

  constructor(key: string, value: Buffer, revision: Revision) {
    this.key = key;
    this.name = key.slice(key.lastIndexOf('/') + 1);
    this.revision = revision;
    this.#bytes = value;
  }

  get namespace(): string | undefined {
    return this.object.metadata.namespace;
  }

  get bytes(): Buffer {
    if (!this.#spliced) {
      this.#bytes = withRevision(this.#bytes, this.revision);
      this.#spliced = true;
    }
    return this.#bytes;
  }

  /** As they were stored: without a revision. */
  protected storedBytes(): Buffer {
    return this.#spliced ? withoutRevision(this.#bytes, this.revision) : this.#bytes;
  }

  /** Lets go of what can be made from the bytes again: for an object that is history. */
  release(): void {
    this.#past = true;
    this.cool();
  }

  /** As release, when that has been called: somebody has looked at it since. */
  cool(): void {
    if (!this.#past) return;
    this.#object = undefined;
    this.#unmanaged = undefined;
    this.#derived = undefined;
  }

  /** Whether the object's parsed form is there already. */
  get parsed(): boolean {
    return this.#object !== undefined || this.#unmanaged !== undefined;
  }

  get object(): KubeObject {
    this.#object ??= this.#unmanaged ? this.#managed(this.#unmanaged) : frozen(parsed(this.bytes));
    return this.#object;
  }

  /** Most that is read is never written here: what managedFields take, often as much as the rest, is then never parsed. */
  get unmanaged(): KubeObject {
    this.#unmanaged ??= this.#object ? unmanagedOf(this.#object) : this.#withoutManaged();
    return this.#unmanaged;
  }

  #withoutManaged(): KubeObject {
    const part = managedFieldsIn(this.bytes);
    if (!part) return this.object;
    return frozen(parsed(this.bytes.toString('utf8', 0, part.from) + this.bytes.toString('utf8', part.to)));
  }

  #managed(unmanaged: KubeObject): KubeObject {
    const part = managedFieldsIn(this.bytes);
    if (!part) return unmanaged;
    const managedFields = parseJson(this.bytes.toString('utf8', part.list, part.to)) as ObjectMeta['managedFields'];
    return frozen({ ...unmanaged, metadata: { ...unmanaged.metadata, managedFields } } as KubeObject);
  }

  /** Parsed for the asker and not kept here. */
  get metadata(): ObjectMeta {
    const known = this.#object ?? this.#unmanaged;
    if (known) return known.metadata;
    const { managedFields: _, ...metadata } = parseJson(metadataOf(this.bytes)) as unknown as ObjectMeta;
    return frozen(metadata as ObjectMeta);
  }

  derived<T>(form: string, make: (self: CachedObject) => T): T {
    this.#derived ??= new Map();
    if (this.#derived.has(form)) return this.#derived.get(form) as T;
    const made = make(this);
    this.#derived.set(form, made);
    return made;
  }
}

/** An object whose namespace is known from its key, so that it need not be parsed for it. */
export class PlacedObject extends StoredObject implements Versioned {
  readonly #namespace: string | undefined;

  constructor(stored: Stored, namespace: string | undefined) {
    super(stored.key, stored.value, stored.revision);
    this.#namespace = namespace;
  }

  override get namespace(): string | undefined {
    return this.#namespace;
  }

  /** Of the past from the beginning. */
  asOf(revision: Revision): PlacedObject {
    const then = new PlacedObject({ key: this.key, value: this.storedBytes(), revision }, this.#namespace);
    then.release();
    return then;
  }
}

/** The line that a JSON watch stream carries for a change; made once for all watchers of the object. */
export function watchFrame(delivery: Exclude<WatchDelivery, { type: 'BOOKMARK' }>): Buffer {
  const { type, object } = delivery;
  return object.derived(`frame:${type}`, (self) => frameOf(type, self.bytes));
}

function parsed(json: string | Buffer): KubeObject {
  return parseJson(json) as unknown as KubeObject;
}

/** The object without managedFields; the object itself when it has none. The rest is shared. */
export function unmanagedOf(object: KubeObject): KubeObject {
  if (object.metadata?.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return frozen({ ...object, metadata });
}

function frozen<T>(value: T): T {
  if (FREEZE) deepFreeze(value);
  return value;
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze(member);
}
