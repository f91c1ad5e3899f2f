// Who may ask the kubelet what. Certificates of the cluster's CA and, for scrapers, bearer tokens say who; the API server's
// authorizer says what: access to the kubelet is access to sub-resources of the node.
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Client } from '../../client/contract.ts';
import type { Clock } from '../../lib/clock.ts';

export interface KubeletUser {
  readonly username: string;
  readonly groups: readonly string[];
}

export interface AccessOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodeName: string;
}

const ALLOWED_MS = 300_000;
const DENIED_MS = 30_000;
const TOKEN_MS = 120_000;
/** Answers that are kept; at the limit all are forgotten. */
const MAX_KEPT = 1000;

export class KubeletAccess {
  readonly #o: AccessOptions;
  readonly #tokens = new Map<string, { user: KubeletUser | undefined; untilMs: number }>();
  readonly #answers = new Map<string, { allowed: boolean; untilMs: number }>();

  constructor(options: AccessOptions) {
    this.#o = options;
  }

  /** Undefined: nobody that we know. */
  async authenticate(request: IncomingMessage): Promise<KubeletUser | undefined> {
    const socket = request.socket as TLSSocket;
    if (socket.authorized) {
      const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined;
      if (subject?.CN) return { username: subject.CN, groups: [subject.O ?? []].flat() };
    }
    const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    return token ? this.#reviewToken(token) : undefined;
  }

  async authorize(user: KubeletUser, verb: string, subresource: string): Promise<boolean> {
    if (user.groups.includes('system:masters')) return true;
    const key = JSON.stringify([user.username, user.groups, verb, subresource]);
    const { client, clock, nodeName } = this.#o;
    const kept = this.#answers.get(key);
    if (kept && clock.monotonic() < kept.untilMs) return kept.allowed;
    const answer = await client.resource('subjectaccessreviews.authorization.k8s.io').create({
      metadata: { name: '' },
      spec: {
        user: user.username,
        groups: user.groups,
        resourceAttributes: { verb, group: '', version: 'v1', resource: 'nodes', subresource, name: nodeName },
      },
    });
    const allowed = answer.status?.allowed ?? false;
    const untilMs = clock.monotonic() + (allowed ? ALLOWED_MS : DENIED_MS);
    remember(this.#answers, key, { allowed, untilMs });
    return allowed;
  }

  async #reviewToken(token: string): Promise<KubeletUser | undefined> {
    const { client, clock } = this.#o;
    const kept = this.#tokens.get(token);
    if (kept && clock.monotonic() < kept.untilMs) return kept.user;
    const reviews = client.resource('tokenreviews.authentication.k8s.io');
    const { status } = await reviews.create({ metadata: { name: '' }, spec: { token } });
    const { username, groups = [] } = status?.user ?? {};
    const user = status?.authenticated && username ? { username, groups } : undefined;
    remember(this.#tokens, token, { user, untilMs: clock.monotonic() + TOKEN_MS });
    return user;
  }
}

function remember<V>(cache: Map<string, V>, key: string, value: V): void {
  if (cache.size >= MAX_KEPT) cache.clear();
  cache.set(key, value);
}

/** The node's sub-resources that a path belongs to, the narrowest first: any of them suffices. */
export function subresourcesOf(path: string): readonly string[] {
  const [first = ''] = path.split('/').filter((part) => part !== '');
  if (first === 'metrics') return ['metrics'];
  if (first === 'stats') return ['stats'];
  if (first === 'logs') return ['log'];
  if (first === 'healthz') return ['healthz', 'proxy'];
  if (first === 'pods' || first === 'runningpods') return ['pods', 'proxy'];
  if (first === 'configz') return ['configz', 'proxy'];
  return ['proxy'];
}

const VERBS: { readonly [method: string]: string | undefined } = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

export function verbOf(method: string): string {
  return VERBS[method] ?? '';
}
