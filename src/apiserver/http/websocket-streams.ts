// Streams to containers for clients that come with a WebSocket. Kubelets and runtimes speak SPDY/3.1: exec and attach
// (v5.channel.k8s.io: a byte of channel before each message, 255 ends one) are translated, port-forward's SPDY is tunnelled in
// binary messages as it is. Older WebSocket protocols are the runtime's own affair and are passed on unread.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { StatusError } from '../../machinery/status.ts';
import type { Exchange } from './exchange.ts';
import { type Destination, forwardedHeaders, openUpgrade, relay, returnedHeaders } from './forward.ts';
import type { Response } from './response.ts';
import { SpdyConnection, type SpdyStream } from './spdy.ts';

export const CHANNELS_V5 = 'v5.channel.k8s.io';
const TUNNEL_PREFIX = 'SPDY/3.1+';
const TUNNEL_SUFFIX = 'portforward.k8s.io';

/** The largest message that a client may send. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** With more than this unsent the other side is no longer read, until there is less. */
const UNSENT_BYTES = 1024 * 1024;
/** A status is short; what a runtime says beyond this is left out. */
const MAX_STATUS_BYTES = 64 * 1024;
/** How long a client may take to read the rest and close its side, once all is said. */
export const CLOSE_TIMEOUT_MS = 15 * 60_000;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
const CLOSE = 255;

/** The subprotocols of a WebSocket's opening; none: it is something else. */
export function webSocketProtocols(exchange: Exchange): string[] {
  if (exchange.header('upgrade')?.toLowerCase() !== 'websocket') return [];
  const offered = exchange.headers('sec-websocket-protocol').join(',').split(',');
  return offered.map((protocol) => protocol.trim()).filter((protocol) => protocol !== '');
}

/** The SPDY protocols that a client wants tunnelled. */
export function tunnelledProtocols(protocols: readonly string[]): string[] {
  return protocols
    .filter((protocol) => protocol.startsWith(TUNNEL_PREFIX) && protocol.endsWith(TUNNEL_SUFFIX))
    .map((protocol) => protocol.slice(TUNNEL_PREFIX.length));
}

interface Upgraded {
  readonly answer: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** The destination's SPDY connection; undefined: it declined, and the client has its answer. */
async function openSpdy(
  response: Response,
  destination: Destination,
  protocols: readonly string[],
): Promise<Upgraded | undefined> {
  const { exchange } = response;
  const kept = Object.entries(forwardedHeaders(exchange)).filter(([name]) => !name.startsWith('sec-websocket-'));
  const headers = {
    ...Object.fromEntries(kept),
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': protocols,
    'content-length': 0,
  };
  const upgrade = await openUpgrade(destination, 'POST', headers, exchange.signal);
  if (upgrade.socket) return upgrade;
  await relay(upgrade.answer, response, returnedHeaders(upgrade.answer));
  return undefined;
}

/** Answers the client's opening with one of the protocols that it offered. */
async function acceptor(response: Response): Promise<(protocol: string) => WebSocket> {
  const { WebSocketServer } = await import('ws');
  const { incoming, upgrade } = response.exchange;
  if (!upgrade) throw new StatusError('BadRequest', 'Upgrade request required');
  return (protocol) => {
    const server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    // Some names have a slash, which no protocol's name may: they are settled here and not by the library.
    const request = incoming as IncomingMessage;
    delete request.headers['sec-websocket-protocol'];
    if (protocol !== '') server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
    let accepted: WebSocket | undefined;
    server.handleUpgrade(request, upgrade.socket, upgrade.head, (socket) => {
      accepted = socket;
    });
    if (!accepted) throw new StatusError('BadRequest', 'Bad Request');
    response.begin(101);
    accepted.on('error', () => undefined);
    return accepted;
  };
}

export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** What one session waits with: closing is not put off for ever by a client that no longer reads. */
export type Later = (ms: number, work: () => void) => { cancel(): void };

/** Serves exec or attach in v5.channel.k8s.io. Resolves when the client has closed its side. */
export async function translateStreams(
  response: Response,
  destination: Destination,
  wanted: WantedStreams,
  later: Later,
): Promise<void> {
  const accept = await acceptor(response);
  const upgraded = await openSpdy(response, destination, ['v4.channel.k8s.io']);
  if (!upgraded) return;
  const spdy = new SpdyConnection(upgraded.socket, upgraded.head);
  let client: WebSocket;
  try {
    client = accept(CHANNELS_V5);
  } catch (error) {
    spdy.close();
    throw error;
  }
  await new Session(spdy, client, wanted, later).run();
}

class Session {
  readonly #spdy: SpdyConnection;
  readonly #client: WebSocket;
  readonly #wanted: WantedStreams;
  readonly #later: Later;
  #stdin: SpdyStream | undefined;
  #resize: SpdyStream | undefined;
  #status: Buffer = Buffer.alloc(0);
  /** Streams to the client that have not ended. */
  #open = 0;
  #finished = false;

  constructor(spdy: SpdyConnection, client: WebSocket, wanted: WantedStreams, later: Later) {
    this.#spdy = spdy;
    this.#client = client;
    this.#wanted = wanted;
    this.#later = later;
  }

