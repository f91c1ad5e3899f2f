// Who asks: client certificate, bearer token (static or service account), nobody; then impersonation.
import type { PeerCertificate } from 'node:tls';
import { setMember } from '../../api/json.ts';
import { forbidden, StatusError } from '../../machinery/status.ts';
import type { Authorizer, UserInfo } from '../contract.ts';
import {
  SERVICE_ACCOUNT_PREFIX,
  serviceAccountGroups,
  splitServiceAccountUsername,
  type TokenAuthority,
} from './service-account-tokens.ts';

export const AUTHENTICATED = 'system:authenticated';
export const UNAUTHENTICATED = 'system:unauthenticated';

export const ANONYMOUS: UserInfo = { username: 'system:anonymous', groups: [UNAUTHENTICATED] };

/** What authentication sees of a request. */
export interface Credentials {
  /** Every value of a header, by lower-case name. */
  headers(name: string): readonly string[];
  /** All header names, lower case. */
  headerNames(): readonly string[];
  /** The client certificate's user; undefined: none was sent. Throws when it is not good. */
  certificateUser(): UserInfo | undefined;
}

export interface AuthenticateOptions {
  readonly tokens?: TokenAuthority;
  /** Token → user, as from a token file. system:authenticated is added. */
  readonly staticTokens?: ReadonlyMap<string, UserInfo>;
  /** Default true: a request without credentials is system:anonymous. */
  readonly anonymous?: boolean;
}

export interface Authenticator {
  /** The user, when the credentials tell without anything to wait for; undefined: `authenticate` has the answer. */
  atOnce(credentials: Credentials): UserInfo | undefined;
  /** Throws Unauthorized. */
  authenticate(credentials: Credentials): Promise<UserInfo>;
  /** The user of a bearer token; undefined when nobody knows it. Throws when it is known to be bad. */
  authenticateToken(token: string, audiences?: readonly string[]): Promise<AuthenticatedToken | undefined>;
}

export interface AuthenticatedToken {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
}

const unauthorized = (cause?: unknown): StatusError =>
  new StatusError('Unauthorized', 'Unauthorized', undefined, { cause });

export function createAuthenticator(options: AuthenticateOptions): Authenticator {
  const authenticateToken: Authenticator['authenticateToken'] = async (token, audiences) => {
    const known = options.staticTokens?.get(token);
    if (!known) return options.tokens?.authenticate(token, audiences);
    const own = options.tokens?.audiences ?? [];
    return { user: withGroup(known, AUTHENTICATED), audiences: (audiences ?? own).filter((one) => own.includes(one)) };
  };
  return {
    authenticateToken,
    atOnce(credentials) {
      try {
        return credentials.certificateUser();
      } catch {
        return undefined;
      }
    },
    async authenticate(credentials) {
      let problem: unknown;
      try {
        const user = credentials.certificateUser();
        if (user) return user;
      } catch (error) {
        problem = error;
      }
      const token = bearerToken(credentials);
      if (token !== undefined) {
        const found = await authenticateToken(token).catch((error: unknown) => {
          throw unauthorized(error);
        });
        if (!found) throw unauthorized(new Error('invalid bearer token'));
        return found.user;
      }
      if (problem !== undefined || options.anonymous === false) throw unauthorized(problem);
      return ANONYMOUS;
    },
  };
}

/** The token of `Authorization: Bearer`, or of the WebSocket subprotocol by which browsers send it. */
function bearerToken(credentials: Credentials): string | undefined {
  const [authorization] = credentials.headers('authorization');
  const match = authorization === undefined ? null : /^bearer +(\S.*)$/i.exec(authorization.trim());
  if (match) return match[1];
  const prefix = 'base64url.bearer.authorization.k8s.io.';
  for (const header of credentials.headers('sec-websocket-protocol')) {
    const protocol = header
      .split(',')
      .map((part) => part.trim())
      .find((part) => part.startsWith(prefix));
    if (protocol) return Buffer.from(protocol.slice(prefix.length), 'base64url').toString();
  }
  return undefined;
}

function withGroup(user: UserInfo, group: string): UserInfo {
  return user.groups.includes(group) ? user : { ...user, groups: [...user.groups, group] };
}

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** The user that a verified client certificate names: CN and O. Throws when the certificate is not for clients. */
export function userOfCertificate(certificate: PeerCertificate): UserInfo {
  const usages = certificate.ext_key_usage as readonly string[] | undefined;
  if (usages && !usages.includes(CLIENT_AUTH))
    throw new Error('the certificate is not meant for client authentication');
  const { CN, O } = certificate.subject as { CN?: string | string[]; O?: string | string[] };
  const username = Array.isArray(CN) ? CN.at(-1) : CN;
  if (!username) throw new Error('the certificate has no common name');
  const groups = O === undefined ? [] : Array.isArray(O) ? O : [O];
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  return withGroup(
    { username, groups, extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] } },
    AUTHENTICATED,
  );
}

const IMPERSONATE = 'impersonate-';
const EXTRA = 'impersonate-extra-';

const isImpersonation = (name: string): boolean => name.startsWith(IMPERSONATE);

/** The user that the request's Impersonate-* headers ask for, if `user` may; `user` when there are none. */
export function impersonate(user: UserInfo, credentials: Credentials, authorizer: Authorizer): UserInfo {
  if (!credentials.headerNames().some(isImpersonation)) return user;
  const names = credentials.headerNames().filter(isImpersonation);
  const [username] = credentials.headers('impersonate-user');
  if (!username) {
    throw new StatusError('InternalError', 'Internal error occurred: requested without impersonating a user');
  }
  const groups = credentials.headers('impersonate-group');
  const [uid] = credentials.headers('impersonate-uid');
  const extra: Record<string, string[]> = {};
  for (const name of names) {
    if (name.startsWith(EXTRA)) setMember(extra, decodeExtra(name.slice(EXTRA.length)), [...credentials.headers(name)]);
  }
  const check = checker(user, authorizer);
  const account = splitServiceAccountUsername(username);
  if (account) check('', 'serviceaccounts', account.name, account.namespace);
  else check('', 'users', username);
  for (const group of groups) check('', 'groups', group);
  if (uid) check('authentication.k8s.io', 'uids', uid);
  for (const [key, values] of Object.entries(extra)) {
    for (const value of values) check('authentication.k8s.io', 'userextras', value, '', key);
  }
  return { username, groups: impersonatedGroups(username, groups), ...(uid && { uid }), extra };
}

function checker(user: UserInfo, authorizer: Authorizer) {
  return (group: string, resource: string, name: string, namespace = '', subresource = ''): void => {
    const attributes = { verb: 'impersonate', group, version: 'v1', resource, subresource, namespace, name };
    const { allowed, reason } = authorizer.authorize(user, attributes);
    if (!allowed) throw forbidden({ group, resource }, name, reason);
  };
}

function impersonatedGroups(username: string, asked: readonly string[]): string[] {
  const account = username.startsWith(SERVICE_ACCOUNT_PREFIX) ? splitServiceAccountUsername(username) : undefined;
  const groups = asked.length === 0 && account ? serviceAccountGroups(account.namespace) : [...asked];
  const known = groups.includes(AUTHENTICATED) || groups.includes(UNAUTHENTICATED);
  if (!known) groups.push(username === ANONYMOUS.username ? UNAUTHENTICATED : AUTHENTICATED);
  return groups;
}

/** Keys of extra values are percent-encoded in header names. */
function decodeExtra(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
