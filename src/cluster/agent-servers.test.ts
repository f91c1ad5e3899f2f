import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Tables } from '../api/tables.ts';
import { httpsClient } from '../client/https.ts';
import { accessFrom, parseKubeconfig } from '../client/kubeconfig.ts';
import { until } from '../lib/test-until.ts';
import { realEnvironment } from '../platform/environment.ts';
import { shownServers, showServers } from './agent-servers.ts';
import { startEmbeddedCluster } from './embedded-cluster.ts';

test('what an agent knows of the API servers can be read beside it: who answers, and that nobody does any more', async (t) => {
  const run = mkdtempSync(join(tmpdir(), 'agent-servers-'));
  t.after(() => rmSync(run, { recursive: true }));
  const env = realEnvironment('silent');
  const cluster = await startEmbeddedCluster(env, {});
  const access = await accessFrom(parseKubeconfig(cluster.kubeconfig));
  const client = httpsClient({ access, tables: new Tables(), clock: env.clock, connectTimeoutMs: 1_000 });
  const stop = new AbortController();
  assert.equal(await shownServers({ run }), undefined);
  const showing = showServers(client, { layout: { run }, clock: env.clock }, stop.signal);
  try {
    await client.resource('namespaces').list({});
    await until('the connection is shown', async () => {
      const [one] = (await shownServers({ run })) ?? [];
      return one?.isHealthy === true && one.connections === 1 && one.answeredBy.includes('kubernetes');
    });
    await cluster.dispose();
    await assert.rejects(client.resource('namespaces').list({}));
    await until('that nobody answers is shown', async () => {
      const [one] = (await shownServers({ run })) ?? [];
      return one !== undefined && !one.isHealthy && one.connections === 0 && one.answeredBy.length === 0;
    });
  } finally {
    stop.abort();
    await showing;
    client.close();
    await cluster.dispose();
  }
});
