// What an embedded cluster offers to the program that it runs in.
import type { ResourceTypes } from '../api/generated/types.ts';
import type { KubeObject } from '../api/object.ts';
import type { Client, ObjectReference, ResourceCoordinates } from '../client/contract.ts';
import type { ProfileName } from './profiles.ts';
import type { WaitCondition } from './wait-condition.ts';

export interface ClusterOptions {
  /** Names the context of the kubeconfig, and what leads in elections. Default "tsukube". */
  readonly name?: string;
  /** How many simulated nodes, or what they are like. Default 1. */
  readonly nodes?: number | NodesOptions;
  /** Default 0: any free port. */
  readonly port?: number;
  /** The address to listen on. Default 127.0.0.1. */
  readonly address?: string;
  /** "fast": failures of nodes are noticed in seconds, not in Kubernetes' own times. Default "default". */
  readonly profile?: ProfileName;
  /** Where documents and names go that name no namespace. Default "default". */
  readonly namespace?: string;
  /** Gives up starting; a cluster that runs is ended by dispose() alone. */
  readonly signal?: AbortSignal;
}

export interface NodesOptions {
  readonly count: number;
  /** Nodes are called PREFIX-0, PREFIX-1 ... Default "node". */
  readonly namePrefix?: string;
  /** Default: 8 cpu, 32Gi memory, 100Gi ephemeral-storage, 110 pods. */
  readonly capacity?: { readonly [resource: string]: string };
  readonly labels?: { readonly [key: string]: string };
  /** Nodes take turns in these zones. */
  readonly zones?: readonly string[];
  /** How long images take to pull and containers to start, and to stop after SIGTERM. Default 100 and 50. */
  readonly startMs?: number;
  readonly stopMs?: number;
}

/** Who a client or kubeconfig speaks as. A user in the group system:masters may do everything. */
export interface ClusterUser {
  readonly username: string;
  /** Besides system:authenticated, which everyone is in. */
  readonly groups?: readonly string[];
}

export interface WaitOptions {
  /** Default 30,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Which resource: a built-in one ("pods", "deployments.apps"), or any by its coordinates. */
export type ResourceKey = keyof ResourceTypes | ResourceCoordinates;
export type ObjectOf<K extends ResourceKey> = K extends keyof ResourceTypes ? ResourceTypes[K] : KubeObject;

/** A client with everything but what only parts of the control plane need. */
export type ClusterClient = Pick<Client, 'resource' | 'dynamic' | 'discover'>;

/** The nodes that run nothing: they register, renew their leases, and say that their pods run. */
export interface ClusterNodes {
  /** Their names. */
  list(): readonly string[];
  /** Registers one more; resolves with its name, which is the next free one unless given. */
  add(node?: { readonly name?: string; readonly labels?: { readonly [key: string]: string } }): Promise<string>;
  /** Takes the node out of service and deletes its Node object. */
  remove(name: string): Promise<void>;
  /** The node falls silent: no lease, no status, its pods stand still. */
  fail(name: string): void;
  recover(name: string): void;
}

/** A fault lasts until it is healed: `using fault = cluster.faults.kill()`, or `fault.heal()`. Twice is harmless. */
export interface FaultInForce extends Disposable {
  heal(): void;
}

/**
 * Breaks the way to the API server for programs that connect by this kubeconfig or URL; `client`, `kubeconfig` and `url` of the
 * cluster itself go past it, so that a test can look while its controller cannot.
 */
export interface ClusterFaults {
  /** A kubeconfig whose connections can be broken. Default user: an administrator. */
  kubeconfig(user?: ClusterUser): Promise<string>;
  url(): Promise<string>;
  /** Nothing arrives, in either direction; connections stay open. With nodes: these fall silent, and the way is left alone. */
  partition(options?: { readonly nodes?: readonly string[] }): FaultInForce;
  /** As when the API server dies: connections are reset, and new ones fail until it is healed. */
  kill(): FaultInForce;
  /** The server stands still: connections are made, and nothing is answered. What was asked is answered when it is healed. */
  pause(): FaultInForce;
  /** Everything arrives late, in both directions. */
  delay(options: { readonly delayMs: number; readonly jitterMs?: number }): FaultInForce;
  /** Heals all of them. */
  heal(): void;
}

export interface EmbeddedCluster extends AsyncDisposable {
  /** https://127.0.0.1:PORT */
  readonly url: string;
  /** A kubeconfig's text, for an administrator; its certificates are inside. */
  readonly kubeconfig: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly caCertificate: string;
  /** An administrator's client. It calls the API server without a connection; objects that it returns are shared and readonly. */
  readonly client: ClusterClient;
  readonly nodes: ClusterNodes;
  readonly faults: ClusterFaults;
  /** The kubeconfig as a file (mode 0600) that dispose() deletes; for kubectl, helm and programs. */
  kubeconfigFile(): Promise<string>;
  /** A kubeconfig for somebody with no rights but those that RBAC gives. */
  kubeconfigFor(user: ClusterUser): string;
  clientFor(user: ClusterUser): ClusterClient;
  /**
   * Brings every document of a manifest (YAML or JSON) into the cluster, in order: creates it, or sends it as a merge patch where
   * it exists. Nothing is written when a document has unknown fields, an unknown kind or no name. Returns the objects.
   */
  apply(manifest: string): Promise<readonly KubeObject[]>;
  /**
   * Resolves with the object once the condition holds (WaitCondition), and rejects with WaitTimeoutError, which says in what state the
   * object was seen last, or with the signal's reason. The name may be "namespace/name" and a reference.
   */
  waitFor<K extends ResourceKey>(
    resource: K,
    name: string | ObjectReference,
    condition: 'delete',
    options?: WaitOptions,
  ): Promise<undefined>;
  waitFor<K extends ResourceKey>(
    resource: K,
    name: string | ObjectReference,
    condition: WaitCondition<ObjectOf<K>>,
    options?: WaitOptions,
  ): Promise<ObjectOf<K>>;
  /** Ends everything, and resolves when nothing is left of it. Twice is harmless. Rejects when a part of the cluster had failed. */
  dispose(): Promise<void>;
}

/** A wait took longer than it was given. */
export class WaitTimeoutError extends Error {
  override name = 'WaitTimeoutError';
}
