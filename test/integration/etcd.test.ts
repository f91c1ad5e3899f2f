// The store over a real etcd of three members.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { PROFILES } from '../../src/cluster/profiles.ts';
import { sleep } from '../../src/lib/clock.ts';
import { realEnvironment } from '../../src/platform/environment.ts';
import { never, type StoreUnderTest, storeContract } from '../../src/store/contract.suite.ts';
import { openEtcdStore } from '../../src/store/etcd/open.ts';
import { Members } from './etcd-members.ts';

const env = realEnvironment('silent');
const timings = PROFILES.fast.etcd;
/** What ends by itself in the suite does so within this, but for the last part, which shows that the rest stays. */
const LONGEST_WAIT_MS = 12_000;
const CHECKSUM_BYTES = 32;

let members: Members;

before(async () => {
  members = await Members.start({ env, count: 3 });
});
after(() => members?.stop());

storeContract('etcd', async (): Promise<StoreUnderTest> => {
  const { store, rpc } = openEtcdStore({
    endpoints: members.endpoints,
    tls: members.tls,
    env,
    timings,
    compactionIntervalMs: 0,
  });
  await rpc.txn(
    { compare: [], success: [{ delete: { key: '\0', rangeEnd: Buffer.from([0]) } }], failure: [] },
    { signal: never },
  );
  const restored: Members[] = [];
  return {
    store,
    clock: { advance: (ms) => sleep(env.clock, Math.min(ms, LONGEST_WAIT_MS) + 1_000, never) },
    snapshotHasHistory: true,
    unordered: true,
    restore: async (snapshot) => {
      const chunks: Buffer[] = [];
      for await (const chunk of snapshot) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const sum = createHash('sha256').update(bytes.subarray(0, -CHECKSUM_BYTES)).digest();
      if (!sum.equals(bytes.subarray(-CHECKSUM_BYTES))) throw new Error('the snapshot is cut short');
      const file = join(members.directory, 'snapshot.db');
      await writeFile(file, bytes);
      const one = await Members.start({ env, count: 1, snapshot: file });
      restored.push(one);
      return openEtcdStore({ endpoints: one.endpoints, tls: one.tls, env, timings, compactionIntervalMs: 0 }).store;
    },
    dispose: async () => {
      await store.close();
      for (const one of restored) await one.stop();
    },
  };
});
