import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCa } from '../../apiserver/auth/certificates.ts';
import { realRandom } from '../../platform/environment.ts';
import { PROFILES } from '../profiles.ts';
import { haproxyConfig, keepalivedConfig } from './balancer-config.ts';
import { etcdCommand } from './etcd-config.ts';
import { HEAL_RULES, partitionRules } from './partition.ts';

const servers = [1, 2, 3].map((n) => ({ name: `cp-${n}`, address: `10.0.0.${n}` }));

test('HAProxy takes its configuration', (t) => {
  if (!existsSync('/usr/sbin/haproxy')) return t.skip('haproxy is not installed');
  const directory = mkdtempSync(join(tmpdir(), 'haproxy-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const caFile = join(directory, 'ca.crt');
  const now = { nowMs: Date.parse('2026-01-01T00:00:00Z'), validityMs: 1e11 };
  writeFileSync(caFile, createCa({ commonName: 'test', ...now, random: realRandom }).certificate);
  for (const timings of [PROFILES.default.haproxy, PROFILES.fast.haproxy]) {
    const file = join(directory, 'haproxy.cfg');
    writeFileSync(file, haproxyConfig({ servers, caFile, timings }));
    execFileSync('/usr/sbin/haproxy', ['-c', '-q', '-f', file], { stdio: 'pipe' });
  }
});

test('keepalived takes its configuration', (t) => {
  const link = Object.entries(networkInterfaces()).find(([, all]) => all?.some((one) => !one.internal))?.[0];
  if (!existsSync('/usr/sbin/keepalived') || !link) return t.skip('keepalived is not installed, or has no interface');
  const directory = mkdtempSync(join(tmpdir(), 'keepalived-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const timings of [PROFILES.default.keepalived, PROFILES.fast.keepalived]) {
    const file = join(directory, 'keepalived.conf');
    const text = keepalivedConfig({ host: servers[1]!, all: servers, virtualAddress: '10.0.0.100', timings });
    assert.match(text, /unicast_peer \{\n {4}10\.0\.0\.1\n {4}10\.0\.0\.3\n/);
    writeFileSync(file, text.replaceAll('eth0', link));
    execFileSync('/usr/sbin/keepalived', ['--config-test', `--use-file=${file}`], { stdio: 'pipe' });
  }
});

test('a member of etcd: by name towards others, at its address here', () => {
  const options = {
    program: '/opt/etcd',
    name: 'cp-4',
    address: '10.0.0.4',
    dataDir: '/d',
    pkiDir: '/p',
    cluster: 'lab',
    members: ['cp-2', 'cp-3', 'cp-4'],
    joins: true,
    timings: PROFILES.fast.etcd,
  };
  const [program, ...flags] = etcdCommand(options);
  assert.equal(program, '/opt/etcd');
  assert.ok(flags.includes('--initial-advertise-peer-urls=https://cp-4:2380'));
  assert.ok(flags.includes('--listen-peer-urls=https://10.0.0.4:2380'));
  assert.ok(flags.includes('--initial-cluster=cp-2=https://cp-2:2380,cp-3=https://cp-3:2380,cp-4=https://cp-4:2380'));
  assert.ok(flags.includes('--initial-cluster-state=existing'));
  assert.ok(flags.includes('--election-timeout=500') && flags.includes('--pre-vote=true'));
  assert.ok(etcdCommand({ ...options, joins: false }).includes('--initial-cluster-state=new'));
});

test('partitions: both ways or one, everything or some ports', () => {
  const rules = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('add rule'));
  const base = 'add rule bridge partition forward';
  assert.deepEqual(rules(partitionRules({ from: ['cp-1'], to: ['cp-2', 'machine'] })), [
    `${base} iifname { "cp-1" } oifname { "cp-2", "machine" } drop`,
    `${base} iifname { "cp-2", "machine" } oifname { "cp-1" } drop`,
  ]);
  assert.deepEqual(rules(partitionRules({ from: ['cp-1'], to: ['cp-2'], oneWay: true, ports: [2380] })), [
    `${base} iifname { "cp-1" } oifname { "cp-2" } tcp dport { 2380 } drop`,
    `${base} iifname { "cp-1" } oifname { "cp-2" } tcp sport { 2380 } drop`,
  ]);
  assert.match(HEAL_RULES, /^add table .*\ndelete table/);
});
