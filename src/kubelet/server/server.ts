// The kubelet's HTTPS server: logs, exec, attach, port-forward, pods and statistics, under upstream's paths.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Registry } from 'prom-client';
import type { Pod, PodStatus } from '../../api/generated/types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { CriClient, ExecStreams } from '../cri/client.ts';
import { readLog } from '../logs/read.ts';
import { newestContainer, type ObservedContainer, type ObservedPod } from '../pod/observed.ts';
import { type KubeletAccess, subresourcesOf, verbOf } from './authorize.ts';
import { HttpError, loggedContainer, logOptions } from './container-logs.ts';
import type { StatsReader } from './stats.ts';
import { forwardUpgrade, refuseUpgrade } from './upgrade.ts';

/** PEM texts. */
export interface KubeletTls {
  readonly key: string;
  readonly cert: string;
  /** Signs the clients that are let in. */
  readonly clientCa: string;
}

/** A pod of this node as the server sees it. */
export interface ServedPod {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly status: PodStatus | undefined;
}

export interface KubeletServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: KubeletTls;
  readonly access: KubeletAccess;
  readonly cri: CriClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Registry;
  readonly stats: StatsReader;
  readonly find: (namespace: string, name: string) => ServedPod | undefined;
  readonly pods: () => readonly ServedPod[];
  /** Why the kubelet is not healthy; undefined: it is. */
  readonly unhealthy: () => string | undefined;
}

export interface KubeletServer {
  readonly port: number;
  /** Ends every connection, streams to containers too. */
  close(): Promise<void>;
}

/** What a path leads to, once the caller is known to be allowed. */
interface Call {
  readonly request: IncomingMessage;
  readonly url: URL;
  readonly parts: readonly string[];
}

export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { key, cert, clientCa } = options.tls;
  const tls = { key, cert, ca: clientCa, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' as const };
  const handlers = new Handlers(options);
  const server: Server = createServer(tls, (request, response) => void handlers.answer(request, response));
  const connections = new Set<Duplex>();
  const keep = (socket: Duplex): void => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  };
  // The first is a connection that may never say who it is, the second what is made of it.
  server.on('connection', keep);
  server.on('secureConnection', keep);
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => void handlers.upgrade(request, socket, head));
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Upgraded ones too, which the server no longer knows: a shell or a forwarded port that is left open.
        for (const connection of connections) connection.destroy();
      }),
  };
}

class Handlers {
  readonly #o: KubeletServerOptions;

  constructor(options: KubeletServerOptions) {
    this.#o = options;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const call = await this.#enter(request);
      await this.#route(call, response);
    } catch (error) {
      const code = error instanceof HttpError ? error.code : 500;
      if (code === 500) this.#o.log.warn('a request failed', { url: request.url, error: String(error) });
      if (response.headersSent) response.destroy();
      else text(response, code, `${(error as Error).message}\n`);
    }
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      const call = await this.#enter(request);
      const target = await this.#streamUrl(call);
      forwardUpgrade(request, socket, head, { target: new URL(target), clock: this.#o.clock });
    } catch (error) {
      const code = error instanceof HttpError ? error.code : 500;
      refuseUpgrade(socket, code, (error as Error).message, this.#o.clock);
    }
  }

  async #enter(request: IncomingMessage): Promise<Call> {
    const url = urlOf(request);
    const user = await this.#o.access.authenticate(request);
    if (!user) throw new HttpError(401, 'Unauthorized');
    const verb = verbOf(request.method ?? '');
    let allowed = false;
    for (const subresource of subresourcesOf(url.pathname)) {
      allowed ||= await this.#o.access.authorize(user, verb, subresource);
    }
    if (!allowed) {
      const [subresource] = subresourcesOf(url.pathname).slice(-1);
      throw new HttpError(
        403,
        `Forbidden (user=${user.username}, verb=${verb}, resource=nodes, subresource(s)=[${subresource}])`,
      );
    }
    return {
      request,
      url,
      parts: url.pathname
        .split('/')
        .filter((part) => part !== '')
        .map(decoded),
    };
  }

