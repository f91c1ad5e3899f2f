// The keys of a cluster: its CA, the key that signs service account tokens, and the certificates of its components.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createCa, issue, type KeyedCertificate, type LeafRequest } from '../apiserver/auth/certificates.ts';
import { makeKubeconfig, printKubeconfig } from '../client/kubeconfig.ts';
import type { Environment } from '../lib/environment.ts';
import type { Layout } from './layout.ts';
import { apiServersOf, type Settings, writeFileAtomically } from './settings.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const CA_VALIDITY_MS = 10 * 365 * DAY_MS;
const LEAF_VALIDITY_MS = 365 * DAY_MS;
/** A certificate with less than this left is made anew at the next start. */
const RENEW_BEFORE_MS = 90 * DAY_MS;

export interface Pki {
  readonly ca: KeyedCertificate;
  /** Signs service account tokens: EC P-256, PEM. */
  readonly serviceAccountKey: string;
  /** The API server's own certificate. */
  readonly server: KeyedCertificate;
  /** What the API server shows to kubelets. */
  readonly kubeletClient: KeyedCertificate;
  /** What the API server shows to extension API servers, and the certificate of its authority. */
  readonly frontProxy: KeyedCertificate & { readonly ca: string };
  /** The kubelet's serving certificate. */
  readonly kubeletServer: KeyedCertificate;
}

/** The part of it that an agent has. */
export interface AgentPki {
  readonly ca: Pick<KeyedCertificate, 'certificate'>;
  readonly kubeletServer: KeyedCertificate;
}

type CertificateRequest = Pick<LeafRequest, 'commonName' | 'organizations' | 'sans' | 'usages'>;

/** Reads the cluster's keys, making what is missing, runs out, or does not name the addresses of `settings`. */
export async function ensurePki(layout: Layout, settings: Settings, env: Environment): Promise<Pki> {
  const { ca, serviceAccountKey } = await ensureClusterPki(layout, settings, env);
  const leaf = (name: string, request: CertificateRequest) => ensureLeaf(layout.pki, name, ca, request, env);
  return {
    ca,
    serviceAccountKey,
    server: await leaf('apiserver', { commonName: 'kube-apiserver', sans: serverNames(settings), usages: ['server'] }),
    kubeletClient: await leaf('apiserver-kubelet-client', {
      commonName: 'kube-apiserver-kubelet-client',
      organizations: ['system:masters'],
      usages: ['client'],
    }),
    frontProxy: await ensureFrontProxy(layout, env),
    kubeletServer: await ensureNodePki(layout, settings, ca, env),
  };
}

/** An authority of its own: whoever has a certificate of it speaks for everybody towards extension API servers. */
async function ensureFrontProxy(layout: Layout, env: Environment): Promise<Pki['frontProxy']> {
  const ca = await ensureFrontProxyCa(layout.pki, env);
  const request = { commonName: 'front-proxy-client', usages: ['client'] } as const;
  return { ...(await ensureLeaf(layout.pki, 'front-proxy-client', ca, request, env)), ca: ca.certificate };
}

export function ensureFrontProxyCa(directory: string, env: Environment): Promise<KeyedCertificate> {
  return ensureCa(directory, 'front-proxy-ca', 'front-proxy-ca', env);
}

/** What every server of a cluster has, and its administrator: the CA, the key that signs tokens, the kubeconfig. */
export async function ensureClusterPki(
  layout: Layout,
  settings: Settings,
  env: Environment,
): Promise<Pick<Pki, 'ca' | 'serviceAccountKey'>> {
  const ca = await ensureCa(layout.pki, 'ca', 'tsukube-ca', env);
  const user = { commonName: 'kubernetes-admin', organizations: ['system:masters'] };
  const admin = await ensureLeaf(layout.pki, 'admin', ca, { ...user, usages: ['client'] }, env);
  await writeKubeconfig(layout.adminKubeconfig, settings, ca.certificate, admin, user.commonName);
  return { ca, serviceAccountKey: await signingKey(layout) };
}

/** A node's own: the kubelet's serving certificate, which is returned, and its kubeconfig. */
export async function ensureNodePki(
  layout: Layout,
  settings: Settings,
  ca: KeyedCertificate,
  env: Environment,
): Promise<KeyedCertificate> {
  const user = { commonName: `system:node:${settings.nodeName}`, organizations: ['system:nodes'] };
  const client = await ensureLeaf(layout.pki, 'node', ca, { ...user, usages: ['client'] }, env);
  await writeKubeconfig(layout.agent.kubeconfig, settings, ca.certificate, client, user.commonName);
  const sans = [settings.nodeName, settings.advertiseAddress, 'localhost', '127.0.0.1'];
  return ensureLeaf(layout.pki, 'kubelet', ca, { ...user, sans, usages: ['server'] }, env);
}

/**
 * What an agent needs. A worker of several hosts has no CA's key: its certificates were given to it, and are renewed when
 * it is started again.
 */
