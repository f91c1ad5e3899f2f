// Kubeconfig files (client-go's clientcmd v1 Config): read, made and merged. Credential plugins are refused.
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { parse, stringify } from 'yaml';

export interface ClusterEntry {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
  readonly 'proxy-url'?: string;
}

export interface UserEntry {
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
  readonly exec?: object;
  readonly 'auth-provider'?: object;
}

export interface ContextEntry {
  readonly cluster: string;
  readonly user: string;
  readonly namespace?: string;
}

/** A kubeconfig with its lists as maps. */
export interface Kubeconfig {
  readonly clusters: ReadonlyMap<string, ClusterEntry>;
  readonly users: ReadonlyMap<string, UserEntry>;
  readonly contexts: ReadonlyMap<string, ContextEntry>;
  readonly currentContext: string;
}

export const EMPTY_KUBECONFIG: Kubeconfig = {
  clusters: new Map(),
  users: new Map(),
  contexts: new Map(),
  currentContext: '',
};

/** What a connection needs, all material read: PEM texts, not paths. */
export interface Access {
  readonly servers: readonly string[];
  readonly ca?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean;
  /** The name that the server's certificate must bear, when it is not the address's. */
  readonly tlsServerName?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly token?: string | undefined;
  /** Read anew from time to time; wins over `token`. */
  readonly tokenFile?: string | undefined;
  /** The context's default namespace. */
  readonly namespace?: string | undefined;
}

export class KubeconfigError extends Error {
  override name = 'KubeconfigError';
}

/** Reads a kubeconfig's text (YAML or JSON). Relative paths in it become absolute from `directory`. */
export function parseKubeconfig(text: string, directory = ''): Kubeconfig {
  const value: unknown = parse(text);
  if (value === null || value === undefined) return EMPTY_KUBECONFIG;
  if (typeof value !== 'object') throw new KubeconfigError('a kubeconfig is an object');
  const raw = value as { [key: string]: unknown };
  if (raw.kind !== undefined && raw.kind !== 'Config')
    throw new KubeconfigError(`kind is ${String(raw.kind)}, not Config`);
  const clusters = entries<ClusterEntry>(raw.clusters, 'cluster');
  const users = entries<UserEntry>(raw.users, 'user');
  const at = <T extends object>(entry: T, ...fields: (keyof T)[]): T => absolute(entry, directory, fields);
  return {
    clusters: mapValues(clusters, (c) => at(c, 'certificate-authority')),
    users: mapValues(users, (u) => at(u, 'client-certificate', 'client-key', 'tokenFile')),
    contexts: entries<ContextEntry>(raw.contexts, 'context'),
    currentContext: typeof raw['current-context'] === 'string' ? raw['current-context'] : '',
  };
}

/** The text of a kubeconfig, as kubectl writes it. */
export function printKubeconfig(config: Kubeconfig): string {
  const list = (map: ReadonlyMap<string, object>, key: string): object[] =>
    [...map].map(([name, value]) => ({ [key]: value, name }));
  return stringify({
    apiVersion: 'v1',
    clusters: list(config.clusters, 'cluster'),
    contexts: list(config.contexts, 'context'),
    'current-context': config.currentContext,
    kind: 'Config',
    preferences: {},
    users: list(config.users, 'user'),
  });
}

/** One kubeconfig of several, as of the files in $KUBECONFIG: the first to name a thing wins. */
export function mergeKubeconfigs(...configs: readonly Kubeconfig[]): Kubeconfig {
  return configs.reduce(
    (first, next) => ({
      clusters: new Map([...next.clusters, ...first.clusters]),
      users: new Map([...next.users, ...first.users]),
      contexts: new Map([...next.contexts, ...first.contexts]),
      currentContext: first.currentContext || next.currentContext,
    }),
    EMPTY_KUBECONFIG,
  );
}

export interface NewKubeconfig {
  /** Names the cluster and the context. */
  readonly name: string;
  /** Names the user entry. Default: the name. */
  readonly user?: string;
  readonly server: string;
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
  readonly namespace?: string;
}

