// A cluster inside another program: a control plane over a store in memory, simulated nodes, and what a test wants to do with
// them. Nothing of it is shared with another cluster of the process, and dispose() leaves nothing behind.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject } from '../api/object.ts';
import { issue } from '../apiserver/auth/certificates.ts';
import type { Client, ObjectReference, ResourceClient, ResourceCoordinates } from '../client/contract.ts';
import { rowOfKey } from '../client/coordinates.ts';
import { makeKubeconfig, printKubeconfig } from '../client/kubeconfig.ts';
import { waitFor } from '../client/wait.ts';
import { invariant } from '../lib/assert.ts';
import type { Environment } from '../lib/environment.ts';
import type { SimulatedNodes } from '../simulated/simulated-nodes.ts';
import { openMemoryStore } from '../store/memory.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import {
  type ClusterNodes,
  type ClusterOptions,
  type ClusterUser,
  type EmbeddedCluster,
  type ObjectOf,
  type ResourceKey,
  type WaitOptions,
  WaitTimeoutError,
} from './embedded-contract.ts';
import { EmbeddedFaults } from './embedded-faults.ts';
import { applyManifest } from './manifests.ts';
import { DEFAULTS } from './settings.ts';
import { describeState, nameOf, testOf, type WaitCondition } from './wait-condition.ts';

const DEFAULT_WAIT_MS = 30_000;
const CERTIFICATE_VALIDITY_MS = 365 * 86_400_000;
const FIELD_MANAGER = 'tsukube-embedded';
const ADMINISTRATOR: ClusterUser = { username: 'kubernetes-admin', groups: ['system:masters'] };

