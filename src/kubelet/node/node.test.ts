import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import type { Node } from '../../api/generated/types.ts';
import type { Client, Patch } from '../../client/contract.ts';
import type { Environment } from '../../lib/environment.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import type { CriClient } from '../cri/client.ts';
import { NodeKeeper } from './node.ts';

const CHECK_MS = 2_000;
const REPORT_MS = 60_000;

/** A node as the API holds it, and how often it was written. */
class Stored {
  node: Node | undefined;
  patches = 0;

  put(node: Node): Node {
    const resourceVersion = String(Number(this.node?.metadata.resourceVersion ?? 0) + 1);
    this.node = { ...node, metadata: { ...node.metadata, uid: 'u', resourceVersion } };
    return this.node;
  }

  readonly client = {
    resource: () => ({
      create: async (node: Node) => this.put(node),
      get: async () => this.node,
      list: async () => ({ items: this.node ? [this.node] : [], resourceVersion: '1' }),
      patch: async (_: unknown, patch: Patch) => {
        this.patches++;
        const { status } = patch.body as Node;
        const addresses = status?.addresses?.filter((address) => !('$patch' in address));
        return this.put({
          ...this.node!,
          status: { ...this.node!.status, ...status, addresses } as NonNullable<Node['status']>,
        });
      },
    }),
  } as unknown as Client;
}

const CRI = {
  status: async () => ({ status: { conditions: [] } }),
  version: async () => ({ runtimeName: 'containerd', runtimeVersion: '1' }),
  listImages: async () => [],
} as unknown as CriClient;

function keeperOf({ client }: Stored, clock: FakeClock): NodeKeeper {
  const env: Environment = { clock, random: seededRandom(1), log: silentLog, metrics: undefined as never };
  const conditions = ['RuntimeReady', 'NetworkReady'].map((type) => ({ type, status: true, reason: '', message: '' }));
  return new NodeKeeper({
    client,
    env,
    cri: { ...CRI, status: async () => ({ status: { conditions } }) } as unknown as CriClient,
    nodeName: 'n',
    nodeIPs: ['192.0.2.1'],
    port: 10250,
    version: 'v1',
    labels: {},
    taints: [],
    reserved: {},
    maxPods: 110,
    timings: { statusCheckMs: CHECK_MS, statusReportMs: REPORT_MS, leaseRetryMs: 100 },
    directory: tmpdir(),
    runtimeSeenMs: () => undefined,
  });
}

test('a node that others have called unknown says at its next look that it is well, and not only with its next report', async () => {
  const clock = new FakeClock();
  const stored = new Stored();
  const keeper = keeperOf(stored, clock);
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  const ready = (): string | undefined => stored.node?.status?.conditions?.find((c) => c.type === 'Ready')?.status;
  /** Real I/O lies between two looks: time goes on in small steps until the condition holds. */
  const until = async (what: string, holds: () => boolean, withinMs: number): Promise<void> => {
    const endMs = clock.monotonic() + withinMs;
    const patience = performance.now() + 20_000;
    while (!holds()) {
      assert.ok(clock.monotonic() < endMs && performance.now() < patience, what);
      const before = clock.monotonic();
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (clock.monotonic() === before) await clock.advance(100);
    }
  };
  await until('registers and reports', () => stored.patches === 1, REPORT_MS / 2);
  assert.equal(ready(), 'True');
  const unknown = (stored.node!.status!.conditions ?? []).map((c) => ({
    ...c,
    status: 'Unknown',
    reason: 'NodeStatusUnknown',
  }));
  stored.put({
    ...stored.node!,
    status: { ...stored.node!.status, conditions: unknown } as NonNullable<Node['status']>,
  });
  await until('reports again', () => ready() === 'True', REPORT_MS / 2);
  assert.equal(stored.patches, 2);
  stop.abort();
  await running;
});

test('labels that the node was given since its last look are learnt when asked for', async () => {
  const stored = new Stored();
  const keeper = keeperOf(stored, new FakeClock());
  const labels = (zone: string): Node => ({ metadata: { name: 'n', labels: { zone } }, spec: {} });
  const { signal } = new AbortController();
  const old = stored.put(labels('a'));
  stored.put(labels('b'));
  await keeper.refresh(signal);
  assert.equal(keeper.node?.metadata.labels?.zone, 'b');
  stored.node = old;
  await keeper.refresh(signal);
  assert.equal(keeper.node?.metadata.labels?.zone, 'b', 'what is older is not learnt');
});
