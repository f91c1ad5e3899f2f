import type { ConfigMap, Container, Pod, Secret } from '../api/generated/types.ts';
import type { Client } from '../client/contract.ts';
import { abortable } from '../lib/abort.ts';
import { type FollowWith, follow } from './follow.ts';

interface KindMap {
  configmaps: ConfigMap;
  secrets: Secret;
}
type Kind = keyof KindMap;

interface Entry {
  readonly users: Set<string>;
  readonly stop: AbortController;
  readonly first: Promise<void>;
  object: ConfigMap | Secret | undefined;
}

/**
 * The ConfigMaps and Secrets that the node's pods refer to: each is followed by itself for as long as a pod refers to it,
 * because a node may see no others.
 */
export class ReferencedObjects {
  readonly #client: Client;
  readonly #with: FollowWith;
  readonly #onChange: (uid: string) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #signal: AbortSignal;

  /** `onChange` is told the uids of pods that refer to what changed. */
  constructor(client: Client, how: FollowWith, onChange: (uid: string) => void, signal: AbortSignal) {
    this.#client = client;
    this.#with = how;
    this.#onChange = onChange;
    this.#signal = signal;
  }

  /** Follows what the pod refers to, and no longer what it has ceased to refer to. */
  register(pod: Pod): void {
    const uid = pod.metadata.uid!;
    const wanted = new Set(references(pod));
    for (const key of wanted) {
      let entry = this.#entries.get(key);
      if (!entry) {
        entry = this.#start(key);
        this.#entries.set(key, entry);
      }
      entry.users.add(uid);
    }
    this.#release(uid, wanted);
  }

  unregister(uid: string): void {
    this.#release(uid, new Set());
  }

  configMap(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMap | undefined> {
    return this.#get('configmaps', namespace, name, signal);
  }

  secret(namespace: string, name: string, signal: AbortSignal): Promise<Secret | undefined> {
    return this.#get('secrets', namespace, name, signal);
  }

  async #get<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<KindMap[K] | undefined> {
    const entry = this.#entries.get(`${kind}/${namespace}/${name}`);
    if (!entry) return undefined;
    await abortable(entry.first, signal);
    return entry.object as KindMap[K] | undefined;
  }

  #start(key: string): Entry {
    const [kind, namespace, name] = key.split('/') as [Kind, string, string];
    const stop = new AbortController();
    const first = Promise.withResolvers<void>();
    const entry: Entry = { users: new Set(), stop, first: first.promise, object: undefined };
    const set = (object: ConfigMap | Secret | undefined): void => {
      const changed = entry.object?.metadata.resourceVersion !== object?.metadata.resourceVersion;
      entry.object = object;
      first.resolve();
      if (changed) for (const uid of entry.users) this.#onChange(uid);
      // What cannot change need not be watched.
      if (object?.immutable) stop.abort();
    };
    const signal = AbortSignal.any([stop.signal, this.#signal]);
    const handlers = {
      replaced: (objects: readonly (ConfigMap | Secret)[]) => set(objects.find((o) => o.metadata.name === name)),
      changed: (object: ConfigMap | Secret) => set(object),
      deleted: () => set(undefined),
    };
    const query = { namespace, fieldSelector: `metadata.name=${name}` };
    void follow<ConfigMap | Secret>(this.#client.resource(kind as 'secrets'), query, handlers, this.#with, signal);
    return entry;
  }

  #release(uid: string, keep: ReadonlySet<string>): void {
    for (const [key, entry] of this.#entries) {
      if (keep.has(key) || !entry.users.delete(uid) || entry.users.size > 0) continue;
      entry.stop.abort();
      this.#entries.delete(key);
    }
  }
}

/** Keys "configmaps/namespace/name" and "secrets/namespace/name" of all that a pod refers to. */
export function references(pod: Pod): readonly string[] {
  const namespace = pod.metadata.namespace ?? '';
  const keys = new Set<string>();
  const add = (kind: Kind, name: string | undefined): void => {
    if (name) keys.add(`${kind}/${namespace}/${name}`);
  };
  for (const { name } of pod.spec.imagePullSecrets ?? []) add('secrets', name);
  for (const volume of pod.spec.volumes ?? []) {
    add('configmaps', volume.configMap?.name);
    add('secrets', volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add('configmaps', source.configMap?.name);
      add('secrets', source.secret?.name);
    }
  }
  const ephemeral = (pod.spec.ephemeralContainers ?? []) as readonly Container[];
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers, ...ephemeral]) {
    for (const source of container.envFrom ?? []) {
      add('configmaps', source.configMapRef?.name);
      add('secrets', source.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add('configmaps', valueFrom?.configMapKeyRef?.name);
      add('secrets', valueFrom?.secretKeyRef?.name);
    }
  }
  return [...keys];
}
