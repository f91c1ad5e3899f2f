import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { seededRandom } from '../../lib/random.ts';
import { realClock } from '../../platform/environment.ts';
import { createCa, issue } from './certificates.ts';

const DAY_MS = 86_400_000;
const nowMs = Date.UTC(2026, 5, 1);
const random = seededRandom(1);
const ca = createCa({ commonName: 'kubernetes-ca', nowMs, validityMs: 3650 * DAY_MS, random });

test('an authority is self-signed and may sign', () => {
  const cert = new X509Certificate(ca.certificate);
  assert.equal(cert.ca, true);
  assert.equal(cert.subject, 'CN=kubernetes-ca');
  assert.ok(cert.verify(cert.publicKey));
  assert.ok(cert.checkIssued(cert));
});

test('a leaf carries name, groups, addresses, usages and validity', () => {
  const leaf = issue(ca, {
    commonName: 'system:node:a',
    organizations: ['system:nodes', 'extra'],
    sans: ['a.example', '10.0.0.7', 'fd00::7'],
    usages: ['client', 'server'],
    nowMs,
    validityMs: 365 * DAY_MS,
    random,
  });
  const cert = new X509Certificate(leaf.certificate);
  assert.ok(cert.checkIssued(new X509Certificate(ca.certificate)));
  assert.ok(cert.verify(new X509Certificate(ca.certificate).publicKey));
  assert.equal(cert.ca, false);
  assert.equal(cert.subject, 'O=system:nodes\nO=extra\nCN=system:node:a');
  assert.equal(cert.checkIP('10.0.0.7'), '10.0.0.7');
  assert.equal(cert.checkIP('fd00::7'), 'fd00::7');
  assert.equal(cert.checkHost('a.example'), 'a.example');
  assert.deepEqual(cert.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
  assert.equal(new Date(cert.validTo).getTime(), nowMs + 365 * DAY_MS);
});

test('a time beyond 2049 is written as RFC 5280 wants it', () => {
  const far = createCa({ commonName: 'far', nowMs, validityMs: 40 * 365 * DAY_MS, random });
  assert.equal(new Date(new X509Certificate(far.certificate).validTo).getUTCFullYear(), 2066);
});

test('TLS with a client certificate works both ways', async () => {
  const real = { nowMs: realClock.now(), validityMs: DAY_MS, random };
  const authority = createCa({ commonName: 'ca', ...real });
  const server = issue(authority, {
    commonName: 'kube-apiserver',
    sans: ['localhost', '127.0.0.1'],
    usages: ['server'],
    ...real,
  });
  const client = issue(authority, { commonName: 'alice', organizations: ['dev'], usages: ['client'], ...real });
  const listener = createServer({
    ...tls(server),
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: false,
  });
  listener.listen(0, '127.0.0.1');
  const accepted = new Promise<TLSSocket>((resolve) => listener.once('secureConnection', resolve));
  await new Promise((resolve) => listener.once('listening', resolve));
  const { port } = listener.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', ca: authority.certificate, ...tls(client) });
  await new Promise((resolve, reject) => socket.once('secureConnect', () => resolve(undefined)).once('error', reject));
  const peer = await accepted;
  assert.equal(peer.authorized, true);
  assert.equal(peer.getPeerCertificate().subject.CN, 'alice');
  socket.destroy();
  peer.destroy();
  await new Promise((resolve) => listener.close(resolve));
});

function tls(pair: { certificate: string; key: string }): { cert: string; key: string } {
  return { cert: pair.certificate, key: pair.key };
}
