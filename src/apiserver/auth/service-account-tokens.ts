// Service account tokens: JSON web tokens bound to a service account and, if asked, to a pod, secret or node, with the
// private claim `kubernetes.io` as upstream writes it. A token is good for as long as what it is bound to exists.
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { JWK, JWTPayload } from 'jose';
import type { Clock } from '../../lib/clock.ts';
import { type Random, uuid } from '../../lib/random.ts';
import type { UserInfo } from '../contract.ts';

export interface Bound {
  readonly name: string;
  readonly uid: string;
}

export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccount: Bound;
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly pod?: Bound | undefined;
  readonly secret?: Bound | undefined;
  /** The pod's node, or the node that the token itself is bound to. */
  readonly node?: Bound | undefined;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface LiveObject {
  readonly uid: string;
  /** RFC 3339; a token of a pod that is being deleted stays good for DELETION_GRACE_MS. */
  readonly deletionTimestamp?: string | undefined;
}

/** What exists now; usually the API server's caches. */
export interface TokenLookups {
  serviceAccount(namespace: string, name: string): LiveObject | undefined;
  pod(namespace: string, name: string): LiveObject | undefined;
  secret(namespace: string, name: string): LiveObject | undefined;
  node(name: string): LiveObject | undefined;
}

export interface TokenOptions {
  /** PEM, RSA (RS256) or EC P-256 (ES256). */
  readonly signingKey: string;
  /** PEM keys that also verify: earlier signing keys. */
  readonly verificationKeys?: readonly string[];
  readonly issuer: string;
  /** The API server's own audiences: the default of requests and of reviews. */
  readonly audiences: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly lookups: TokenLookups;
}

export interface TokenAuthority {
  readonly issuer: string;
  readonly audiences: readonly string[];
  issue(claims: TokenClaims): Promise<IssuedToken>;
  /**
   * The user of a token for at least one of `audiences` (default: the API server's). Undefined: not a token of this issuer.
   * Throws when it is one, and is not good.
   */
  authenticate(token: string, audiences?: readonly string[]): Promise<TokenUser | undefined>;
  /** The public keys as a JSON Web Key Set. */
  keySet(): Promise<{ keys: JWK[] }>;
}

export interface TokenUser {
  readonly user: UserInfo;
  /** Those of the audiences asked for that the token is for. */
  readonly audiences: readonly string[];
}

/** How long a token outlives the start of its pod's deletion. */
export const DELETION_GRACE_MS = 60_000;
/** Verified signatures kept; the oldest are dropped first. What a token is bound to is looked at on every use. */
export const VERIFIED_TOKENS = 4096;

export const SERVICE_ACCOUNT_PREFIX = 'system:serviceaccount:';

export function serviceAccountUsername(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;
}

export function serviceAccountGroups(namespace: string): string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
}