export async function agentPki(layout: Layout, settings: Settings, env: Environment): Promise<AgentPki> {
  if (!settings.apiServers) return ensurePki(layout, settings, env);
  const read = (file: string): Promise<string> => readFile(join(layout.pki, file), 'utf8');
  const kubeletServer = { certificate: await read('kubelet.crt'), key: await read('kubelet.key') };
  return { ca: { certificate: await read('ca.crt') }, kubeletServer };
}

/** A certificate authority in `directory`: NAME.crt and NAME.key, made when they are missing. */
export function ensureCa(
  directory: string,
  name: string,
  commonName: string,
  env: Environment,
): Promise<KeyedCertificate> {
  const nowMs = env.clock.now();
  return keyed(directory, name, {
    good: (certificate) => remainingMs(certificate, nowMs) > 0,
    make: () => createCa({ commonName, nowMs, validityMs: CA_VALIDITY_MS, random: env.random }),
  });
}

/** A certificate in `directory`, made anew when it is missing, runs out, is another CA's, or lacks a name. */
export function ensureLeaf(
  directory: string,
  name: string,
  ca: KeyedCertificate,
  request: CertificateRequest,
  env: Environment,
): Promise<KeyedCertificate> {
  const nowMs = env.clock.now();
  return keyed(directory, name, {
    good: (certificate) => isGood(certificate, ca, request.sans ?? [], nowMs),
    make: () => issue(ca, { ...request, nowMs, validityMs: LEAF_VALIDITY_MS, random: env.random }),
  });
}

/** The authority NAME in `directory`, which must be there. */
export async function readCa(directory: string, name: string): Promise<KeyedCertificate> {
  const read = (file: string): Promise<string> => readFile(join(directory, file), 'utf8');
  return { certificate: await read(`${name}.crt`), key: await read(`${name}.key`) };
}

/** A certificate that ran out an hour ago. */
export function issueExpired(ca: KeyedCertificate, request: CertificateRequest, env: Environment): KeyedCertificate {
  const nowMs = env.clock.now() - 2 * HOUR_MS;
  return issue(ca, { ...request, nowMs, validityMs: HOUR_MS, random: env.random });
}

/** Every name that clients may reach the API server by. */
function serverNames(settings: Settings): readonly string[] {
  const [a, b, c] = settings.serviceCidr.split('.');
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const cluster = `kubernetes.default.svc.${settings.clusterDomain}`;
  return [
    ...service,
    cluster,
    'localhost',
    settings.nodeName,
    '127.0.0.1',
    settings.advertiseAddress,
    `${a}.${b}.${c}.1`,
    ...apiServersOf(settings).map((url) => new URL(url).hostname),
  ];
}

async function writeKubeconfig(
  file: string,
  settings: Settings,
  ca: string,
  client: KeyedCertificate,
  user: string,
): Promise<void> {
  const material = { ca, certificate: client.certificate, key: client.key };
  const named = user === 'kubernetes-admin' ? `${settings.name}-admin` : user;
  // A kubeconfig's cluster has one server: each further one has a context of its own.
  const [config, ...more] = apiServersOf(settings).map((server, i) =>
    makeKubeconfig({ ...material, name: i === 0 ? settings.name : `${settings.name}-${i + 1}`, user: named, server }),
  );
  const clusters = new Map([config!, ...more].flatMap((one) => [...one.clusters]));
  const contexts = new Map([config!, ...more].flatMap((one) => [...one.contexts]));
  await writeFileAtomically(file, printKubeconfig({ ...config!, clusters, contexts }));
}

async function keyed(
  directory: string,
  name: string,
  how: { good: (certificate: X509Certificate) => boolean; make: () => KeyedCertificate },
): Promise<KeyedCertificate> {
  const certificateFile = join(directory, `${name}.crt`);
  const keyFile = join(directory, `${name}.key`);
  const certificate = await readIfThere(certificateFile);
  const key = await readIfThere(keyFile);
  if (certificate && key) {
    const parsed = new X509Certificate(certificate);
    // Whoever was interrupted between the two files has left a key that is another certificate's.
    if (parsed.checkPrivateKey(createPrivateKey(key)) && how.good(parsed)) return { certificate, key };
  }
  const made = how.make();
  await writeFileAtomically(keyFile, made.key, 0o600);
  await writeFileAtomically(certificateFile, made.certificate, 0o644);
  return made;
}

function isGood(certificate: X509Certificate, ca: KeyedCertificate, sans: readonly string[], nowMs: number): boolean {
  if (remainingMs(certificate, nowMs) < RENEW_BEFORE_MS) return false;
  if (!certificate.verify(new X509Certificate(ca.certificate).publicKey)) return false;
  return sans.every((san) => (isIP(san) ? certificate.checkIP(san) : certificate.checkHost(san)) !== undefined);
}

function remainingMs(certificate: X509Certificate, nowMs: number): number {
  return Date.parse(certificate.validTo) - nowMs;
}

async function signingKey(layout: Pick<Layout, 'pki'>): Promise<string> {
  const file = join(layout.pki, 'sa.key');
  const existing = await readIfThere(file);
  if (existing) return existing;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await writeFileAtomically(file, pem, 0o600);
  return pem;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
