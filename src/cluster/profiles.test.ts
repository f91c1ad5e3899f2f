import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DEFAULT_ELECTION } from '../client/election.ts';
import { DEFAULT_NODE_TIMINGS } from '../controllers/node-health.ts';
import { DEFAULT_EVICTION_RATES } from '../controllers/node-zones.ts';
import { PROFILE_NAMES, PROFILES } from './profiles.ts';

/** "group.row" → the value in each profile, as ARCHITECTURE.md writes it. */
function rows(): Map<string, readonly string[]> {
  const written = (group: string, row: string): string[] =>
    PROFILE_NAMES.map((name) => {
      const value = (PROFILES[name] as unknown as Record<string, Record<string, number>>)[group]![row]!;
      return value.toLocaleString('en', { maximumFractionDigits: 3 });
    });
  const groups = Object.entries(PROFILES.default) as [string, object][];
  return new Map(
    groups.flatMap(([group, of]) => Object.keys(of).map((row) => [`${group}.${row}`, written(group, row)])),
  );
}

describe('timing profiles', () => {
  for (const name of PROFILE_NAMES) {
    const { election, node, connection, balancer, server, etcd, haproxy } = PROFILES[name];

    it(`${name}: each deadline leaves room for what has to happen before it`, () => {
      assert.ok(election.renewDeadlineMs < election.leaseDurationMs);
      // client-go refuses less than its jitter.
      assert.ok(election.retryPeriodMs * 1.2 < election.renewDeadlineMs);
      assert.ok(node.graceMs >= node.leaseDurationSeconds * 1000, 'a lease that is valid is not a silent node');
      assert.ok(node.leaseRetryMs <= (node.leaseDurationSeconds * 1000) / 4);
      assert.ok(balancer.checkTimeoutMs <= balancer.checkIntervalMs);
      assert.ok(server.masterRenewMs < server.masterLeaseSeconds * 1000);
      assert.ok(server.identityRenewMs * 2 < server.identityLeaseDurationSeconds * 1000);
      assert.ok(etcd.electionMs >= 5 * etcd.heartbeatMs, 'etcd refuses less');
      assert.ok(server.storeCheckTimeoutMs < haproxy.checkTimeoutMs, 'an election of etcd ends no connection');
      assert.ok(haproxy.fastCheckIntervalMs <= haproxy.checkIntervalMs);
      assert.ok(connection.pingTimeoutMs > 0 && server.goawayChance <= 0.02, 'kube-apiserver refuses more');
    });
  }

  it('default is what the components do when nobody tells them', () => {
    const { election, node, eviction } = PROFILES.default;
    assert.deepEqual(election, DEFAULT_ELECTION);
    assert.deepEqual({ graceMs: node.graceMs, startupGraceMs: node.startupGraceMs }, DEFAULT_NODE_TIMINGS);
    const { notReadyTolerationSeconds: _, unreachableTolerationSeconds: __, ...rates } = eviction;
    assert.deepEqual(rates, DEFAULT_EVICTION_RATES);
  });

  it('fast keeps the promises of the failure budget', () => {
    const { election, node, eviction, connection, server } = PROFILES.fast;
    assert.ok(election.leaseDurationMs + election.retryPeriodMs < 2_000, 'a new pod is scheduled within 2 s');
    assert.ok(connection.pingAfterMs + connection.pingTimeoutMs < 1_000, 'a dead connection is noticed in 1 s');
    assert.ok(node.graceMs + node.monitorPeriodMs < 5_000, 'endpoints of a lost worker are gone within 5 s');
    const outageMs = 2_500;
    const renewMs = (node.leaseDurationSeconds * 1000) / 4;
    assert.ok(renewMs + outageMs + node.leaseRetryMs < node.graceMs, 'no election of etcd costs a node its pods');
    assert.ok(node.graceMs + node.monitorPeriodMs + eviction.unreachableTolerationSeconds * 1000 < 8_000);
    assert.ok(server.masterLeaseSeconds * 1000 + server.masterRenewMs < 3_000);
  });

  it('ARCHITECTURE.md says the same', async () => {
    const text = await readFile(join(import.meta.dirname, '..', '..', 'ARCHITECTURE.md'), 'utf8');
    const documented = new Map(
      [...text.matchAll(/^\| `(\w+\.\w+)` +\|([^|\n]+)\|([^|\n]+)\|/gm)].map((m) => [
        m[1]!,
        [m[2]!.trim(), m[3]!.trim()],
      ]),
    );
    assert.deepEqual(documented, rows());
  });
});
