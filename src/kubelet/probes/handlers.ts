// The four ways to ask a container how it is, shared by probes and lifecycle hooks.

import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { credentials, status as grpcStatus, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import type { Container, HTTPGetAction, ProbeHandler } from '../../api/generated/types.ts';
import type { Clock } from '../../lib/clock.ts';
import { type CriClient, isDeadlineExceeded } from '../cri/client.ts';

export interface ProbeResult {
  /** `error`: the probe could not be made, which says nothing about the container. */
  readonly outcome: 'success' | 'failure' | 'error';
  readonly message: string;
}

export interface ProbeTarget {
  readonly container: Container;
  readonly containerId: string;
  readonly podIP: string;
}

export interface HandlerContext {
  readonly cri: CriClient;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Bytes of output that are kept for the event's message. */
const MAX_OUTPUT_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;
const USER_AGENT = 'kube-probe/1.36';

const success = (message = ''): ProbeResult => ({ outcome: 'success', message });
const failure = (message: string): ProbeResult => ({ outcome: 'failure', message });

export async function runHandler(
  handler: ProbeHandler,
  target: ProbeTarget,
  context: HandlerContext,
): Promise<ProbeResult> {
  if (handler.exec) return execProbe(handler.exec.command ?? [], target, context);
  if (handler.httpGet) return httpProbe(handler.httpGet, target, context);
  if (handler.tcpSocket) {
    const port = resolvePort(handler.tcpSocket.port, target.container);
    if (port === undefined) return { outcome: 'error', message: `couldn't find port: ${handler.tcpSocket.port}` };
    return tcpProbe(handler.tcpSocket.host || target.podIP, port, context);
  }
  if (handler.grpc) return grpcProbe(target.podIP, handler.grpc.port, handler.grpc.service ?? '', context);
  return { outcome: 'error', message: 'missing probe handler' };
}

/** A port given by number, by its digits, or by its name in the container. */
export function resolvePort(port: number | string, container: Container): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find((p) => p.name === port)?.containerPort;
  if (named !== undefined) return named;
  return /^\d+$/.test(port) ? Number(port) : undefined;
}

async function execProbe(
  command: readonly string[],
  { containerId }: ProbeTarget,
  { cri, timeoutMs, signal }: HandlerContext,
): Promise<ProbeResult> {
  try {
    const { stdout, stderr, exitCode } = await cri.execSync(containerId, command, Math.ceil(timeoutMs / 1000), {
      signal,
    });
    const output = Buffer.concat([stdout, stderr]).subarray(0, MAX_OUTPUT_BYTES).toString();
    return exitCode === 0 ? success(output) : failure(output);
  } catch (error) {
    if (isDeadlineExceeded(error)) {
      return failure(`command timed out: "${command.join(' ')}" timed out after ${timeoutMs / 1000}s`);
    }
    return { outcome: 'error', message: error instanceof Error ? error.message : String(error) };
  }
}

/** The URL of an HTTP probe, as its messages print it. */
export function probeURL(action: HTTPGetAction, target: ProbeTarget, port: number): URL {
  const scheme = (action.scheme ?? 'HTTP').toLowerCase();
  const host = action.host || target.podIP;
  const address = host.includes(':') ? `[${host}]` : host;
  const path = action.path ?? '/';
  return new URL(`${scheme}://${address}:${port}${path.startsWith('/') ? '' : '/'}${path}`);
}

async function httpProbe(action: HTTPGetAction, target: ProbeTarget, context: HandlerContext): Promise<ProbeResult> {
  const port = resolvePort(action.port, target.container);
  if (port === undefined) return { outcome: 'error', message: `couldn't find port: ${action.port}` };
  const url = probeURL(action, target, port);
  const headers: Record<string, string | string[]> = { 'user-agent': USER_AGENT, accept: '*/*', connection: 'close' };
  for (const { name, value } of action.httpHeaders ?? []) {
    const key = name.toLowerCase();
    if (value === '' && (key === 'user-agent' || key === 'accept')) delete headers[key];
    else if (key in headers && !['user-agent', 'accept', 'host'].includes(key))
      headers[key] = [headers[key]!, value].flat();
    else headers[key] = value;
  }
  return followHttp(url, headers, context);
}

async function followHttp(
  start: URL,
  headers: Record<string, string | string[]>,
  context: HandlerContext,
): Promise<ProbeResult> {
  let url = start;
  for (let redirects = 0; ; redirects++) {
    let response: { code: number; location: string | undefined; body: string };
    try {
      response = await fetchOnce(url, headers, context);
    } catch (error) {
      const late = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
      const why =
        error instanceof ProbeTimeout ? late : networkMessage(error, url.hostname, url.port || defaultPort(url));
      return failure(`Get "${url.href}": ${why}`);
    }
    const { code, location, body } = response;
    if (code >= 300 && code < 400 && location) {
      const next = new URL(location, url);
      // A redirect away from the container says that it answers, and is not followed.
      if (next.hostname !== start.hostname) return success(body);
      if (redirects === MAX_REDIRECTS) return failure(`Get "${next.href}": stopped after 10 redirects`);
      url = next;
      continue;
    }
    return code >= 200 && code < 400 ? success(body) : failure(`HTTP probe failed with statuscode: ${code}`);
  }
}

function defaultPort(url: URL): string {
  return url.protocol === 'https:' ? '443' : '80';
}

function fetchOnce(
  url: URL,
  headers: Record<string, string | string[]>,
  context: HandlerContext,
): Promise<{ code: number; location: string | undefined; body: string }> {
  return withTimeout(context, (signal, resolve, reject) => {
    const options = { method: 'GET', headers, agent: false as const, signal, rejectUnauthorized: false };
    const onResponse = (response: IncomingMessage): void => {
      const chunks: Buffer[] = [];
      let size = 0;
      const done = (): void => {
        const body = Buffer.concat(chunks).subarray(0, MAX_OUTPUT_BYTES).toString();
        resolve({ code: response.statusCode ?? 0, location: response.headers.location, body });
        response.destroy();
      };
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= MAX_OUTPUT_BYTES) done();
      });
      response.on('end', done);
      response.on('error', reject);
    };
    const request =
      url.protocol === 'https:' ? httpsRequest(url, options, onResponse) : httpRequest(url, options, onResponse);
    request.on('error', reject);
    request.end();
  });
}

