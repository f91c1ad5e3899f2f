import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { realEnvironment } from '../../platform/environment.ts';
import { openAudit } from '../audit-log.ts';
import { layoutOf } from '../layout.ts';
import { ensureClusterPki } from '../pki.ts';
import { DEFAULTS, type Settings } from '../settings.ts';
import { keepPolicy } from './host-audit.ts';
import { type ClusterPlan, hostPlace, hostSettings, writeHost } from './host-files.ts';
import { newTopology } from './topology.ts';

const POLICY = 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n';

test('each server of a cluster has the policy and a log of its own; workers have neither', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'audit-ha-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const policyFile = join(root, 'policy.yaml');
  await writeFile(policyFile, POLICY);
  const layout = layoutOf(root, 'lab');
  const topology = newTopology({
    cluster: 'lab',
    network: '172.30.9.0/24',
    controlPlanes: 2,
    workers: 1,
    keepalived: false,
  });
  const audit = { policyFile, logPath: '/var/log/kubernetes/audit.log', maxSizeMiB: 7, maxBackups: 3 };
  const settings: Settings = {
    ...{ ...DEFAULTS, name: 'lab', advertiseAddress: '172.30.9.11', nodeName: 'lab', split: true, simulatedNodes: 0 },
    ...{ profile: 'fast', topology, audit },
  };
  const env = realEnvironment('silent');
  const plan: ClusterPlan = { layout, settings, topology, env, program: ['tsukube'] };
  await ensureClusterPki(layout, settings, env);
  await keepPolicy(layout, settings);
  // The file may go once the cluster is there: servers that join later get what was kept.
  await rm(policyFile);
  const [first, second, worker] = topology.hosts;
  for (const host of [first!, second!]) {
    const { directory, layout: own } = hostPlace(layout, host.name);
    await writeHost(plan, host, { members: [first!.name, second!.name], joins: false });
    const told = JSON.parse(await readFile(own.settings, 'utf8')) as Settings;
    assert.deepEqual(told.audit, {
      ...{ policyFile: join(directory, 'etc', 'audit-policy.yaml'), logPath: join(directory, 'audit', 'audit.log') },
      ...{ maxSizeMiB: 7, maxBackups: 3 },
    });
    assert.equal(await readFile(told.audit!.policyFile, 'utf8'), POLICY);
    const { sink } = await openAudit(told.audit!, env.clock);
    await sink([host.name]);
    assert.equal(await readFile(told.audit!.logPath, 'utf8'), `${host.name}\n`);
    assert.equal((await stat(join(directory, 'audit'))).mode & 0o777, 0o700);
  }
  assert.equal(hostSettings(plan, worker!).audit, undefined);
  const spoken = { ...plan, settings: { ...settings, audit: { ...audit, logPath: '-' } } };
  assert.equal(hostSettings(spoken, first!).audit?.logPath, '-');
});

test('a policy that cannot be used is told of before anything starts', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'audit-ha-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const policyFile = join(root, 'policy.yaml');
  await writeFile(policyFile, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n');
  const settings = { audit: { policyFile, logPath: 'audit.log' } } as Settings;
  await assert.rejects(keepPolicy(layoutOf(root, 'lab'), settings), /the audit policy .*policy\.yaml cannot be used: /);
  await keepPolicy(layoutOf(root, 'lab'), {} as Settings);
});
