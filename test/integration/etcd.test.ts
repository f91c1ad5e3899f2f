// The store over a real etcd of three members, of each version that is to be had.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PROFILES } from '../../src/cluster/profiles.ts';
import { sleep } from '../../src/lib/clock.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { never, type StoreUnderTest, storeContract } from '../../src/store/contract.suite.ts';
import { type OpenedEtcd, openEtcdStore } from '../../src/store/etcd/open.ts';
import { newerDebian } from './debian-packages.ts';
import { type EtcdPrograms, etcdPrograms, Members, type MembersOptions } from './etcd-members.ts';

const env = realEnvironment('silent');
/** The machine may be busy: what is tested here is what the store does, not how fast. */
const timings = PROFILES.default.etcd;
/** What ends by itself in the suite does so within this, but for the last part, which shows that the rest stays. */
const LONGEST_WAIT_MS = 12_000;
const CHECKSUM_BYTES = 32;
/** The oldest version that the suite is to run against besides the one that is installed. */
const NEWER = '3.5';

const installed = await etcdPrograms();
const newer = NEWER > installed.version ? await newerDebian() : undefined;
const versions = [installed, ...(newer && 'bin' in newer ? [await etcdPrograms(newer.bin)] : [])];

// Side by side: most of the time goes by in waiting for times to live.
describe('the store', { concurrency: versions.length }, () => {
  for (const programs of versions) onVersion(programs);
});
if (newer && 'missing' in newer) test(`etcd ${NEWER}`, { skip: newer.missing });

function onVersion(programs: EtcdPrograms): void {
  describe(`etcd ${programs.version}`, { concurrency: 1 }, () => {
    let members: Members;
    before(async () => {
      members = await startMembers({ count: 3, programs });
    });
    after(() => members?.stop());
    storeContract('etcd', () => open(members, programs));
  });
}

function startMembers(options: Pick<MembersOptions, 'count' | 'programs' | 'snapshot'>): Promise<Members> {
  const { heartbeatMs, electionMs } = timings;
  return Members.start({ env, heartbeatMs, electionMs, ...options });
}

async function open(members: Members, programs: EtcdPrograms): Promise<StoreUnderTest> {
  const { store, rpc } = connect(members);
  const everything = { delete: { key: '\0', rangeEnd: Buffer.from([0]) } };
  try {
    await rpc.txn({ compare: [], success: [everything], failure: [] }, { signal: never });
  } catch (error) {
    // Left open, it would keep the test's process alive.
    await store.close();
    throw error;
  }
  const restored: Members[] = [];
  return {
    store,
    // Of a time to live half passes, or it passes whole when something waits for its end: a busy machine is late at times.
    clock: { advance: (ms) => sleep(env.clock, Math.min(ms / 2, LONGEST_WAIT_MS), never) },
    snapshotHasHistory: true,
    unordered: true,
    remote: true,
    restore: async (snapshot) => {
      const chunks: Buffer[] = [];
      for await (const chunk of snapshot) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const sum = createHash('sha256').update(bytes.subarray(0, -CHECKSUM_BYTES)).digest();
      if (!sum.equals(bytes.subarray(-CHECKSUM_BYTES))) throw new Error('the snapshot is cut short');
      const file = join(members.directory, 'snapshot.db');
      await writeFile(file, bytes);
      const one = await startMembers({ count: 1, programs, snapshot: file });
      restored.push(one);
      return connect(one).store;
    },
    dispose: async () => {
      await store.close();
      for (const one of restored) await one.stop();
    },
  };
}

function connect({ endpoints, tls }: Members): OpenedEtcd {
  return openEtcdStore({ endpoints, tls, env, timings, compactionIntervalMs: 0 });
}
