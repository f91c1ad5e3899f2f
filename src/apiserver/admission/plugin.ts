// Admission: what is done to, and demanded of, objects beyond what their kind says. A plugin is a row of data and one or
// two functions; it sees the world through `AdmissionWorld` only.
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource, Tables } from '../../api/tables.ts';
import type { Environment } from '../../lib/environment.ts';
import type { RbacAuthorizer } from '../auth/rbac.ts';
import type { RequestContext, Target } from '../contract.ts';
import type { CallWebhook } from '../webhooks/client.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

export interface AdmissionRequest {
  readonly operation: Operation;
  readonly target: Target;
  /** The stored version's row: objects are in that version. */
  readonly row: Resource;
  /** The object before; absent on CREATE. */
  readonly old: KubeObject | undefined;
  readonly dryRun: boolean;
  /** The caller's options, as the operation takes them. */
  readonly options?: object;
  /** On CONNECT: what the caller asks of the connection. */
  readonly connect?: KubeObject;
}

/** What plugins may know. Lookups are in the caches; `present` is as of now. */
export interface AdmissionWorld {
  readonly ctx: RequestContext;
  readonly env: Environment;
  readonly rbac: RbacAuthorizer | undefined;
  readonly tables: Tables;
  /** Absent: this server asks no webhooks. */
  readonly callWebhook: CallWebhook | undefined;
  /** An object of the request's row (or of `from`) as another version of its resource; neither is changed. */
  inVersion(object: KubeObject, as: Resource, from?: Resource): Promise<KubeObject>;
  get(group: string, resource: string, namespace: string | undefined, name: string): KubeObject | undefined;
  present(
    group: string,
    resource: string,
    namespace: string | undefined,
    name: string,
  ): Promise<KubeObject | undefined>;
  list(group: string, resource: string, namespace?: string): readonly KubeObject[];
  /** Objects of any resource, in its row's version: one by its name, as of now if the cache lacks it, or all of a namespace. */
  objects(row: Resource, namespace: string | undefined, name?: string): Promise<readonly KubeObject[]>;
  /** Changes an object of another kind: a quota's usage. */
  change(
    group: string,
    resource: string,
    at: { readonly namespace: string | undefined; readonly name: string },
    decide: (object: KubeObject) => Draft<KubeObject> | undefined,
  ): Promise<void>;
}

/** What became of a plugin that does something else when the plugins run once more. */
export interface Admitted {
  /** It changed the object: all plugins are to look at it once more. */
  readonly changed: boolean;
  /** What it does in its second turn. */
  again(): Promise<void>;
}

export interface AdmissionPlugin {
  /** Upstream's name of the plugin. */
  readonly name: string;
  readonly operations: readonly Operation[];
  /** "pods", "roles.rbac.authorization.k8s.io", "pods/status", "pods/*"; absent: every resource, without subresources. */
  readonly resources?: readonly string[] | 'all';
  /** Changes the object. A plugin that answers nothing does the same once more if another wants all to look again. */
  admit?(
    world: AdmissionWorld,
    request: AdmissionRequest,
    object: Draft<KubeObject>,
  ): void | undefined | Promise<void> | Promise<Admitted | undefined>;
  /** Refuses by throwing a StatusError. On DELETE there is no object. */
  validate?(
    world: AdmissionWorld,
    request: AdmissionRequest,
    object: KubeObject | undefined,
  ): void | undefined | Promise<void>;
}
