// Which store a server has: etcd when members are named, else the embedded one.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../lib/environment.ts';
import type { Store } from '../store/contract.ts';
import { openEmbeddedStore } from '../store/embedded.ts';
import type { EtcdTls } from '../store/etcd/connection.ts';
import { openEtcdStore } from '../store/etcd/open.ts';
import type { Layout } from './layout.ts';
import { PROFILES } from './profiles.ts';
import type { Settings } from './settings.ts';

/** --etcd-servers, --etcd-cafile, --etcd-certfile, --etcd-keyfile: what is not given comes from the settings and the keys' folder. */
export interface EtcdFlags {
  readonly servers?: string | undefined;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export async function openServerStore(
  layout: Layout,
  settings: Settings,
  flags: EtcdFlags,
  env: Environment,
): Promise<Store> {
  const endpoints = etcdEndpoints(settings, flags);
  if (endpoints.length === 0) {
    await mkdir(layout.store, { recursive: true, mode: 0o700 });
    return openEmbeddedStore({ directory: layout.store, clock: env.clock, log: env.log.child('store') });
  }
  const secure = endpoints.some((url) => url.startsWith('https:'));
  const timings = PROFILES[settings.profile].etcd;
  const { store } = openEtcdStore({
    endpoints,
    ...(secure && { tls: await readTls(layout, flags) }),
    env,
    timings,
    // Somebody else's etcd may advertise addresses that only it can use.
    ...(flags.servers === undefined && { membersIntervalMs: timings.membersIntervalMs }),
  });
  return store;
}

/** The member on this host comes first: nothing is nearer. */
export function etcdEndpoints(
  settings: Pick<Settings, 'etcdServers' | 'nodeName'>,
  flags: EtcdFlags,
): readonly string[] {
  const given = flags.servers?.split(',').map((url) => url.trim());
  const urls = (given ?? settings.etcdServers ?? []).filter((url) => url !== '');
  for (const url of urls) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new Error(`--etcd-servers: "${url}" is not a URL like https://host:2379`);
    }
  }
  if (given) return urls;
  const own = urls.filter((url) => new URL(url).hostname === settings.nodeName);
  return [...own, ...urls.filter((url) => !own.includes(url))];
}

async function readTls(layout: Layout, flags: EtcdFlags): Promise<EtcdTls> {
  const file = (given: string | undefined, name: string): Promise<string> =>
    readFile(given ?? join(layout.pki, 'etcd', name), 'utf8');
  const ca = await file(flags.caFile, 'ca.crt');
  // An etcd that asks for no certificates is given none.
  if (flags.caFile !== undefined && flags.certFile === undefined && flags.keyFile === undefined) return { ca };
  return { ca, certificate: await file(flags.certFile, 'client.crt'), key: await file(flags.keyFile, 'client.key') };
}
