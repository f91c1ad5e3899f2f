// The client of a component in another process: HTTPS (HTTP/2), JSON, as any Kubernetes client.
import { readFile } from 'node:fs/promises';
import { parseJson, stringifyJson } from '../api/json.ts';
import type { KubeObject } from '../api/object.ts';
import type { Tables } from '../api/tables.ts';
import type { Clock } from '../lib/clock.ts';
import { errorFromStatus, type Reason, type StatusObject } from '../machinery/status.ts';
import type { Guard } from '../store/contract.ts';
import type { Balancer, ServerView } from './balancer/balancer.ts';
import { followServers } from './balancer/follow-servers.ts';
import { type ConnectionOptions, Connections, TransportError, type WireResponse } from './connections.ts';
import type { Client, DiscoveredResource, ResourceClient } from './contract.ts';
import { rowOfKey } from './coordinates.ts';
import { discoverOver } from './discovery.ts';
import { HttpsResource } from './https-resource.ts';
import type { Access } from './kubeconfig.ts';

export interface HttpsOptions {
  readonly access: Access;
  readonly tables: Tables;
  readonly clock: Clock;
  readonly userAgent?: string;
  /** A request other than a watch that takes longer fails. Default: 60 s, the server's own limit. */
  readonly requestTimeoutMs?: number;
  readonly pingAfterMs?: number;
  readonly pingTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** How one of several servers is chosen. */
  readonly balancer?: ConnectionOptions['balancer'];
}

export interface KnownApiServer extends ServerView {
  /** The names of those that answer there now. */
  readonly answeredBy: readonly string[];
}

/** A Client with connections of its own, which `close` ends. */
export interface HttpsClient extends Client {
  /** Any request of the API by path: answers the parsed JSON. Refusals are thrown as StatusError. */
  request(method: string, path: string, options?: CallOptions): Promise<unknown>;
  /** What is known of the servers. */
  servers(): readonly KnownApiServer[];
  /** Keeps to the servers that the endpoints of Service kubernetes name, until the signal aborts. Never rejects. */
  followServers(signal: AbortSignal): Promise<void>;
  close(): void;
}

export function httpsClient(options: HttpsOptions): HttpsClient {
  const wire = new Wire(options);
  const client = clientOver(wire, options.tables, []);
  return {
    ...client,
    servers: () => wire.servers(),
    followServers: (signal) => followServers(client, options.clock, (urls) => wire.balancer.setMembers(urls), signal),
    request: (...call) => wire.call(...call),
    close: () => wire.close(),
  };
}

function clientOver(wire: Wire, tables: Tables, guards: readonly Guard[]): Client {
  return {
    resource: (key) => new HttpsResource(wire, rowOfKey(tables, key), guards) as unknown as ResourceClient<never>,
    dynamic: (coordinates): ResourceClient<KubeObject> => {
      const { group, version, resource } = coordinates;
      return new HttpsResource(wire, { ...coordinates, ...tables.resource(group, version, resource) }, guards);
    },
    discover: (signal): Promise<readonly DiscoveredResource[]> => discoverOver(wire, signal),
    fenced: (more) => clientOver(wire, tables, more),
  };
}

export interface CallOptions {
  readonly body?: unknown;
  readonly contentType?: string;
  readonly guards?: readonly Guard[];
  readonly signal?: AbortSignal | undefined;
}

/** A guard that travels: `key=revision`, the key percent-encoded, several with commas. */
export const GUARDS_HEADER = 'tsukube-guards';

const REQUEST_TIMEOUT_MS = 60_000;

/** A response body other than a watch of more than this is refused: 512 MiB, beyond any list that a server can keep. */
const MAX_BODY_BYTES = 512 * 1024 * 1024;

/** Requests with credentials and a deadline; answers as JSON or as a stream of lines. */
export class Wire {
  readonly #connections: Connections;
  readonly #options: HttpsOptions;
  readonly #token: () => Promise<string | undefined>;

