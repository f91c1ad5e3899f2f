// The keys of a cluster: its CA, the key that signs service account tokens, and the certificates of its components.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createCa, issue, type KeyedCertificate, type LeafRequest } from '../apiserver/auth/certificates.ts';
import { makeKubeconfig, printKubeconfig } from '../client/kubeconfig.ts';
import type { Environment } from '../lib/environment.ts';
import type { Layout } from './layout.ts';
import { type Settings, writeFileAtomically } from './settings.ts';

const DAY_MS = 24 * 3_600_000;
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
  /** The kubelet's serving certificate. */
  readonly kubeletServer: KeyedCertificate;
}

/** Reads the cluster's keys, making what is missing, runs out, or does not name the addresses of `settings`. */
export async function ensurePki(layout: Layout, settings: Settings, env: Environment): Promise<Pki> {
  const nowMs = env.clock.now();
  const { random } = env;
  const ca = await keyed(layout, 'ca', {
    good: (certificate) => remainingMs(certificate, nowMs) > 0,
    make: () => createCa({ commonName: 'tsukube-ca', nowMs, validityMs: CA_VALIDITY_MS, random }),
  });
  const leaf = (name: string, request: Pick<LeafRequest, 'commonName' | 'organizations' | 'sans' | 'usages'>) =>
    keyed(layout, name, {
      good: (certificate) => isGood(certificate, ca, request.sans ?? [], nowMs),
      make: () => issue(ca, { ...request, nowMs, validityMs: LEAF_VALIDITY_MS, random }),
    });
  const admin = await leaf('admin', {
    commonName: 'kubernetes-admin',
    organizations: ['system:masters'],
    usages: ['client'],
  });
  const node = await leaf('node', {
    commonName: `system:node:${settings.nodeName}`,
    organizations: ['system:nodes'],
    usages: ['client'],
  });
  const pki: Pki = {
    ca,
    serviceAccountKey: await signingKey(layout),
    server: await leaf('apiserver', { commonName: 'kube-apiserver', sans: serverNames(settings), usages: ['server'] }),
    kubeletClient: await leaf('apiserver-kubelet-client', {
      commonName: 'kube-apiserver-kubelet-client',
      organizations: ['system:masters'],
      usages: ['client'],
    }),
    kubeletServer: await leaf('kubelet', {
      commonName: `system:node:${settings.nodeName}`,
      organizations: ['system:nodes'],
      sans: [settings.nodeName, settings.advertiseAddress, 'localhost', '127.0.0.1'],
      usages: ['server'],
    }),
  };
  await writeKubeconfig(layout.adminKubeconfig, settings, ca, admin, 'kubernetes-admin');
  await writeKubeconfig(layout.agent.kubeconfig, settings, ca, node, `system:node:${settings.nodeName}`);
  return pki;
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
  ];
}

async function writeKubeconfig(
  file: string,
  settings: Settings,
  ca: KeyedCertificate,
  client: KeyedCertificate,
  user: string,
): Promise<void> {
  const config = makeKubeconfig({
    name: settings.name,
    user: user === 'kubernetes-admin' ? `${settings.name}-admin` : user,
    server: `https://${settings.advertiseAddress}:${settings.port}`,
    ca: ca.certificate,
    certificate: client.certificate,
    key: client.key,
  });
  await writeFileAtomically(file, printKubeconfig(config));
}

async function keyed(
  layout: Layout,
  name: string,
  how: { good: (certificate: X509Certificate) => boolean; make: () => KeyedCertificate },
): Promise<KeyedCertificate> {
  const certificateFile = join(layout.pki, `${name}.crt`);
  const keyFile = join(layout.pki, `${name}.key`);
  const certificate = await readIfThere(certificateFile);
  const key = await readIfThere(keyFile);
  if (certificate && key) {
    const parsed = new X509Certificate(certificate);
    if (how.good(parsed)) return { certificate, key };
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

async function signingKey(layout: Layout): Promise<string> {
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
