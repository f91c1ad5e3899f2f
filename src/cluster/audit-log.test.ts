import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FakeClock } from '../lib/fake-clock.ts';
import { openAudit, openAuditLog } from './audit-log.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'audit-'));
});
after(() => rm(directory, { recursive: true, force: true }));

const DAY = 86_400_000;
const line = 'x'.repeat(600 * 1024);

test('a file that would become too big is put aside under the time; old ones and too many go', async () => {
  const clock = new FakeClock(Date.parse('2026-01-02T15:04:05Z'));
  const logPath = join(directory, 'audit.log');
  const settings = { policyFile: '', logPath, maxSizeMiB: 1, maxAgeDays: 3, maxBackups: 2 };
  const write = await openAuditLog(settings, clock);
  await write([line]);
  assert.deepEqual(await readdir(directory), ['audit.log']);
  await write([line, line]);
  const aside = (await readdir(directory)).sort();
  assert.deepEqual(aside, ['audit-2026-01-02T15-04-05.000.log', 'audit-2026-01-02T15-04-05.001.log', 'audit.log']);
  for (const name of aside) assert.equal(await readFile(join(directory, name), 'utf8'), `${line}\n`);
  await writeFile(join(directory, 'audit-notes.log'), 'not ours');
  await clock.advance(DAY);
  await write([line]);
  assert.deepEqual((await readdir(directory)).sort(), [
    'audit-2026-01-02T15-04-05.001.log',
    'audit-2026-01-03T15-04-05.000.log',
    'audit-notes.log',
    'audit.log',
  ]);
  // Whoever opens it again goes on where it ends.
  const again = await openAuditLog(settings, clock);
  await clock.advance(4 * DAY);
  await again([line]);
  assert.deepEqual((await readdir(directory)).sort(), [
    'audit-2026-01-07T15-04-05.000.log',
    'audit-notes.log',
    'audit.log',
  ]);
});

test('a policy that is none is told with its file', async () => {
  const policyFile = join(directory, 'policy.yaml');
  const clock = new FakeClock(0);
  const open = () => openAudit({ policyFile, logPath: '-' }, clock);
  await assert.rejects(open(), /the audit policy .*policy\.yaml cannot be used: ENOENT/);
  await writeFile(policyFile, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n');
  await assert.rejects(open(), /cannot be used: loaded illegal policy with 0 rules/);
  await writeFile(policyFile, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n');
  assert.equal((await open()).policy.rules.length, 1);
});
