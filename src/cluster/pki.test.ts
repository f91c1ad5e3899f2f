import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeClock } from '../lib/fake-clock.ts';
import { realEnvironment } from '../platform/environment.ts';
import { ensureCa, ensureLeaf } from './pki.ts';

test('a certificate is kept while it is good, and made anew when it runs out, lacks a name or has another key', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'tsukube-pki-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const clock = new FakeClock();
  const env = { ...realEnvironment('silent'), clock };
  const ca = await ensureCa(directory, 'ca', 'test-ca', env);
  const leaf = (sans: readonly string[], name = 'server') =>
    ensureLeaf(directory, name, ca, { commonName: 'test', sans, usages: ['server'] }, env);
  const first = await leaf(['a']);
  assert.deepEqual(await leaf(['a']), first);
  const second = await leaf(['a', 'b']);
  assert.notEqual(second.certificate, first.certificate);

  await leaf(['a', 'b'], 'other');
  await copyFile(join(directory, 'other.key'), join(directory, 'server.key'));
  const third = await leaf(['a', 'b']);
  assert.notEqual(third.certificate, second.certificate);
  assert.ok(new X509Certificate(third.certificate).checkPrivateKey(createPrivateKey(third.key)));

  await clock.advance(300 * 86_400_000);
  assert.notEqual((await leaf(['a', 'b'])).certificate, third.certificate);
});
