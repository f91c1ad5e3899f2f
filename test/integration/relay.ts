// A TCP relay on loopback that can swallow what passes through it, as a pulled cable does: no reset, no end, nothing.
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly from: Socket;
  readonly to: Socket;
  swallowed: boolean;
}

export class Relay {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #cuts: ((port: number) => boolean)[] = [];

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (from: Socket) => this.#accept(from, target));
  }

  /** Listens on a free port of 127.0.0.1 and relays to another. */
  static async open(target: number): Promise<Relay> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Relay(server, target);
  }

  /** Swallows, from now on and in connections that exist, what comes from client ports that the condition names. */
  cut(condition: (clientPort: number) => boolean): void {
    this.#cuts.push(condition);
    for (const pair of this.#pairs) this.#judge(pair);
  }

  /** New connections pass; those that were cut are reset. */
  heal(): void {
    this.#cuts = [];
    for (const { swallowed, from, to } of [...this.#pairs]) {
      if (!swallowed) continue;
      from.resetAndDestroy();
      to.resetAndDestroy();
    }
  }

  async close(): Promise<void> {
    for (const { from, to } of this.#pairs) {
      from.destroy();
      to.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(from: Socket, target: number): void {
    const to = connect(target, '127.0.0.1');
    const pair = { from, to, swallowed: false };
    this.#pairs.add(pair);
    const end = (): void => {
      if (!this.#pairs.has(pair) || pair.swallowed) return;
      this.#pairs.delete(pair);
      from.destroy();
      to.destroy();
    };
    for (const socket of [from, to]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => (pair.swallowed && from.destroyed && to.destroyed ? this.#pairs.delete(pair) : end()));
    }
    this.#judge(pair);
    pass(pair, from, to);
    pass(pair, to, from);
  }

  #judge(pair: Pair): void {
    const port = pair.from.remotePort;
    if (port !== undefined && this.#cuts.some((condition) => condition(port))) pair.swallowed = true;
  }
}

function pass(pair: Pair, from: Socket, to: Socket): void {
  from.on('data', (chunk: Buffer) => {
    if (pair.swallowed || to.destroyed) return;
    if (!to.write(chunk)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  });
}

/** Whether a local TCP port belongs to a socket of a process. */
export function ownsPort(pid: number, port: number): boolean {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(hex)) inodes.add(`socket:[${fields[9]}]`);
  }
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))) return true;
    } catch {
      // Closed meanwhile.
    }
  }
  return false;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
