// What the measuring process and the load process say to each other.

export type Protocol = 'HTTP/1.1' | 'HTTP/2';

export interface Target {
  readonly port: number;
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** One request after another on each of `concurrency` connections (or streams). */
export interface RequestLoad {
  readonly kind: 'requests';
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** `{n}` in path and body becomes a number never used before; `{lane}` the connection's or stream's own. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly concurrency: number;
}

/** `writers` patch one ConfigMap each, one patch after another, while `watchers` follow all of them. */
export interface WatchLoad {
  readonly kind: 'watch';
  readonly watchPath: string;
  readonly path: string;
  readonly watchers: number;
  readonly writers: number;
}

export interface Task {
  readonly protocol: Protocol;
  readonly target: Target;
  readonly load: RequestLoad | WatchLoad;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** The load process's answers: first `warm`, then `done` or `failed`. */
export type Answer =
  | { readonly kind: 'warm' }
  | ({ readonly kind: 'done' } & LoadResult)
  | { readonly kind: 'failed'; readonly message: string };

export interface LoadResult {
  /** Answers (or delivered events) within the measured time. */
  readonly count: number;
  readonly bodyBytes: number;
  /** Milliseconds from sending to the whole answer, or from sending the patch to its event at a watcher. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly elapsedMs: number;
}
