import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../lib/clock.ts';

/**
 * Hands an upgraded connection to the server at `target` (where the runtime streams): the request is sent there as it
 * came, with the target's path, and from then on bytes are passed both ways, unread.
 */
export function forwardUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  { target, clock }: { readonly target: URL; readonly clock: Clock },
): void {
  // The caller went away while it was found out who it is: nobody would ever end the stream.
  if (socket.destroyed) return;
  const upstream = connect({ host: target.hostname, port: Number(target.port) });
  const close = (): void => {
    upstream.destroy();
    socket.destroy();
  };
  upstream.once('connect', () => {
    upstream.write(requestHead(request, target));
    if (head.length > 0) upstream.write(head);
    upstream.pipe(socket, { end: false });
    socket.pipe(upstream);
  });
  upstream.on('error', () => {
    if (socket.writable && upstream.bytesRead === 0) {
      refuseUpgrade(socket, 502, 'the container runtime did not answer', clock);
      upstream.destroy();
    } else close();
  });
  socket.on('error', close);
  upstream.on('close', () => endSoon(socket, clock));
  socket.on('close', () => upstream.destroy());
}

function requestHead(request: IncomingMessage, target: URL): string {
  const lines = [`${request.method} ${target.pathname}${target.search} HTTP/1.1`, `Host: ${target.host}`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]!;
    const lower = name.toLowerCase();
    // Who asked was settled here.
    if (lower !== 'host' && lower !== 'authorization') lines.push(`${name}: ${request.rawHeaders[i + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Answers an upgrade request with a plain refusal. */
export function refuseUpgrade(socket: Duplex, code: number, message: string, clock: Clock): void {
  const body = `${message}\n`;
  const head = [
    `HTTP/1.1 ${code} ${REASONS[code] ?? 'Error'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  endSoon(socket, clock);
}

/** How long a client has to close its half of a connection that we have closed ours of. */
export const LINGER_MS = 10_000;

/** Ends our half; what the client still sends is thrown away, and the connection with it if it does not end its own. */
function endSoon(socket: Duplex, clock: Clock): void {
  if (socket.destroyed || socket.writableEnded) return;
  socket.unpipe();
  socket.resume();
  socket.once('finish', () => {
    const timer = clock.timer(LINGER_MS, () => socket.destroy());
    socket.once('close', () => timer.cancel());
  });
  socket.end();
}

const REASONS: { readonly [code: number]: string | undefined } = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
};
