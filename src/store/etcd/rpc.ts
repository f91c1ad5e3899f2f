// What the store needs of etcd: its v3 API as an interface. The real one speaks gRPC; the simulator's is a model in memory.
import type { Revision } from '../contract.ts';

export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: Revision;
  readonly raftTerm: number;
}

export interface KeyValue {
  readonly key: string;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: number;
  readonly value: Buffer;
  readonly lease: bigint;
}

export interface RangeRequest {
  readonly key: string;
  /** Keys from `key` up to this one, exclusive; a single zero byte: all from `key`. Absent: `key` alone. */
  readonly rangeEnd?: Buffer;
  readonly limit?: number;
  /** 0 or absent: the present. */
  readonly revision?: Revision;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** Answered by the member alone, perhaps from the past. */
  readonly serializable?: boolean;
}

export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** Keys in the range, whatever the limit. */
  readonly count: number;
}

export interface PutRequest {
  readonly key: string;
  readonly value: Buffer;
  readonly lease?: bigint;
  readonly prevKv?: boolean;
}

export interface DeleteRequest {
  readonly key: string;
  readonly rangeEnd?: Buffer;
  readonly prevKv?: boolean;
}

export const COMPARE_EQUAL = 0;
export const COMPARE_VERSION = 0;
export const COMPARE_MOD = 2;

/** Equality only: it is all that the store asks. */
export interface Compare {
  readonly key: string;
  readonly target: typeof COMPARE_VERSION | typeof COMPARE_MOD;
  readonly version?: number;
  readonly modRevision?: Revision;
}

export interface RequestOp {
  readonly range?: RangeRequest;
  readonly put?: PutRequest;
  readonly delete?: DeleteRequest;
}

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface ResponseOp {
  readonly range?: { readonly kvs: readonly KeyValue[]; readonly count: number } | undefined;
  readonly put?: { readonly prevKv?: KeyValue | undefined } | undefined;
  readonly delete?: { readonly deleted: number; readonly prevKvs: readonly KeyValue[] } | undefined;
}

export interface TxnResponse {
  readonly header: ResponseHeader;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export interface WatchRequest {
  readonly key: string;
  readonly rangeEnd?: Buffer;
  readonly startRevision: Revision;
  readonly prevKv?: boolean;
}

export const EVENT_PUT = 0;
export const EVENT_DELETE = 1;

export interface WatchEvent {
  readonly type: number;
  readonly kv: KeyValue;
  readonly prevKv?: KeyValue | undefined;
}

export interface WatchResponse {
  readonly header: ResponseHeader;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not 0 when the watch was refused because its start is compacted. */
  readonly compactRevision: Revision;
  readonly cancelReason: string;
  /** All events of a revision come in one response. */
  readonly events: readonly WatchEvent[];
}

export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberStatus {
  readonly header: ResponseHeader;
  readonly version: string;
  readonly dbSize: number;
  /** The leader's member ID as this member sees it; 0n: none. */
  readonly leader: bigint;
  readonly raftIndex: number;
  readonly raftTerm: number;
  readonly errors: readonly string[];
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Default: the client's. */
  readonly timeoutMs?: number;
}

/** How an endpoint does, as the last look said. */
export interface EndpointHealth {
  readonly url: string;
  readonly connected: boolean;
  readonly healthy: boolean;
  /** Why not, when it is not. */
  readonly reason?: string;
  /** Of the last answer. */
  readonly status?: MemberStatus;
}

/**
 * etcd's v3 API. Reads are retried on other members until their deadline. A write is sent once: it is repeated only when it
 * certainly was not made. Every failure is an EtcdError, or the signal's reason.
 */
export interface EtcdRpc {
  range(request: RangeRequest, options: CallOptions): Promise<RangeResponse>;
  /** A transaction without writes is a read. */
  txn(request: TxnRequest, options: CallOptions): Promise<TxnResponse>;
  compact(revision: Revision, options: CallOptions): Promise<void>;
  /** Resolves with the lease's ID. */
  leaseGrant(ttlSeconds: number, options: CallOptions): Promise<bigint>;
  /**
   * One watch on one stream. Fails with an EtcdError when the connection breaks or the member has lost its leader; ends when the
   * signal aborts. It begins at the call.
   */
  watch(request: WatchRequest, signal: AbortSignal): AsyncIterable<WatchResponse>;
  /** Of the member in use, or of the one at a URL of the configured ones. */
  status(options: CallOptions & { readonly endpoint?: string }): Promise<MemberStatus>;
  memberList(options: CallOptions): Promise<readonly Member[]>;
  memberRemove(id: bigint, options: CallOptions): Promise<void>;
  /** The member's database, ended by its checksum; throws when it is cut short. */
  snapshot(signal: AbortSignal): AsyncIterable<Buffer>;
  readonly endpoints: readonly EndpointHealth[];
  close(): void;
}

/** gRPC status codes. */
export const GRPC = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** A call that failed: the status that etcd gave, or that the transport stands for. */
export class EtcdError extends Error {
  override name = 'EtcdError';
  readonly code: number;
  /** Whether the request may have reached a member. */
  readonly sent: boolean;

  constructor(code: number, message: string, sent: boolean, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.sent = sent;
  }

  /** Whether a write that ended so was certainly not made, now or later. */
  get notMade(): boolean {
    return !this.sent || REFUSALS.has(this.code) || this.message === NO_LEADER;
  }

  /** Whether another member, or this one later, may answer. */
  get transient(): boolean {
    return this.code === GRPC.UNAVAILABLE || (this.code === GRPC.RESOURCE_EXHAUSTED && this.message === TOO_MANY);
  }
}

/** Codes that etcd gives before a request is proposed, or alike on every member when it is applied. */
const REFUSALS: ReadonlySet<number> = new Set([
  GRPC.INVALID_ARGUMENT,
  GRPC.NOT_FOUND,
  GRPC.ALREADY_EXISTS,
  GRPC.PERMISSION_DENIED,
  GRPC.RESOURCE_EXHAUSTED,
  GRPC.FAILED_PRECONDITION,
  GRPC.OUT_OF_RANGE,
  GRPC.UNIMPLEMENTED,
  GRPC.UNAUTHENTICATED,
]);

/** etcd's words. */
export const NO_LEADER = 'etcdserver: no leader';
export const TOO_MANY = 'etcdserver: too many requests';
export const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';
export const FUTURE = 'etcdserver: mvcc: required revision is a future revision';
export const LEASE_NOT_FOUND = 'etcdserver: requested lease not found';
export const NO_SPACE = 'etcdserver: mvcc: database space exceeded';
