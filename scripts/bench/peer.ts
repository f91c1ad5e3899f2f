// Upstream's control plane as the peer: kube-apiserver, kube-controller-manager and kube-scheduler over one etcd.
import { createPublicKey } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeKubeconfig, printKubeconfig } from '../../src/client/kubeconfig.ts';
import { type Contestant, clientCertificate, Processes, prepare, ready, startEtcd } from './contestant.ts';

/**
 * Starts the binaries in `binaries` with etcd from the PATH. TLS, Node and RBAC authorization, default admission with
 * NodeRestriction, etcd syncing every write. Uses `port` and the four after it.
 */
export async function startPeer(options: {
  readonly directory: string;
  readonly port: number;
  readonly binaries: string;
}): Promise<Contestant> {
  const { directory, port, binaries } = options;
  const { layout, settings, pki } = await prepare(join(directory, 'cluster'), port);
  const processes = new Processes(directory);
  const etcd = await startEtcd(processes, port + 1);
  const key = (name: string): string => join(layout.pki, name);
  // Upstream verifies by a file of public keys; it takes none out of a PKCS #8 private key.
  const publicKey = createPublicKey(pki.serviceAccountKey).export({ type: 'spki', format: 'pem' });
  await writeFile(key('sa.pub'), publicKey);
  const start = performance.now();
  const apiServer = await processes.start('kube-apiserver', join(binaries, 'kube-apiserver'), [
    `--etcd-servers=${etcd.url}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${directory}`,
    `--tls-cert-file=${key('apiserver.crt')}`,
    `--tls-private-key-file=${key('apiserver.key')}`,
    `--client-ca-file=${key('ca.crt')}`,
    `--service-account-issuer=https://kubernetes.default.svc.${settings.clusterDomain}`,
    `--service-account-signing-key-file=${key('sa.key')}`,
    `--service-account-key-file=${key('sa.pub')}`,
    `--service-cluster-ip-range=${settings.serviceCidr}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
  ]);
  const contestant = await ready({
    name: 'upstream 1.20.2',
    port,
    pki,
    processes,
    apiServer: { name: 'kube-apiserver', pid: apiServer },
    serving: [apiServer, etcd.pid],
    start,
  });
  const kubeconfig = async (user: string): Promise<string> => {
    const { certificate, key: privateKey } = clientCertificate(pki, user);
    const server = `https://127.0.0.1:${port}`;
    const config = makeKubeconfig({ name: 'peer', server, ca: pki.ca.certificate, certificate, key: privateKey });
    const file = join(directory, `${user.replaceAll(':', '-')}.kubeconfig`);
    await writeFile(file, printKubeconfig(config), { mode: 0o600 });
    return file;
  };
  await processes.start('kube-controller-manager', join(binaries, 'kube-controller-manager'), [
    `--kubeconfig=${await kubeconfig('system:kube-controller-manager')}`,
    `--service-account-private-key-file=${key('sa.key')}`,
    `--root-ca-file=${key('ca.crt')}`,
    '--use-service-account-credentials=true',
    `--cert-dir=${directory}`,
    '--port=0',
    `--secure-port=${port + 3}`,
  ]);
  await processes.start('kube-scheduler', join(binaries, 'kube-scheduler'), [
    `--kubeconfig=${await kubeconfig('system:kube-scheduler')}`,
    `--cert-dir=${directory}`,
    '--port=0',
    `--secure-port=${port + 4}`,
  ]);
  return contestant;
}
