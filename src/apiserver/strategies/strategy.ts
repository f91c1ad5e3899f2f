// What is special about a kind. Everything has a default; a resource without a strategy is stored as it was decoded.
import type { CustomResourceSubresourceScale } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import type { FieldError } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';

/** What the pure functions of a strategy may know besides the object. */
export interface StrategyScope {
  readonly resource: Resource;
  /** The request's time, RFC 3339. */
  readonly now: string;
  readonly user: UserInfo;
}

/** Messages that say why a name is not allowed; `prefix` is true for a generateName. */
export type NameRule = (name: string, prefix: boolean) => readonly string[];

/** How an update through one endpoint (the object itself, or a subresource that is the same kind) treats the object. */
export interface UpdateRules<T extends KubeObject = KubeObject> {
  /** Carries over from `old` what this endpoint may not change, and resets what the server decides. */
  prepareForUpdate?(object: Draft<T>, old: T, scope: StrategyScope): void;
  /** What `prepareForUpdate` does not take of what a client sends is managed by whom it was managed by before. */
  readonly managesOnlyTaken?: true;
  validateUpdate?(object: T, old: T, scope: StrategyScope): readonly FieldError[];
}

export interface Strategy<T extends KubeObject = KubeObject> extends UpdateRules<T> {
  /** Default: a DNS subdomain. */
  readonly nameRule?: NameRule;
  /** PUT of an absent object creates it. */
  readonly allowCreateOnUpdate?: boolean;
  /** False: an update must carry a resourceVersion. Default true. */
  readonly unconditionalUpdate?: boolean;
  /** metadata.generation counts changes of everything but metadata and status. */
  readonly countsGenerations?: boolean;
  /** The generation counts changes of status too. */
  readonly countsStatus?: boolean;
  /** A successful delete answers with the object instead of a Status. */
  readonly returnsDeleted?: boolean;
  /** What becomes of dependents when the caller does not say: default 'background'. */
  readonly defaultPropagation?: 'background' | 'orphan';
  /** Seconds that the object is kept after its last write. */
  readonly ttlSeconds?: number;
  /** Selectable fields beyond metadata.name and metadata.namespace. */
  readonly selectable?: { readonly [field: string]: (object: T) => string };
  /**
   * Fields (`metadata.labels`) that an endpoint does not take from clients, so that nobody manages them through it: by
   * subresource, "" for the object itself. Default: the status of an object with a status subresource; there, the spec.
   */
  readonly resetFields?: { readonly [endpoint: string]: readonly string[] };
  /** A new object keeps its status (default: cleared where the resource has a status subresource). */
  readonly keepsStatusOnCreate?: boolean;
  /** Writes as it is kept what may be sent in another form too: before anybody comes to manage it. Doing it again changes nothing. */
  normalize?(object: Draft<T>): void;
  prepareForCreate?(object: Draft<T>, scope: StrategyScope): void;
  /** Findings on create; on update too unless `validateUpdate` is given. */
  validate?(object: T, scope: StrategyScope): readonly FieldError[];
  /**
   * Findings that may take long to come by, of an object in which nothing else was found: on create, and on updates (`old` is
   * what was there) of the object and of its status.
   */
  rules?(object: T, old: T | undefined): Promise<readonly FieldError[]>;
  /** Warnings for the caller. */
  warnings?(object: T): readonly string[];
  /** By subresource name: status, finalize, approval, ephemeralcontainers, resize. */
  readonly endpoints?: { readonly [subresource: string]: UpdateRules<T> };
  /**
   * Seconds of grace for a delete; undefined when this kind is deleted at once.
   * `asked` is what the caller sent.
   */
  gracePeriodSeconds?(object: T, asked: number | undefined): number;
  /** True while something besides metadata.finalizers keeps a deleted object. */
  heldBack?(object: T): boolean;
  /** Added when the object begins to be deleted: someone has to clean up first. */
  readonly finalizerOnDelete?: string;
  /** Changes an object that begins to be deleted but stays (Namespace: phase Terminating). */
  prepareForDelete?(object: Draft<T>): void;
  /** Names of the resources that hold its replicas: /scale (autoscaling/v1 Scale) reads and writes these. */
  readonly scale?: ScaleRule;
}

/** Where a kind's Scale comes from. */
export interface ScaleRule {
  /** How the selector is written: a LabelSelector or a plain map at spec.selector, or as text where `paths` says. */
  readonly selector: 'labelSelector' | 'map' | 'text';
  /** Where a custom resource has its replicas; default: spec.replicas and status.replicas. */
  readonly paths?: CustomResourceSubresourceScale;
}

/** A strategy written for its own kind, usable where kinds do not matter. */
export function defineStrategy<T extends KubeObject>(strategy: Strategy<T>): Strategy {
  return strategy as unknown as Strategy;
}