  async #route(call: Call, response: ServerResponse): Promise<void> {
    const { stats, metrics, pods, unhealthy } = this.#o;
    const signal = closed(response);
    switch (
      call.parts.slice(0, call.parts[0] === 'containerLogs' || STREAMS.has(call.parts[0] ?? '') ? 1 : 3).join('/')
    ) {
      case 'healthz':
      case 'healthz/ping':
      case 'healthz/syncloop': {
        const why = unhealthy();
        return text(response, why ? 500 : 200, why ?? 'ok');
      }
      case 'pods':
        return json(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: pods().map(withStatus) });
      case 'runningpods': {
        const running = pods().filter(({ observed }) => observed.containers.some((c) => c.state === 'running'));
        return json(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: running.map(withStatus) });
      }
      case 'stats/summary':
        return json(response, await stats.summary(signal));
      case 'metrics':
        return text(response, 200, await metrics.metrics(), metrics.contentType);
      case 'metrics/resource':
      case 'metrics/cadvisor':
        return text(response, 200, await stats.resourceMetrics(signal), 'text/plain; version=0.0.4; charset=utf-8');
      case 'containerLogs':
        return this.#logs(call, response, signal);
      case 'exec':
      case 'attach':
      case 'portForward':
        throw new HttpError(400, 'Upgrade request required');
      case 'run':
        return this.#run(call, response, signal);
      default:
        throw new HttpError(404, '404 page not found');
    }
  }

  #pod(namespace: string, name: string, uid?: string): ServedPod {
    const found = this.#o.find(namespace, name);
    if (!found || (uid !== undefined && found.pod.metadata.uid !== uid)) throw new HttpError(404, 'pod does not exist');
    return found;
  }

  /** /…/{namespace}/{pod}[/{uid}]/{container} */
  #container({ parts }: Call): ObservedContainer {
    const [, namespace = '', name = ''] = parts;
    const { observed } = this.#pod(namespace, name, parts.length > 4 ? parts[3] : undefined);
    const container = newestContainer(observed, parts.at(-1)!);
    if (!container || parts.length < 4) throw new HttpError(404, `container not found ("${parts.at(-1)}")`);
    return container;
  }

  async #logs({ parts, url }: Call, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const [, namespace = '', name = '', container = ''] = parts;
    const { clock, find } = this.#o;
    const options = logOptions(url.searchParams, clock.now());
    const { pod, status, observed } = this.#pod(namespace, name);
    const id = loggedContainer(pod, status ?? pod.status, container, options.previous).replace(/^.*:\/\//, '');
    const instance = observed.containers.find((c) => c.id === id);
    if (!instance?.logPath) throw new HttpError(400, `unable to retrieve container logs for containerd://${id}`);
    response.setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.setHeader('Transfer-Encoding', 'chunked');
    response.flushHeaders();
    await readLog(instance.logPath, options, {
      clock,
      signal,
      mayGrow: async () => {
        const now = find(namespace, name);
        return now?.observed.containers.find((c) => c.id === id)?.state === 'running';
      },
      write: (chunk) => write(response, chunk),
    });
    response.end();
  }

  async #run(call: Call, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const { id } = this.#container(call);
    const command = (call.url.searchParams.get('cmd') ?? '').split(' ');
    const { stdout, stderr } = await this.#o.cri.execSync(id, command, 0, { signal });
    text(response, 200, Buffer.concat([stdout, stderr]).toString());
  }

  async #streamUrl(call: Call): Promise<string> {
    const { cri } = this.#o;
    const query = call.url.searchParams;
    switch (call.parts[0]) {
      case 'exec':
        return cri.exec(this.#container(call).id, { ...streams(query), command: query.getAll('command') });
      case 'attach':
        return cri.attach(this.#container(call).id, streams(query));
      case 'portForward': {
        const [, namespace = '', name = '', uid] = call.parts;
        const sandbox = this.#pod(namespace, name, uid).observed.sandboxes.find((s) => s.ready);
        if (!sandbox) throw new HttpError(404, `pod not found ("${name}_${namespace}")`);
        return cri.portForward(sandbox.id, query.getAll('port').map(portNumber));
      }
      default:
        throw new HttpError(404, '404 page not found');
    }
  }
}

const STREAMS = new Set(['exec', 'attach', 'portForward', 'run']);
const TRUE = new Set(['1', 'true']);

/** The streams asked for, by the kubelet's own parameter names or the API's. */
function streams(query: URLSearchParams): ExecStreams {
  const flag = (...names: string[]): boolean => names.some((name) => TRUE.has(query.get(name) ?? ''));
  const tty = flag('tty');
  const [stdin, stdout] = [flag('input', 'stdin'), flag('output', 'stdout')];
  // A terminal has one output stream.
  const stderr = flag('error', 'stderr') && !tty;
  if (!stdin && !stdout && !stderr) throw new HttpError(400, 'you must specify at least 1 of stdin, stdout, stderr');
  return { stdin, stdout, stderr, tty };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new HttpError(400, `invalid port ${JSON.stringify(text)}: must be between 1 and 65535, inclusive`);
  }
  return port;
}

/** What a client sends as its request's target need not be one. */
function urlOf(request: IncomingMessage): URL {
  const text = request.url ?? '/';
  const path = text.startsWith('/') ? text.replace(/^\/+/, '/') : text;
  if (!URL.canParse(path, 'https://kubelet')) throw new HttpError(400, 'Bad Request');
  return new URL(path, 'https://kubelet');
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new HttpError(400, `invalid URL escape in ${JSON.stringify(part)}`);
  }
}

function withStatus({ pod, status }: ServedPod): Pod {
  return { apiVersion: 'v1', kind: 'Pod', ...pod, ...(status && { status }) };
}

function text(response: ServerResponse, code: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(code, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function json(response: ServerResponse, body: object): void {
  text(response, 200, JSON.stringify(body), 'application/json');
}

/** Aborts when the connection is gone or the answer has been given. */
function closed(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}

function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  if (response.destroyed || response.write(chunk)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.once('drain', done);
    response.once('close', done);
  });
}