/** The namespace and name in a service account's user name. */
export function splitServiceAccountUsername(username: string): { namespace: string; name: string } | undefined {
  if (!username.startsWith(SERVICE_ACCOUNT_PREFIX)) return undefined;
  const [namespace, name, ...rest] = username.slice(SERVICE_ACCOUNT_PREFIX.length).split(':');
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

interface PrivateClaims {
  readonly namespace: string;
  readonly serviceaccount: Bound;
  readonly pod?: Bound;
  readonly secret?: Bound;
  readonly node?: Bound;
}

interface Key {
  readonly id: string;
  readonly algorithm: 'RS256' | 'ES256';
  readonly publicKey: KeyObject;
}

export function createTokenAuthority(options: TokenOptions): TokenAuthority {
  return new Authority(options);
}

class Authority implements TokenAuthority {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly #options: TokenOptions;
  readonly #privateKey: KeyObject;
  readonly #keys: readonly Key[];
  readonly #verified = new Map<string, JWTPayload>();

  constructor(options: TokenOptions) {
    this.issuer = options.issuer;
    this.audiences = options.audiences;
    this.#options = options;
    this.#privateKey = createPrivateKey(options.signingKey);
    this.#keys = [options.signingKey, ...(options.verificationKeys ?? [])].map(readKey);
  }

  async issue(claims: TokenClaims): Promise<IssuedToken> {
    const { SignJWT } = await import('jose');
    const issuedAt = Math.floor(this.#options.clock.now() / 1000);
    const expiresAt = issuedAt + claims.expirationSeconds;
    const { id, algorithm } = this.#keys[0]!;
    const bound: PrivateClaims = {
      namespace: claims.namespace,
      ...(claims.node && { node: claims.node }),
      ...(claims.pod && { pod: claims.pod }),
      ...(claims.secret && { secret: claims.secret }),
      serviceaccount: claims.serviceAccount,
    };
    const token = await new SignJWT({ 'kubernetes.io': bound })
      .setProtectedHeader({ alg: algorithm, kid: id })
      .setAudience([...claims.audiences])
      .setIssuer(this.issuer)
      .setSubject(serviceAccountUsername(claims.namespace, claims.serviceAccount.name))
      .setJti(uuid(this.#options.random))
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt)
      .setExpirationTime(expiresAt)
      .sign(this.#privateKey);
    return { token, expiresAtMs: expiresAt * 1000 };
  }

  async authenticate(token: string, audiences = this.audiences): Promise<TokenUser | undefined> {
    if (issuerOf(token) !== this.issuer) return undefined;
    const payload = await this.#verify(token);
    const own = typeof payload.aud === 'string' ? [payload.aud] : (payload.aud ?? []);
    const common = audiences.filter((audience) => own.includes(audience));
    if (common.length === 0) {
      throw new Error(
        `token audiences ${JSON.stringify(own)} is invalid for the target audiences ${JSON.stringify(audiences)}`,
      );
    }
    const claims = payload['kubernetes.io'] as PrivateClaims | undefined;
    if (!claims?.serviceaccount) throw new Error('service account token has no kubernetes.io claim');
    this.#checkBound(claims);
    return { user: userOf(claims, payload.jti), audiences: common };
  }

  async keySet(): Promise<{ keys: JWK[] }> {
    const { exportJWK } = await import('jose');
    const keys = this.#keys.map(async ({ id, algorithm, publicKey }) => {
      return { use: 'sig', kid: id, alg: algorithm, ...(await exportJWK(publicKey)) };
    });
    return { keys: await Promise.all(keys) };
  }

  async #verify(token: string): Promise<JWTPayload> {
    const now = this.#options.clock.now();
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#verified.get(digest);
    if (known) {
      if ((known.exp ?? 0) * 1000 <= now) throw new Error('service account token has expired');
      return known;
    }
    const { jwtVerify } = await import('jose');
    const { payload } = await jwtVerify(token, (header) => this.#keyFor(header.kid).publicKey, {
      issuer: this.issuer,
      algorithms: ['RS256', 'ES256'],
      currentDate: new Date(now),
      requiredClaims: ['exp', 'sub'],
    });
    if (this.#verified.size >= VERIFIED_TOKENS) this.#verified.delete(this.#verified.keys().next().value!);
    this.#verified.set(digest, payload);
    return payload;
  }

  #keyFor(id: string | undefined): Key {
    const key = id === undefined ? this.#keys[0] : this.#keys.find((k) => k.id === id);
    if (!key) throw new Error(`service account token is signed by an unknown key ${id}`);
    return key;
  }

  #checkBound(claims: PrivateClaims): void {
    const { lookups } = this.#options;
    const { namespace, serviceaccount, pod, secret, node } = claims;
    this.#checkLive('service account', serviceaccount, lookups.serviceAccount(namespace, serviceaccount.name));
    if (pod) this.#checkLive('pod', pod, lookups.pod(namespace, pod.name));
    if (secret) this.#checkLive('secret', secret, lookups.secret(namespace, secret.name));
    // A pod's node is a statement about the pod; only a token bound to nothing else lives and dies with the node.
    if (node && !pod && !secret) this.#checkLive('node', node, lookups.node(node.name));
  }

  #checkLive(what: string, bound: Bound, live: LiveObject | undefined): void {
    if (!live) throw new Error(`${what} ${bound.name} of the token does not exist`);
    if (live.uid !== bound.uid) throw new Error(`${what} ${bound.name} of the token has been replaced`);
    if (live.deletionTimestamp === undefined) return;
    const endMs = new Date(live.deletionTimestamp).getTime() + DELETION_GRACE_MS;
    if (this.#options.clock.now() > endMs) throw new Error(`${what} ${bound.name} of the token has been deleted`);
  }
}

const EXTRA = 'authentication.kubernetes.io/';

function userOf(claims: PrivateClaims, tokenId: string | undefined): UserInfo {
  const extra: Record<string, string[]> = {};
  if (tokenId) extra[`${EXTRA}credential-id`] = [`JTI=${tokenId}`];
  if (claims.node) {
    extra[`${EXTRA}node-name`] = [claims.node.name];
    if (claims.node.uid) extra[`${EXTRA}node-uid`] = [claims.node.uid];
  }
  if (claims.pod) {
    extra[`${EXTRA}pod-name`] = [claims.pod.name];
    extra[`${EXTRA}pod-uid`] = [claims.pod.uid];
  }
  return {
    username: serviceAccountUsername(claims.namespace, claims.serviceaccount.name),
    uid: claims.serviceaccount.uid,
    groups: [...serviceAccountGroups(claims.namespace), 'system:authenticated'],
    extra,
  };
}

/** The issuer that a token claims, unverified; undefined for what is not a JWT. */
function issuerOf(token: string): unknown {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    return (JSON.parse(Buffer.from(parts[1]!, 'base64url').toString()) as { iss?: unknown } | null)?.iss;
  } catch {
    return undefined;
  }
}

function readKey(pem: string): Key {
  const publicKey = createPublicKey(pem);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const type = publicKey.asymmetricKeyType;
  if (type !== 'rsa' && type !== 'ec') throw new Error(`service account keys are RSA or EC, not ${type}`);
  return {
    id: createHash('sha256').update(spki).digest('base64url'),
    algorithm: type === 'rsa' ? 'RS256' : 'ES256',
    publicKey,
  };
}