/** A kubeconfig for one cluster and one user, its material inside. */
export function makeKubeconfig(of: NewKubeconfig): Kubeconfig {
  const user = of.user ?? of.name;
  const data = (text: string): string => Buffer.from(text).toString('base64');
  return {
    clusters: new Map([[of.name, { ...(of.ca && { 'certificate-authority-data': data(of.ca) }), server: of.server }]]),
    users: new Map([
      [
        user,
        {
          ...(of.certificate && { 'client-certificate-data': data(of.certificate) }),
          ...(of.key && { 'client-key-data': data(of.key) }),
          ...(of.token && { token: of.token }),
        },
      ],
    ]),
    contexts: new Map([[of.name, { cluster: of.name, user, ...(of.namespace && { namespace: of.namespace }) }]]),
    currentContext: of.name,
  };
}

/** Reads and resolves one context (default: the current one) to what a connection needs. */
export async function accessFrom(config: Kubeconfig, contextName = config.currentContext): Promise<Access> {
  const context = config.contexts.get(contextName);
  if (!context) throw new KubeconfigError(`context was not found for specified context: ${contextName}`);
  const cluster = config.clusters.get(context.cluster);
  if (!cluster?.server) throw new KubeconfigError(`cluster "${context.cluster}" has no server`);
  const user = config.users.get(context.user) ?? {};
  for (const field of ['exec', 'auth-provider', 'username'] as const) {
    if (user[field]) throw new KubeconfigError(`user "${context.user}": ${field} is not supported`);
  }
  if (cluster['proxy-url']) throw new KubeconfigError(`cluster "${context.cluster}": proxy-url is not supported`);
  const [ca, certificate, key] = await Promise.all([
    material(cluster['certificate-authority-data'], cluster['certificate-authority']),
    material(user['client-certificate-data'], user['client-certificate']),
    material(user['client-key-data'], user['client-key']),
  ]);
  return {
    servers: [cluster.server],
    ca,
    certificate,
    key,
    ...(cluster['insecure-skip-tls-verify'] && { insecureSkipTlsVerify: true }),
    tlsServerName: cluster['tls-server-name'],
    token: user.token,
    tokenFile: user.tokenFile,
    namespace: context.namespace,
  };
}

/** Reads a kubeconfig file. */
export async function readKubeconfig(path: string): Promise<Kubeconfig> {
  return parseKubeconfig(await readFile(path, 'utf8'), dirname(path));
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The access of a container with a service account's token mounted. */
export async function inClusterAccess(
  environment: { readonly [name: string]: string | undefined },
  directory = SERVICE_ACCOUNT,
): Promise<Access> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  if (!host || !port) {
    throw new KubeconfigError(
      'unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined',
    );
  }
  const address = host.includes(':') ? `[${host}]` : host;
  return {
    servers: [`https://${address}:${port}`],
    ca: await readFile(join(directory, 'ca.crt'), 'utf8'),
    tokenFile: join(directory, 'token'),
    namespace: await readFile(join(directory, 'namespace'), 'utf8').catch(() => undefined),
  };
}

async function material(data: string | undefined, path: string | undefined): Promise<string | undefined> {
  if (data) return Buffer.from(data, 'base64').toString('utf8');
  return path ? readFile(path, 'utf8') : undefined;
}

function entries<T extends object>(list: unknown, key: string): Map<string, T> {
  const found = new Map<string, T>();
  for (const item of Array.isArray(list) ? (list as { name?: unknown; [key: string]: unknown }[]) : []) {
    const value = item[key];
    // The first of a name wins, as in a merge.
    if (typeof item.name !== 'string' || found.has(item.name)) continue;
    found.set(item.name, (typeof value === 'object' && value !== null ? value : {}) as T);
  }
  return found;
}

function absolute<T extends object>(entry: T, directory: string, fields: readonly (keyof T)[]): T {
  const changed = { ...entry };
  for (const field of fields) {
    const path = entry[field];
    if (typeof path === 'string' && path !== '' && !isAbsolute(path))
      changed[field] = join(directory, path) as typeof path;
  }
  return changed;
}

function mapValues<T>(map: ReadonlyMap<string, T>, change: (value: T) => T): Map<string, T> {
  return new Map([...map].map(([name, value]) => [name, change(value)]));
}
