// A client of the cluster's DNS during a drill: by UDP, each question on a socket of its own.
import { createSocket } from 'node:dgram';
import packet from 'dns-packet';
import type { Clock } from '../../lib/clock.ts';
import type { Attempt } from './open-loop.ts';

export interface DnsProbeOptions {
  /** An IPv4 address, and its port. Default 53. */
  readonly server: string;
  readonly port?: number;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Asks for the name's address, and once more when no good answer comes. Never rejects. */
export async function askDns(name: string, options: DnsProbeOptions, signal: AbortSignal): Promise<Attempt<string>> {
  let error = '';
  for (let retries = 0; retries < 2 && !signal.aborted; retries++) {
    try {
      return { outcome: 'ok', value: await queryOnce(name, options), retries };
    } catch (failure) {
      error = (failure as Error).message;
    }
  }
  return { outcome: 'refused', error, retries: 1 };
}

function queryOnce(name: string, { server, port = 53, clock, timeoutMs }: DnsProbeOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    let isOver = false;
    const done = (finish: () => void): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      socket.close();
      finish();
    };
    const failed = (error: Error): void => done(() => reject(error));
    const timer = clock.timer(timeoutMs, () => failed(new Error(`no answer within ${timeoutMs} ms`)));
    socket.on('error', failed);
    socket.on('message', (message) => {
      try {
        const address = addressIn(message);
        done(() => resolve(address));
      } catch (error) {
        failed(error as Error);
      }
    });
    // Without a route it is this callback that is told, not the event; the types do not know that.
    const connected = (error?: Error): void => {
      if (error) failed(error);
      else socket.send(question(name));
    };
    socket.connect(port, server, connected);
  });
}

function question(name: string): Buffer {
  const questions = [{ type: 'A' as const, name }];
  return packet.encode({ type: 'query', id: 1, flags: packet.RECURSION_DESIRED, questions });
}

/** Throws when there is none, and for what is no message of DNS. */
function addressIn(message: Buffer): string {
  const answer = packet.decode(message).answers?.find(({ type }) => type === 'A');
  if (!answer || !('data' in answer)) throw new Error('the name is not known');
  return String(answer.data);
}