async function tcpProbe(host: string, port: number, context: HandlerContext): Promise<ProbeResult> {
  try {
    await withTimeout<void>(context, (signal, resolve, reject) => {
      const socket = connect({ host, port });
      const end = (): void => void socket.destroy();
      signal.addEventListener('abort', end, { once: true });
      socket.once('connect', () => {
        end();
        resolve();
      });
      socket.once('error', reject);
    });
    return success();
  } catch (error) {
    return failure(networkMessage(error, host, String(port)));
  }
}

class ProbeTimeout extends Error {
  override name = 'ProbeTimeout';
}

/** Runs `start` with a signal that aborts at the context's timeout; rejects with ProbeTimeout then. */
function withTimeout<T>(
  { clock, timeoutMs, signal }: HandlerContext,
  start: (signal: AbortSignal, resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const inner = new AbortController();
    const finish = (settle: () => void): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      settle();
      inner.abort();
    };
    const onAbort = (): void => finish(() => reject(signal.reason));
    const timer = clock.timer(timeoutMs, () => finish(() => reject(new ProbeTimeout('timeout'))));
    signal.addEventListener('abort', onAbort, { once: true });
    start(
      inner.signal,
      (value) => finish(() => resolve(value)),
      (error) => finish(() => reject(error)),
    );
  });
}

const ERRNO_TEXT: { readonly [code: string]: string | undefined } = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
};

/** A network failure in the words that upstream's probes use. */
function networkMessage(error: unknown, host: string, port: string): string {
  const address = host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`;
  if (error instanceof ProbeTimeout) return `dial tcp ${address}: i/o timeout`;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ECONNRESET') return `read tcp ${address}: read: connection reset by peer`;
  const text = ERRNO_TEXT[code];
  if (text) return `dial tcp ${address}: ${text}`;
  return error instanceof Error ? error.message : String(error);
}

const HEALTH = {
  nested: {
    grpc: {
      nested: {
        health: {
          nested: {
            v1: {
              nested: {
                HealthCheckRequest: { fields: { service: { type: 'string', id: 1 } } },
                HealthCheckResponse: { fields: { status: { type: 'ServingStatus', id: 1 } } },
                ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } },
                Health: {
                  methods: { Check: { requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' } },
                },
              },
            },
          },
        },
      },
    },
  },
};

interface HealthClient {
  Check(
    request: { service: string },
    options: object,
    done: (error: ServiceError | null, answer?: { status: string }) => void,
  ): { cancel(): void };
  close(): void;
}
type HealthConstructor = new (address: string, channel: ReturnType<typeof credentials.createInsecure>) => HealthClient;

let healthConstructor: HealthConstructor | undefined;

function healthClient(address: string): HealthClient {
  if (!healthConstructor) {
    const definition = fromJSON(HEALTH as Parameters<typeof fromJSON>[0], { enums: String, defaults: true });
    const loaded = loadPackageDefinition(definition) as unknown as {
      grpc: { health: { v1: { Health: HealthConstructor } } };
    };
    healthConstructor = loaded.grpc.health.v1.Health;
  }
  return new healthConstructor(address, credentials.createInsecure());
}

async function grpcProbe(host: string, port: number, service: string, context: HandlerContext): Promise<ProbeResult> {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const client = healthClient(address);
  const within = `within ${context.timeoutMs / 1000}s`;
  try {
    const status = await withTimeout<string | undefined>(context, (signal, resolve, reject) => {
      const call = client.Check({ service }, {}, (error, answer) => (error ? reject(error) : resolve(answer?.status)));
      signal.addEventListener('abort', () => call.cancel(), { once: true });
    });
    return status === 'SERVING'
      ? success('service healthy')
      : failure(`service unhealthy (responded with "${status}")`);
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof ProbeTimeout) return failure(`timeout: health rpc did not complete ${within}`);
    const { code, details } = error as ServiceError;
    if (code === grpcStatus.UNIMPLEMENTED) {
      return failure('this server does not implement the grpc health protocol (grpc.health.v1.Health)');
    }
    if (code === grpcStatus.UNAVAILABLE) {
      return failure(`timeout: failed to connect service "${address}" ${within}: ${details}`);
    }
    return failure(`error: health rpc probe failed: ${details}`);
  } finally {
    client.close();
  }
}
