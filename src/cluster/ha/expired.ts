// Certificates that have run out, in the place of a component's own: what a drill of their expiry begins with.
import { cp, mkdir, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Environment } from '../../lib/environment.ts';
import type { Layout } from '../layout.ts';
import { issueExpired, readCa } from '../pki.ts';
import { hostPlace } from './host-files.ts';
import type { HostSpec } from './topology.ts';

export type Expiring = 'etcd' | 'server';

/** Takes effect when the component starts again. What it had is kept below `keep`, once. */
export async function expireCertificates(
  { layout, env }: { readonly layout: Layout; readonly env: Environment },
  host: HostSpec,
  component: Expiring,
  keep: string,
): Promise<void> {
  const place = hostPlace(layout, host.name);
  const directory = component === 'etcd' ? place.etcdPki : place.layout.pki;
  const names = component === 'etcd' ? ['server', 'peer'] : ['apiserver'];
  const isKept = await stat(keep).then(
    () => true,
    () => false,
  );
  if (!isKept) {
    await mkdir(keep, { recursive: true, mode: 0o700 });
    const files = names.flatMap((name) => [`${name}.crt`, `${name}.key`]);
    for (const file of files) await cp(join(directory, file), join(keep, basename(file)), { preserveTimestamps: true });
  }
  const ca = await readCa(layout.pki, component === 'etcd' ? 'etcd-ca' : 'ca');
  const sans = [host.name, host.address, 'localhost', '127.0.0.1'];
  for (const name of names) {
    const { certificate, key } = issueExpired(ca, { commonName: host.name, sans, usages: ['server', 'client'] }, env);
    await writeFile(join(directory, `${name}.crt`), certificate, { mode: 0o644 });
    await writeFile(join(directory, `${name}.key`), key, { mode: 0o600 });
  }
}