  run(): Promise<void> {
    const { stdin, stdout, stderr, tty } = this.#wanted;
    const closed = new Promise<void>((resolve) => this.#client.once('close', () => resolve()));
    this.#client.on('message', (data, binary) => this.#received(data as Buffer, binary));
    // An empty message tells the client that it is connected.
    this.#send(stdout ? STDOUT : stderr ? STDERR : ERROR, Buffer.alloc(0));
    this.#outward('error', (chunk) => {
      if (this.#status.length < MAX_STATUS_BYTES) this.#status = Buffer.concat([this.#status, chunk]);
    });
    if (stdin) this.#stdin = this.#inward('stdin');
    if (stdout) this.#outward('stdout', (chunk) => this.#send(STDOUT, chunk));
    // A terminal has one output.
    if (stderr && !tty) this.#outward('stderr', (chunk) => this.#send(STDERR, chunk));
    if (tty) this.#resize = this.#inward('resize');
    return closed.finally(() => this.#spdy.close());
  }

  #inward(streamtype: string): SpdyStream {
    return this.#spdy.open({ streamtype }, { data: () => undefined, end: () => undefined });
  }

  #outward(streamtype: string, data: (chunk: Buffer) => void): void {
    this.#open++;
    this.#spdy.open(
      { streamtype },
      {
        data,
        end: () => {
          this.#open--;
          if (this.#open === 0) this.#finish();
        },
      },
    );
  }

  #received(message: Buffer, binary: boolean): void {
    if (!binary || message.length === 0 || this.#finished) return;
    const channel = message[0];
    if (channel === STDIN) this.#pass(this.#stdin, message.subarray(1));
    else if (channel === RESIZE) this.#pass(this.#resize, message.subarray(1));
    else if (channel === CLOSE && message[1] === STDIN) {
      this.#stdin?.end();
      this.#stdin = undefined;
    }
  }

  #pass(stream: SpdyStream | undefined, data: Buffer): void {
    if (data.length === 0 || !stream || stream.write(data)) return;
    this.#client.pause();
    this.#spdy.socket.once('drain', () => this.#client.resume());
  }

  #send(channel: number, chunk: Buffer): void {
    const { socket } = this.#spdy;
    this.#client.send(Buffer.concat([Buffer.from([channel]), chunk]), () => {
      if (socket.isPaused() && this.#client.bufferedAmount < UNSENT_BYTES) socket.resume();
    });
    if (this.#client.bufferedAmount >= UNSENT_BYTES) socket.pause();
  }

  /** Everything was said: how it ended goes last. */
  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#send(ERROR, this.#status.length > 0 ? this.#status : LOST);
    this.#client.close(1000);
    const timer = this.#later(CLOSE_TIMEOUT_MS, () => this.#client.terminate());
    this.#client.once('close', () => timer.cancel());
  }
}

const LOST = Buffer.from(
  JSON.stringify({
    metadata: {},
    status: 'Failure',
    message: 'Internal error occurred: the connection to the container ended without a status',
    reason: 'InternalError',
    code: 500,
  }),
);

/** How a body is read through a WebSocket: as it is, or in base64. Without a protocol it is sent as it is. */
const READING: { readonly [protocol: string]: 'binary' | 'base64' } = {
  'binary.k8s.io': 'binary',
  'base64.binary.k8s.io': 'base64',
};

/** Whether a client wants an answer's body in messages of a WebSocket. */
export function readsMessages(exchange: Exchange): boolean {
  return exchange.upgrade !== undefined && exchange.header('upgrade')?.toLowerCase() === 'websocket';
}

/** Sends a body in messages, the first of them empty, no faster than the client reads. Resolves when the client is gone. */
export async function sendMessages(response: Response, body: AsyncIterable<unknown>): Promise<void> {
  const offered = webSocketProtocols(response.exchange);
  const protocol = offered.find((name) => Object.hasOwn(READING, name));
  if (protocol === undefined && offered.length > 0) throw new StatusError('BadRequest', 'Bad Request');
  const client = (await acceptor(response))(protocol ?? '');
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const send = (chunk: Buffer): Promise<boolean> =>
    new Promise((resolve) => {
      const inText = protocol !== undefined && READING[protocol] === 'base64';
      client.send(inText ? chunk.toString('base64') : chunk, (error) => resolve(!error));
    });
  let reads = await send(Buffer.alloc(0));
  if (reads) {
    for await (const chunk of body) {
      reads = await send(chunk as Buffer);
      if (!reads) break;
    }
  }
  client.close(1000);
  await closed;
}

/** Serves port-forward to a client that speaks SPDY within a WebSocket. Resolves when either side ends. */
export async function tunnelSpdy(
  response: Response,
  destination: Destination,
  protocols: readonly string[],
): Promise<void> {
  const accept = await acceptor(response);
  const upgraded = await openSpdy(response, destination, protocols);
  if (!upgraded) return;
  const { socket, head, answer } = upgraded;
  socket.on('error', () => undefined);
  const chosen = String(answer.headers['x-stream-protocol-version'] ?? protocols[0]);
  let client: WebSocket;
  try {
    client = accept(TUNNEL_PREFIX + chosen);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const send = (chunk: Buffer): void => {
    client.send(chunk, () => {
      if (socket.isPaused() && client.bufferedAmount < UNSENT_BYTES) socket.resume();
    });
    if (client.bufferedAmount >= UNSENT_BYTES) socket.pause();
  };
  client.on('message', (data) => {
    if (socket.destroyed || socket.write(data as Buffer)) return;
    client.pause();
    socket.once('drain', () => client.resume());
  });
  if (head.length > 0) send(head);
  socket.on('data', send);
  await new Promise<void>((resolve) => {
    socket.once('close', () => client.close(1000));
    client.once('close', () => {
      socket.destroy();
      resolve();
    });
  });
}
