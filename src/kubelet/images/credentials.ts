// Credentials for a registry, from a pod's pull secrets. Pure.
import type { Secret } from '../../api/generated/types.ts';
import type { AuthConfig } from '../cri/types.ts';

interface DockerEntry {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identitytoken?: string;
}

const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** The registry and repository of an image's name, as the runtime will read it. */
export function imageRegistry(image: string): { host: string; path: string } {
  const slash = image.indexOf('/');
  const first = slash < 0 ? '' : image.slice(0, slash);
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const host = isHost ? first : 'docker.io';
  const rest = (isHost ? image.slice(slash + 1) : image).split('@')[0]!;
  const path = rest.replace(/:[^/:]*$/, '');
  return { host, path: host === 'docker.io' && !path.includes('/') ? `library/${path}` : path };
}

/** All credentials that apply to an image, the most specific first. Secrets that cannot be read are passed over. */
export function credentialsFor(image: string, secrets: readonly Secret[]): readonly AuthConfig[] {
  const { host, path } = imageRegistry(image);
  const found: { auth: AuthConfig; length: number }[] = [];
  for (const secret of secrets) {
    for (const [server, entry] of Object.entries(entriesOf(secret))) {
      const length = matches(server, host, path);
      if (length >= 0) found.push({ auth: authOf(entry, server), length });
    }
  }
  return found.sort((a, b) => b.length - a.length).map(({ auth }) => auth);
}

function entriesOf(secret: Secret): { readonly [server: string]: DockerEntry } {
  const read = (key: string): unknown => JSON.parse(Buffer.from(secret.data?.[key] ?? '', 'base64').toString());
  try {
    if (secret.type === 'kubernetes.io/dockerconfigjson') {
      return (read('.dockerconfigjson') as { auths?: { [server: string]: DockerEntry } }).auths ?? {};
    }
    if (secret.type === 'kubernetes.io/dockercfg') return read('.dockercfg') as { [server: string]: DockerEntry };
  } catch {
    return {};
  }
  return {};
}

/** How much of host and path a server's entry covers; -1: it does not apply. A `*` stands for one part of a host name. */
function matches(server: string, host: string, path: string): number {
  const bare = server.replace(/^https?:\/\//, '').replace(/\/(v1|v2)?\/?$/, '');
  const slash = bare.indexOf('/');
  const serverHost = slash < 0 ? bare : bare.slice(0, slash);
  const serverPath = slash < 0 ? '' : bare.slice(slash + 1).replace(/\/$/, '');
  const hub = DOCKER_HUB.includes(host) && DOCKER_HUB.includes(serverHost);
  const pattern = serverHost.split('.').map((part) => part.split('*').map(escapeRegExp).join('[^.:]*'));
  if (!hub && !new RegExp(`^${pattern.join('\\.')}$`).test(host)) return -1;
  if (serverPath !== '' && path !== serverPath && !path.startsWith(`${serverPath}/`)) return -1;
  return serverPath.length + (serverHost.includes('*') ? 0 : 1);
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function authOf({ username, password, auth, identitytoken }: DockerEntry, serverAddress: string): AuthConfig {
  const decoded = auth ? Buffer.from(auth, 'base64').toString() : '';
  const colon = decoded.indexOf(':');
  return {
    serverAddress,
    username: username ?? decoded.slice(0, Math.max(0, colon)),
    password: password ?? (colon < 0 ? '' : decoded.slice(colon + 1)),
    ...(identitytoken && { identityToken: identitytoken }),
  };
}
