import type { Pod, ServiceAccountTokenProjection, TokenRequest } from '../../api/generated/types.ts';
import type { Client } from '../../client/contract.ts';
import type { Environment } from '../../lib/environment.ts';
import { timeMs } from '../../machinery/time.ts';

interface Token {
  readonly token: string;
  readonly issuedMs: number;
  readonly expiresMs: number;
}

const DEFAULT_SECONDS = 3600;
/** However long a token lives, it is renewed daily. */
const MAX_AGE_MS = 24 * 3_600_000;
const REFRESH_SHARE = 0.8;

/** When a token is to be replaced: at 80 % of its life. */
export function tokenRefreshMs({ issuedMs, expiresMs }: Pick<Token, 'issuedMs' | 'expiresMs'>): number {
  return Math.min(issuedMs + (expiresMs - issuedMs) * REFRESH_SHARE, issuedMs + MAX_AGE_MS);
}

/** Service account tokens bound to pods, kept until they are due for renewal. */
export class TokenManager {
  readonly #client: Client;
  readonly #env: Environment;
  readonly #tokens = new Map<string, Token>();

  constructor(client: Client, env: Environment) {
    this.#client = client;
    this.#env = env;
  }

  async token(pod: Pod, projection: ServiceAccountTokenProjection, signal: AbortSignal): Promise<string> {
    const { audience = '', expirationSeconds = DEFAULT_SECONDS } = projection;
    const key = `${pod.metadata.uid}/${audience}/${expirationSeconds}`;
    const kept = this.#tokens.get(key);
    const nowMs = this.#env.clock.now();
    if (kept && nowMs < tokenRefreshMs(kept)) return kept.token;
    try {
      const token = await this.#request(pod, audience, expirationSeconds, signal);
      this.#tokens.set(key, token);
      return token.token;
    } catch (error) {
      // A token that is due but still good is better than none.
      if (kept && nowMs < kept.expiresMs) return kept.token;
      throw error;
    }
  }

  forget(uid: string): void {
    for (const key of this.#tokens.keys()) if (key.startsWith(`${uid}/`)) this.#tokens.delete(key);
  }

  async #request(pod: Pod, audience: string, expirationSeconds: number, signal: AbortSignal): Promise<Token> {
    const { name, uid = '', namespace } = pod.metadata;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: {},
      spec: {
        audiences: audience === '' ? [] : [audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    };
    const account = { namespace, name: pod.spec.serviceAccountName || 'default' };
    const answer = await this.#client.resource('serviceaccounts').createOn(account, 'token', body, signal);
    const { status } = answer as TokenRequest;
    if (!status?.token) throw new Error('the token request was answered without a token');
    const issuedMs = this.#env.clock.now();
    return {
      token: status.token,
      issuedMs,
      expiresMs: timeMs(status.expirationTimestamp) ?? issuedMs + expirationSeconds * 1000,
    };
  }
}