  constructor(options: HttpsOptions) {
    const { access, clock, pingAfterMs, pingTimeoutMs, connectTimeoutMs, balancer } = options;
    this.#options = options;
    this.#token = tokenSource(access, clock);
    this.#connections = new Connections({
      servers: access.servers,
      tls: access,
      clock,
      ...(pingAfterMs !== undefined && { pingAfterMs }),
      ...(pingTimeoutMs !== undefined && { pingTimeoutMs }),
      ...(connectTimeoutMs !== undefined && { connectTimeoutMs }),
      ...(balancer && { balancer }),
    });
  }

  get balancer(): Balancer {
    return this.#connections.balancer;
  }

  servers(): readonly KnownApiServer[] {
    const known = this.balancer.view();
    return known.map((server) => ({
      ...server,
      // The only one there is is not checked: it is well when it is connected.
      isHealthy: server.isHealthy || (known.length === 1 && server.connections > 0),
      answeredBy: this.#connections.answeredBy(server.url),
    }));
  }

  close(): void {
    this.#connections.close();
  }

  /** One request and its whole answer. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<unknown> {
    const { clock, requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options;
    const timeout = new AbortController();
    const timer = clock.timer(requestTimeoutMs, () => {
      timeout.abort(new TransportError(`${method} ${path}: no answer in ${requestTimeoutMs} ms`, { sent: true }));
    });
    const signal = options.signal ? AbortSignal.any([options.signal, timeout.signal]) : timeout.signal;
    try {
      const response = await this.#send(method, path, { ...options, signal });
      return await readBody(response);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw error;
    } finally {
      timer.cancel();
    }
  }

  /** The JSON values of a stream of lines, in batches as they come, until the server ends it or the signal aborts. */
  async *lines(path: string, signal: AbortSignal): AsyncGenerator<readonly unknown[]> {
    const response = await this.#send('GET', path, { signal });
    let rest: Buffer[] = [];
    try {
      for await (const chunk of response.stream as AsyncIterable<Buffer>) {
        const end = chunk.lastIndexOf(0x0a);
        if (end < 0) {
          rest.push(chunk);
          continue;
        }
        const complete = Buffer.concat([...rest, chunk.subarray(0, end)]);
        rest = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : [];
        yield splitLines(complete).map((line) => parseJson(line));
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof TransportError
        ? error
        : new TransportError(`the watch ${path} broke`, { cause: error, sent: true });
    } finally {
      response.stream.destroy();
    }
  }

  async #send(method: string, path: string, options: CallOptions & { signal: AbortSignal }): Promise<WireResponse> {
    const { userAgent = 'tsukube' } = this.#options;
    const token = await this.#token();
    const body = options.body === undefined ? undefined : Buffer.from(stringifyJson(options.body));
    const response = await this.#connections.request({
      method,
      path,
      headers: {
        accept: 'application/json',
        'user-agent': userAgent,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': options.contentType ?? 'application/json', 'content-length': body.length }),
        ...(options.guards?.length && method !== 'GET' && { [GUARDS_HEADER]: encodeGuards(options.guards) }),
      },
      body,
      signal: options.signal,
    });
    if (response.status < 400) return response;
    throw refusal(response.status, await readText(response));
  }
}

export function encodeGuards(guards: readonly Guard[]): string {
  return guards.map(({ key, revision }) => `${encodeURIComponent(key)}=${revision}`).join(',');
}

async function readBody(response: WireResponse): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new TransportError(`the answer is over ${MAX_BODY_BYTES} bytes`, { sent: true });
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const type = String(response.headers['content-type'] ?? 'application/json');
  if (body.length === 0) return undefined;
  return type.startsWith('application/json') ? parseJson(body) : body.toString('utf8');
}

async function readText({ stream }: WireResponse): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function refusal(code: number, text: string): Error {
  try {
    const value = JSON.parse(text) as Partial<StatusObject>;
    if (value.kind === 'Status') return errorFromStatus(value, code);
  } catch {
    // Not a Status: an intermediary's own page.
  }
  const message = text.trim() || `the server answered ${code}`;
  return errorFromStatus({ message, ...(REASON_OF[code] && { reason: REASON_OF[code] }) }, code);
}

/** The reason of an answer that does not say one, as client-go. */
const REASON_OF: { readonly [code: number]: Reason } = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Gone',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function splitLines(buffer: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let from = 0;
  while (from <= buffer.length) {
    const end = buffer.indexOf(0x0a, from);
    const line = buffer.subarray(from, end < 0 ? buffer.length : end);
    if (line.length > 0) lines.push(line);
    if (end < 0) break;
    from = end + 1;
  }
  return lines;
}

/** A token file is read again when the last reading is this old, as client-go. */
const TOKEN_FILE_MS = 60_000;

function tokenSource({ token, tokenFile }: Access, clock: Clock): () => Promise<string | undefined> {
  if (tokenFile === undefined) return async () => token;
  let read: Promise<string | undefined> | undefined;
  let readMs = 0;
  let last = token;
  return () => {
    if (!read || clock.monotonic() - readMs > TOKEN_FILE_MS) {
      readMs = clock.monotonic();
      // A file that cannot be read just now leaves the token that was.
      read = readFile(tokenFile, 'utf8').then(
        (text) => {
          last = text.trim();
          return last;
        },
        () => last,
      );
    }
    return read;
  };
}
