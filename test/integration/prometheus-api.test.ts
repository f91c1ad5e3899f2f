// Debian's Prometheus, unchanged, scrapes the API server with a service account's token, as long as that may read metrics.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { killProcess, passingCluster } from './crash.ts';
import { debianPackage } from './debian-packages.ts';
import { eventually, requireBuilt, type TestCluster } from './harness.ts';
import { freePort } from './relay.ts';

requireBuilt();

const PORT = 9207;
const GENEROUS_MS = 60_000;
const ANSWER_MS = 10_000;
const ACCOUNT = ['-n', 'default'];

interface Target {
  readonly health: string;
  readonly lastError: string;
  readonly lastScrape: string;
}

test('Prometheus scrapes the API server', async (t) => {
  const cluster = await passingCluster(t, 'prometheus', { simulated: true });
  await cluster.tsukube(['up', '--simulated', '1', '--port', String(PORT)]);
  await cluster.tsukube(['kubectl', 'version']);
  await cluster.kubectl(['create', 'serviceaccount', 'prometheus', ...ACCOUNT]);
  await cluster.kubectl(['create', 'clusterrole', 'metrics', '--verb=get', '--non-resource-url=/metrics']);
  const bind = ['clusterrolebinding', 'metrics'];
  await cluster.kubectl(['create', ...bind, '--clusterrole=metrics', '--serviceaccount=default:prometheus']);
  const prometheus = await startPrometheus(cluster);
  try {
    await follow(cluster, prometheus, () => cluster.kubectl(['delete', ...bind]));
  } finally {
    // Before the directory goes that it writes to.
    await prometheus.end();
  }
});

/** Scraped from the start, again after the server was killed, and no longer when the right to it is gone. */
async function follow(
  cluster: TestCluster,
  { targets, query }: Prometheus,
  unbind: () => Promise<unknown>,
): Promise<void> {
  const isScraped = (since = ''): Promise<boolean> =>
    eventually(
      'the API server is scraped',
      async () => {
        const [target] = await targets();
        return target?.health === 'up' && target.lastScrape > since;
      },
      GENEROUS_MS,
    );
  await isScraped();
  assert.ok(Number(await query('sum(apiserver_request_total{job="api"})')) > 0);

  await killProcess(cluster, 'server');
  await isScraped(new Date().toISOString());

  await unbind();
  await eventually(
    'it is refused',
    async () => {
      const [target] = await targets();
      return target?.health === 'down' && target.lastError === 'server returned HTTP status 403 Forbidden';
    },
    GENEROUS_MS,
  );
}

interface Prometheus {
  end(): Promise<void>;
  targets(): Promise<readonly Target[]>;
  /** The value of a query with one result. */
  query(text: string): Promise<string | undefined>;
}

async function startPrometheus(cluster: TestCluster): Promise<Prometheus> {
  const { directory } = cluster;
  const file = (name: string): string => join(directory, name);
  await writeFile(file('token'), await cluster.kubectl(['create', 'token', 'prometheus', ...ACCOUNT]), { mode: 0o600 });
  const ca = await cluster.kubectl(['get', 'configmap', 'kube-root-ca.crt', '-o', 'jsonpath={.data.ca\\.crt}']);
  await writeFile(file('ca.crt'), ca);
  const job = {
    job_name: 'api',
    scheme: 'https',
    authorization: { credentials_file: file('token') },
    tls_config: { ca_file: file('ca.crt') },
    static_configs: [{ targets: [`127.0.0.1:${PORT}`] }],
  };
  const configuration = { global: { scrape_interval: '1s', scrape_timeout: '1s' }, scrape_configs: [job] };
  await writeFile(file('prometheus.yml'), JSON.stringify(configuration));
  const program = join(await debianPackage('prometheus'), 'usr', 'bin', 'prometheus');
  const address = `127.0.0.1:${await freePort()}`;
  const args = ['--config.file=prometheus.yml', '--storage.tsdb.path=tsdb', `--web.listen-address=${address}`];
  const child = spawn(program, args, { stdio: 'ignore', cwd: directory });
  const ask = async <T>(path: string): Promise<T> => {
    assert.equal(child.exitCode, null, 'Prometheus ended');
    const answer = await fetch(`http://${address}/api/v1/${path}`, { signal: AbortSignal.timeout(ANSWER_MS) });
    return ((await answer.json()) as { data: T }).data;
  };
  return {
    end: () => end(child),
    targets: async () => (await ask<{ activeTargets: readonly Target[] }>('targets')).activeTargets,
    query: async (text) => {
      const path = `query?query=${encodeURIComponent(text)}`;
      return (await ask<{ result: { value: [number, string] }[] }>(path)).result[0]?.value[1];
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill();
  await ended;
}
