// Requests that the API server makes of other servers over HTTPS, of whose answer it wants the whole.
import type { ClientRequest } from 'node:http';
import { Agent, type AgentOptions, type RequestOptions, request } from 'node:https';

/** Answers that are larger are refused. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** Idle connections kept to one server. */
const MAX_IDLE = 16;

/** Connections to other servers, kept by the TLS settings that they were made with: so many settings at most. */
export class TlsAgents {
  /** The one that was used last stands last. */
  readonly #agents = new Map<string, Agent>();
  readonly #limit: number;

  constructor(limit: number, signal: AbortSignal) {
    this.#limit = limit;
    const end = (): void => {
      for (const agent of this.#agents.values()) agent.destroy();
      this.#agents.clear();
    };
    signal.addEventListener('abort', end, { once: true });
  }

  of(options: AgentOptions): Agent {
    const key = JSON.stringify(options);
    const agent = this.#agents.get(key) ?? new Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE, ...options });
    this.#agents.delete(key);
    this.#agents.set(key, agent);
    const [oldest] = this.#agents.keys();
    if (this.#agents.size > this.#limit && oldest !== undefined) this.#retire(oldest);
    return agent;
  }

  /** Requests under way go on; their connections end with them. */
  #retire(key: string): void {
    const agent = this.#agents.get(key)!;
    this.#agents.delete(key);
    agent.maxFreeSockets = 0;
    for (const sockets of Object.values(agent.freeSockets)) for (const socket of [...(sockets ?? [])]) socket.destroy();
  }
}

export interface WholeAnswer {
  readonly code: number;
  readonly text: string;
}

/**
 * Asks and reads the answer. A kept connection that the other side was just ending is no answer: then it is asked once more
 * on another one, so what is asked has to do no harm when it comes twice.
 */
export async function ask(options: RequestOptions, body?: string): Promise<WholeAnswer> {
  for (let again = false; ; again = true) {
    const { sent, answer } = start(options, body);
    try {
      return await answer;
    } catch (error) {
      const stale = sent.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
      if (again || !stale || options.signal?.aborted) throw error;
    }
  }
}

function start(
  options: RequestOptions,
  body: string | undefined,
): { sent: ClientRequest; answer: Promise<WholeAnswer> } {
  const sent = request(options);
  const answer = new Promise<WholeAnswer>((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) incoming.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`));
        else chunks.push(chunk);
      });
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ code: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
  });
  sent.end(body);
  return { sent, answer };
}
