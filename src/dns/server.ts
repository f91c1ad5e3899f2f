// Sockets of the DNS server: one UDP and one TCP socket for each address.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Transport } from './forwarder.ts';

export type Respond = (
  message: Buffer,
  from: { readonly transport: Transport; readonly family: '1' | '2' },
) => Promise<Buffer | undefined>;

export interface ServeOptions {
  readonly address: string;
  /** 0: one that is free, the same for UDP and TCP. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly respond: Respond;
}

/** TCP connections at once; further ones are closed at once. */
export const MAX_CONNECTIONS = 1000;
/** A connection on which nothing is asked for this long is closed. */
export const IDLE_MS = 10_000;
const UDP_BUFFER_BYTES = 1024 * 1024;
const PORT_TRIES = 10;

/** Listens on both transports and serves until the signal aborts; resolves with the port when both listen. */
export async function serveDns(options: ServeOptions, signal: AbortSignal): Promise<number> {
  for (let tries = 1; ; tries++) {
    const tcp = await listenTcp(options);
    const { port } = tcp.address() as { port: number };
    try {
      const udp = await listenUdp(options, port);
      const close = (): void => {
        tcp.close();
        udp.close();
      };
      if (signal.aborted) close();
      else signal.addEventListener('abort', close, { once: true });
      return port;
    } catch (error) {
      tcp.close();
      // The port that TCP was given may be taken for UDP.
      if (options.port !== 0 || tries >= PORT_TRIES) throw error;
    }
  }
}

function listenUdp({ address, respond, log }: ServeOptions, port: number): Promise<UdpSocket> {
  const family = isIPv6(address) ? '2' : '1';
  const socket = createSocket(family === '2' ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
  let open = true;
  socket.on('close', () => {
    open = false;
  });
  socket.on('message', (message, client) => {
    respond(message, { transport: 'udp', family }).then(
      (reply) => {
        // A client that is gone is no error of the server.
        if (reply && open) socket.send(reply, client.port, client.address, () => undefined);
      },
      (error: unknown) => open && log.error('cannot answer over UDP', error),
    );
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port, address }, () => {
      socket.off('error', reject);
      socket.on('error', (error) => log.error('UDP socket failed', error));
      socket.setRecvBufferSize(UDP_BUFFER_BYTES);
      resolve(socket);
    });
  });
}

function listenTcp(options: ServeOptions): Promise<Server> {
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    serveConnection(socket, options);
  });
  server.maxConnections = MAX_CONNECTIONS;
  const close = server.close.bind(server);
  server.close = (done) => {
    for (const socket of connections) socket.destroy();
    return close(done);
  };
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address, () => {
      server.off('error', reject);
      server.on('error', (error) => options.log.error('TCP socket failed', error));
      resolve(server);
    });
  });
}

/** Messages of one connection are answered one after the other; while one is being answered no more are read. */
function serveConnection(socket: Socket, { clock, log, respond }: ServeOptions): void {
  const family = socket.remoteFamily === 'IPv6' ? '2' : '1';
  let received: Buffer = Buffer.alloc(0);
  let idle = clock.timer(IDLE_MS, () => socket.destroy());
  socket.on('close', () => idle.cancel());
  socket.on('error', () => socket.destroy());
  const next = async (): Promise<void> => {
    socket.pause();
    for (let message = take(); message; message = take()) {
      const reply = await respond(message, { transport: 'tcp', family });
      if (!reply || socket.destroyed) return void socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    }
    socket.resume();
  };
  const take = (): Buffer | undefined => {
    if (2 > received.length || received.readUInt16BE(0) + 2 > received.length) return undefined;
    const end = received.readUInt16BE(0) + 2;
    const message = received.subarray(2, end);
    received = received.subarray(end);
    return message;
  };
  socket.on('data', (chunk: Buffer) => {
    idle.cancel();
    idle = clock.timer(IDLE_MS, () => socket.destroy());
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    next().catch((error: unknown) => {
      if (!socket.destroyed) log.error('cannot answer over TCP', error);
      socket.destroy();
    });
  });
}