/** Starts a cluster; resolves when it takes every request, pods in the default namespace too. */
export async function startEmbeddedCluster(env: Environment, options: ClusterOptions = {}): Promise<EmbeddedCluster> {
  const { signal, name = 'tsukube', port, address, profile = 'default' } = options;
  signal?.throwIfAborted();
  const stop = new AbortController();
  const giveUp = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', giveUp, { once: true });
  const store = openMemoryStore({ clock: env.clock, log: env.log.child('store') });
  let plane: ControlPlane | undefined;
  try {
    plane = await startControlPlane(
      {
        env,
        store,
        identity: name,
        clusterCidr: DEFAULTS.clusterCidr,
        profile,
        apiServer: {
          network: { cidr: DEFAULTS.serviceCidr, nodePorts: { first: 30000, last: 32767 } },
          ...(port !== undefined && { port }),
          ...(address !== undefined && { address }),
        },
      },
      stop.signal,
    );
    const { nodes = 1 } = options;
    const fleet = await plane.simulate(typeof nodes === 'number' ? { count: nodes } : nodes);
    const cluster = new Embedded({ env, name, namespace: options.namespace ?? 'default', plane, fleet, stop }, () =>
      store.close(),
    );
    await cluster.waitFor('serviceaccounts', 'default/default', 'create');
    return cluster;
  } catch (error) {
    stop.abort(error);
    await plane?.ended.catch(() => undefined);
    await store.close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

interface Parts {
  readonly env: Environment;
  readonly name: string;
  readonly namespace: string;
  readonly plane: ControlPlane;
  readonly fleet: SimulatedNodes;
  readonly stop: AbortController;
}

class Embedded implements EmbeddedCluster {
  readonly url: string;
  readonly kubeconfig: string;
  readonly caCertificate: string;
  readonly client: Client;
  readonly nodes: ClusterNodes;
  readonly faults: EmbeddedFaults;
  readonly #parts: Parts;
  readonly #closeStore: () => Promise<void>;
  /** Aborts when the cluster ends, by itself or by dispose(). */
  readonly #over = new AbortController();
  readonly #ended: Promise<void>;
  #directory: Promise<string> | undefined;
  #disposed: Promise<void> | undefined;

  constructor(parts: Parts, closeStore: () => Promise<void>) {
    this.#parts = parts;
    this.#closeStore = closeStore;
    const { plane, fleet } = parts;
    this.url = plane.apiServer.url;
    this.caCertificate = plane.apiServer.caCertificate;
    this.kubeconfig = this.kubeconfigFor(ADMINISTRATOR);
    this.client = plane.clientAs(userInfo(ADMINISTRATOR));
    this.nodes = nodesOf(fleet);
    this.faults = new EmbeddedFaults({
      env: parts.env,
      url: this.url,
      nodes: this.nodes,
      kubeconfigFor: (user = ADMINISTRATOR, url) => this.#kubeconfig(user, url),
    });
    this.#ended = plane.ended;
    plane.ended.catch((error: unknown) =>
      this.#over.abort(new Error('a part of the cluster failed', { cause: error })),
    );
  }

  kubeconfigFor(user: ClusterUser): string {
    return this.#kubeconfig(user, this.url);
  }

  #kubeconfig(user: ClusterUser, server: string): string {
    const { env, name, plane } = this.#parts;
    const { ca, caCertificate } = plane.apiServer;
    invariant(ca, 'an API server without certificates of its own makes an authority');
    const { certificate, key } = issue(ca, {
      commonName: user.username,
      organizations: user.groups ?? [],
      usages: ['client'],
      nowMs: env.clock.now(),
      validityMs: CERTIFICATE_VALIDITY_MS,
      random: env.random,
    });
    const config = { name, user: user.username, server, ca: caCertificate, certificate, key };
    return printKubeconfig(makeKubeconfig(config));
  }

  clientFor(user: ClusterUser): Client {
    return this.#parts.plane.clientAs(userInfo(user));
  }

  async kubeconfigFile(): Promise<string> {
    this.#over.signal.throwIfAborted();
    this.#directory ??= this.#writeKubeconfig();
    return join(await this.#directory, 'kubeconfig');
  }

  async #writeKubeconfig(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'tsukube-'));
    await writeFile(join(directory, 'kubeconfig'), this.kubeconfig, { mode: 0o600 });
    return directory;
  }

  apply(manifest: string): Promise<readonly KubeObject[]> {
    const { plane, namespace } = this.#parts;
    return applyManifest(
      {
        client: this.client,
        tables: plane.tables,
        namespace,
        fieldManager: FIELD_MANAGER,
        serviceAccount: (of, name) => this.waitFor('serviceaccounts', { namespace: of, name }, 'create'),
        signal: this.#over.signal,
      },
      manifest,
    );
  }

  // The overloads are EmbeddedCluster's.
  async waitFor<K extends ResourceKey>(
    resource: K,
    name: string | ObjectReference,
    condition: WaitCondition<ObjectOf<K>>,
    options: WaitOptions = {},
  ): Promise<never> {
    const { clock } = this.#parts.env;
    const { timeoutMs = DEFAULT_WAIT_MS, signal } = options;
    const ref = this.#reference(resource, name);
    const test = testOf(condition);
    let last: ObjectOf<K> | undefined;
    const look = (object: ObjectOf<K> | undefined): boolean => {
      last = object;
      return test(object);
    };
    const late = new AbortController();
    const timer = clock.timer(timeoutMs, () => {
      const what = `${resourceName(resource)} ${ref.namespace ? `${ref.namespace}/` : ''}${ref.name}`;
      const message = `${what}: not ${nameOf(condition)} within ${timeoutMs / 1000} s; ${describeState(last)}`;
      late.abort(new WaitTimeoutError(message));
    });
    const ends = AbortSignal.any([late.signal, this.#over.signal, ...(signal ? [signal] : [])]);
    try {
      return (await waitFor(this.#resource(resource), ref, look, { env: { clock }, signal: ends })) as never;
    } finally {
      timer.cancel();
    }
  }

  #resource<K extends ResourceKey>(key: K): ResourceClient<ObjectOf<K>> {
    const found = typeof key === 'string' ? this.client.resource(key) : this.client.dynamic(key as ResourceCoordinates);
    return found as unknown as ResourceClient<ObjectOf<K>>;
  }

  /** "name" lies in the cluster's default namespace, when the resource lies in any. */
  #reference(resource: ResourceKey, name: string | ObjectReference): ObjectReference {
    const { namespace: usual, plane } = this.#parts;
    const slash = typeof name === 'string' ? name.indexOf('/') : -1;
    const given =
      typeof name !== 'string'
        ? name
        : { namespace: slash < 0 ? undefined : name.slice(0, slash), name: name.slice(slash + 1) };
    const row = typeof resource === 'string' ? rowOfKey(plane.tables, resource) : resource;
    return row.namespaced ? { namespace: given.namespace ?? usual, name: given.name } : { name: given.name };
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#end();
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #end(): Promise<void> {
    const reason = new Error('the cluster has been disposed of');
    this.#over.abort(reason);
    this.#parts.stop.abort(reason);
    this.faults.close();
    try {
      await this.#ended;
    } finally {
      await this.#closeStore();
      const directory = await this.#directory?.catch(() => undefined);
      if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    }
  }
}

function userInfo({ username, groups = [] }: ClusterUser): { username: string; groups: readonly string[] } {
  return { username, groups: [...groups, 'system:authenticated'] };
}

function resourceName(resource: ResourceKey): string {
  if (typeof resource === 'string') return resource;
  return resource.group === '' ? resource.resource : `${resource.resource}.${resource.group}`;
}

function nodesOf(fleet: SimulatedNodes): ClusterNodes {
  const known = (name: string): string => {
    const names = fleet.names();
    if (!names.includes(name)) {
      throw new Error(`there is no simulated node "${name}"; there are: ${names.join(', ') || 'none'}`);
    }
    return name;
  };
  return {
    list: () => fleet.names(),
    add: (node) => fleet.add(node),
    remove: async (name) => fleet.remove(known(name)),
    fail: (name) => fleet.fail(known(name)),
    recover: (name) => fleet.recover(known(name)),
  };
}
