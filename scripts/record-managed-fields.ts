// Asks upstream's API server what managedFields the writes of managed-writes.ts leave behind, and records its answers:
// `node scripts/record-managed-fields.ts DIR-OF-BINARIES [first of three ports]`. etcd comes from the PATH.
import { createPublicKey } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apiVersionOf, Tables } from '../src/api/tables.ts';
import { MANAGED_WRITES, type ManagedWrite, NAMESPACE } from '../src/apiserver/registry/testdata/managed-writes.ts';
import { applyMergePatch } from '../src/machinery/patch/merge.ts';
import { type Access, clientCertificate, Processes, prepare, ready, startEtcd } from './bench/contestant.ts';

const OUT = join(import.meta.dirname, '../src/apiserver/registry/testdata/managed-fields.json');
const [binaries, firstPort = '9800'] = process.argv.slice(2);
if (!binaries) throw new Error('where are the binaries?');
const port = Number(firstPort);
const tables = new Tables();

interface Answer {
  readonly kind?: string;
  readonly metadata?: { readonly managedFields?: readonly object[] };
  readonly message?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly details?: { readonly causes?: readonly object[] };
}

const PATCH_TYPES: { readonly [how: string]: string } = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
  force: 'application/apply-patch+yaml',
};

const directory = await mkdtemp(join(tmpdir(), 'tsukube-managed-fields-'));
const processes = new Processes(directory);
try {
  const access = await startServer();
  for (const [kind, body] of [
    ['namespaces', { metadata: { name: NAMESPACE } }],
    [`namespaces/${NAMESPACE}/serviceaccounts`, { metadata: { name: 'default' } }],
  ] as const) {
    await call(access, 'POST', `/api/v1/${kind}`, 'application/json', body);
  }
  const recorded: { [scenario: string]: object[] } = {};
  for (const [scenario, writes] of Object.entries(MANAGED_WRITES)) {
    recorded[scenario] = [];
    for (const one of writes) recorded[scenario].push(outcome(await perform(access, one)));
  }
  await writeFile(OUT, `${JSON.stringify(recorded, null, 1)}\n`);
} finally {
  await processes.close();
  await rm(directory, { recursive: true, force: true });
}

async function startServer(): Promise<Access> {
  const { layout, pki } = await prepare(join(directory, 'cluster'), port);
  const etcd = await startEtcd(processes, port + 1);
  const key = (name: string): string => join(layout.pki, name);
  await writeFile(key('sa.pub'), createPublicKey(pki.serviceAccountKey).export({ type: 'spki', format: 'pem' }));
  const start = performance.now();
  const pid = await processes.start('kube-apiserver', join(binaries!, 'kube-apiserver'), [
    `--etcd-servers=${etcd.url}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${directory}`,
    `--tls-cert-file=${key('apiserver.crt')}`,
    `--tls-private-key-file=${key('apiserver.key')}`,
    `--client-ca-file=${key('ca.crt')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${key('sa.key')}`,
    `--service-account-key-file=${key('sa.pub')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=RBAC',
  ]);
  const apiServer = { name: 'kube-apiserver', pid };
  await ready({ name: 'upstream', port, pki, processes, apiServer, serving: [pid], start });
  return { port, ca: pki.ca.certificate, ...clientCertificate(pki, 'admin', ['system:masters']) };
}

async function perform(access: Access, write: ManagedWrite): Promise<Answer> {
  const { how, name, manager } = write;
  const [path = '', subresource] = write.resource.split('/');
  const dot = path.indexOf('.');
  const [resource, group] = dot < 0 ? [path, ''] : [path.slice(0, dot), path.slice(dot + 1)];
  const row = tables.preferred(group, resource)!;
  const namespaced = row.namespaced ? `/namespaces/${NAMESPACE}` : '';
  const collection = `${group === '' ? '/api/v1' : `/apis/${apiVersionOf(row)}`}${namespaced}/${resource}`;
  const query = `?fieldManager=${manager}${how === 'force' ? '&force=true' : ''}`;
  const named = { apiVersion: apiVersionOf(row), kind: row.kind, metadata: { name } };
  const whole = (): object => applyMergePatch(named, write.body);
  if (how === 'create') return call(access, 'POST', collection + query, 'application/json', whole());
  const one = `${collection}/${name}`;
  const place = `${one}${subresource === undefined ? '' : `/${subresource}`}${query}`;
  if (how === 'put') {
    const current = await call(access, 'GET', one, 'application/json');
    return call(access, 'PUT', place, 'application/json', applyMergePatch(current as object, write.body));
  }
  const body = how === 'apply' || how === 'force' ? whole() : write.body;
  return call(access, 'PATCH', place, PATCH_TYPES[how]!, body);
}

function outcome(answer: Answer): object {
  if (answer.kind !== 'Status') return { managedFields: (answer.metadata?.managedFields ?? []).map(withoutTime) };
  const { code, reason, message, details } = answer;
  return { code, reason, message, causes: details?.causes };
}

function withoutTime(entry: { time?: string }): object {
  const { time: _, ...rest } = entry;
  return rest;
}

function call(access: Access, method: string, path: string, contentType: string, body?: unknown): Promise<Answer> {
  const { ca, certificate: cert, key } = access;
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': contentType, accept: 'application/json' };
    const req = request({ host: '127.0.0.1', port, method, path, ca, cert, key, headers, agent: false }, (res) => {
      const pieces: Buffer[] = [];
      res.on('data', (piece: Buffer) => pieces.push(piece));
      res.on('end', () => resolve(JSON.parse(Buffer.concat(pieces).toString()) as Answer));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
