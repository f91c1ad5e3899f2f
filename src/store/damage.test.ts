import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { open as openLmdb } from 'lmdb';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { never, put, remove } from './contract.suite.ts';
import type { Store } from './contract.ts';
import { openEmbeddedStore } from './embedded.ts';
import { DamagedStoreError } from './lmdb-check.ts';
import { FORMAT_VERSION } from './lmdb-records.ts';

const PAGE = 4096;

function open(directory: string): Store {
  return openEmbeddedStore({ directory, clock: new FakeClock(), log: silentLog });
}

/** What a reader finds: every key with its value and revision, and the store's revision. */
async function contents(store: Store): Promise<unknown> {
  const { items, revision } = await store.list({ prefix: '', signal: never });
  return { revision, items: items.map((item) => `${item.key}@${item.revision} ${item.value}`) };
}

/** Where entries of trees say what they are: their lengths, flags and keys, and the checksums of records. */
function entriesOf(image: Buffer): number[] {
  const places: number[] = [];
  for (let page = 2; image.length / PAGE > page; page++) {
    const start = page * PAGE + 24;
    if (image.readUInt16LE(start - 6) !== 2) continue;
    for (let i = 0; image.readUInt16LE(start - 4) / 2 > i; i++) {
      const node = start + image.readUInt16LE(start + 2 * i);
      for (let byte = 0; 8 + image.readUInt16LE(node + 6) + 7 > byte; byte++) places.push(node + byte);
    }
  }
  return places;
}

describe('a data file that is not what was written is refused, never opened wrong', () => {
  const root = mkdtempSync(join(tmpdir(), 'tsukube-damage-'));
  let places = 0;
  /** The file after the last write, and as it was some writes before. */
  let image: Buffer;
  let earlier: Buffer;
  let expected: unknown;

  before(async () => {
    const directory = join(root, 'original');
    let store = open(directory);
    const text = (i: number): string => `${i} `.padEnd(i % 9 === 0 ? 9_000 : 40 + 31 * (i % 20), 'abcdefg');
    const revisions: number[] = [];
    // One commit each, so that pages are freed and used again and branches are split.
    for (let i = 0; 90 > i; i++)
      revisions.push(await put(store, `/registry/things/${i % 60}`, text(i), revisions[i - 60] ?? 0));
    for (let i = 30; 45 > i; i++) await remove(store, `/registry/things/${i}`, revisions[i]!);
    await store.compact(70, never);
    await store.close();
    earlier = readFileSync(join(directory, 'data.mdb'));
    store = open(directory);
    for (let i = 0; 6 > i; i++) await put(store, `/registry/others/${i}`, text(i));
    expected = await contents(store);
    await store.close();
    image = readFileSync(join(directory, 'data.mdb'));
  });
  after(() => rmSync(root, { recursive: true }));

  /** Opens a copy with these bytes: true when it was refused; fails when it opens with other contents. */
  async function isRefused(bytes: Buffer | undefined, what: string): Promise<boolean> {
    const directory = join(root, String(places++));
    mkdirSync(directory);
    writeFileSync(join(directory, 'made'), '');
    if (bytes) writeFileSync(join(directory, 'data.mdb'), bytes);
    try {
      let store: Store;
      try {
        store = open(directory);
      } catch (error) {
        assert.ok(error instanceof DamagedStoreError, `${what}: ${(error as Error).stack}`);
        assert.match(error.message, /^the store in .* is damaged \(.+\); restore it from a snapshot, or remove it/);
        return true;
      }
      assert.deepEqual(await contents(store), expected, what);
      // What is written next harms nothing either.
      await put(store, '/next', 'x'.repeat(5_000));
      await store.close();
      const again = open(directory);
      const { items } = await again.list({ prefix: '/registry/', signal: never });
      assert.deepEqual(
        items.map((item) => `${item.key}@${item.revision} ${item.value}`),
        (expected as { items: string[] }).items,
        what,
      );
      await again.close();
      return false;
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  test('as it was written it opens', async () => {
    assert.equal(await isRefused(image, 'unharmed'), false);
  });

  test('a flipped bit, anywhere', async () => {
    let refused = 0;
    const at = fc.oneof(
      { weight: 1, arbitrary: fc.nat(2 * PAGE - 1).map((i) => ((i % PAGE) % 170) + Math.floor(i / PAGE) * PAGE) },
      { weight: 3, arbitrary: fc.nat(image.length - 1) },
      { weight: 2, arbitrary: fc.nat(image.length / PAGE - 1).chain((page) => fc.nat(80).map((i) => page * PAGE + i)) },
      { weight: 3, arbitrary: fc.constantFrom(...entriesOf(image)) },
    );
    const flip = fc.asyncProperty(at, fc.nat(7), async (offset, bit) => {
      const bytes = Buffer.from(image);
      bytes[offset]! ^= 1 << bit;
      if (await isRefused(bytes, `bit ${bit} of byte ${offset % PAGE} of page ${Math.floor(offset / PAGE)}`)) refused++;
    });
    await fc.assert(flip, { numRuns: RUNS });
    // The rest of the file is free: pages of the past.
    assert.ok(refused > RUNS / 10, `${refused} of ${RUNS} were refused`);
  });

  test('a sector of zeros or of something else', async () => {
    const sector = fc.asyncProperty(fc.nat(image.length / 512 - 1), fc.boolean(), async (number, isZero) => {
      const bytes = Buffer.from(image);
      bytes.fill(isZero ? 0 : 0xa5, number * 512, number * 512 + 512);
      await isRefused(bytes, `sector ${number}`);
    });
    await fc.assert(sector, { numRuns: RUNS / 4 });
  });

  test('a page that kept its old contents', async () => {
    for (let page = 0; earlier.length / PAGE > page; page++) {
      const bytes = Buffer.from(image);
      earlier.copy(bytes, page * PAGE, page * PAGE, (page + 1) * PAGE);
      await isRefused(bytes, `page ${page} as it was`);
    }
  });

  test('a file that is cut short, empty or gone', async () => {
    const lengths = [0, 1, 100, PAGE - 1, PAGE, PAGE + 1];
    for (let length = 2 * PAGE; image.length > length; length += PAGE) lengths.push(length, length + 1_000);
    let refused = 0;
    for (const length of lengths) if (await isRefused(image.subarray(0, length), `cut to ${length}`)) refused++;
    assert.ok(refused > lengths.length / 2, `${refused} of ${lengths.length}`);
    assert.ok(await isRefused(undefined, 'without its file'));
    const directory = join(root, 'empty');
    mkdirSync(directory);
    writeFileSync(join(directory, 'made'), '');
    assert.throws(() => open(directory), /\(it has no data file\)/);
    writeFileSync(join(directory, 'data.mdb'), '');
    assert.throws(() => open(directory), /\(its data file is empty\)/);
  });

  test('the state before the newest, dressed up as the newest', async () => {
    const bytes = Buffer.from(image);
    const transactions = [0, 1].map((page) => bytes.readUInt32LE(page * PAGE + 24 + 128));
    const older = transactions[0]! > transactions[1]! ? 1 : 0;
    bytes.writeUInt32LE(transactions[1 - older]! + 1, older * PAGE + 24 + 128);
    assert.ok(await isRefused(bytes, 'the older state'));
  });

  test('the newest state, dressed down as the one before the last', async () => {
    // Its number may be one bit away from the one before the last: then the last acknowledged write would be gone.
    const bytes = Buffer.from(image);
    const transactions = [0, 1].map((page) => bytes.readUInt32LE(page * PAGE + 24 + 128));
    const newer = transactions[0]! > transactions[1]! ? 0 : 1;
    bytes.writeUInt32LE(transactions[newer]! - 2, newer * PAGE + 24 + 128);
    assert.ok(await isRefused(bytes, 'the newest state'));
  });

  test('an entry of the list of free pages that is another', async () => {
    const newest = [0, 1]
      .map((page) => page * PAGE + 24)
      .sort((a, b) => image.readUInt32LE(b + 128) - image.readUInt32LE(a + 128))[0]!;
    const freeRoot = image.readUInt32LE(newest + 24 + 40) * PAGE;
    const node = freeRoot + 24 + image.readUInt16LE(freeRoot + 24);
    // LMDB would open it and then take no write: entries of other kinds (flags at 4), a transaction that never was (key at 8).
    for (const flag of [2, 4, 8]) {
      const bytes = Buffer.from(image);
      bytes[node + 4]! ^= flag;
      assert.ok(await isRefused(bytes, `flag ${flag}`));
    }
    const bytes = Buffer.from(image);
    bytes.writeBigUInt64LE(0n, node + 8);
    assert.ok(await isRefused(bytes, 'transaction 0'));
  });

  test('an entry that says another length than it has', async () => {
    // LMDB would move its neighbours by that length when it removes it.
    const bytes = Buffer.from(image);
    const newest = [0, 1]
      .map((page) => page * PAGE + 24)
      .sort((a, b) => image.readUInt32LE(b + 128) - image.readUInt32LE(a + 128))[0]!;
    const freeRoot = image.readUInt32LE(newest + 24 + 40) * PAGE;
    assert.equal(image.readUInt16LE(freeRoot + 18), 2, 'the list has one page');
    assert.ok(image.readUInt16LE(freeRoot + 20) > 2, 'of several entries');
    // The one that lies before another: the bytes after its own are there.
    const at = Math.min(...[0, 1].map((i) => image.readUInt16LE(freeRoot + 24 + 2 * i)));
    const node = freeRoot + 24 + at;
    bytes.writeUInt32LE(bytes.readUInt32LE(node) + 8, node);
    assert.ok(await isRefused(bytes, 'a longer entry'));
  });

  test('a record whose key is no revision any more', async () => {
    const directory = join(root, 'first');
    const store = open(directory);
    await put(store, '/a', 'x');
    await put(store, '/b', 'x');
    await put(store, '/a', 'y', 1);
    await store.compact(3, never);
    await store.close();
    const bytes = readFileSync(join(directory, 'data.mdb'));
    // The first one's with one bit less is a number far below 1, where nobody looks for records; the last one's with one more
    // is a text.
    for (const [key, bit, why] of [
      [REVISION_2, 4, '1 of 2 records are found'],
      [REVISION_3, 8, 'a record has no revision'],
      [REVISION_3, 32, 'a record has no revision'],
    ] as const) {
      const harmed = Buffer.from(bytes);
      for (let at = harmed.indexOf(key); at >= 0; at = harmed.indexOf(key, at + 1)) harmed[at]! ^= bit;
      writeFileSync(join(directory, 'data.mdb'), harmed);
      assert.throws(() => open(directory), new RegExp(`^DamagedStoreError: .* is damaged \\(${why}\\); restore`));
    }
  });

  test('an empty tree that says otherwise', async () => {
    const directory = join(root, 'nothing');
    await open(directory).close();
    const empty = readFileSync(join(directory, 'data.mdb'));
    const at = empty.lastIndexOf('records\0') + 8;
    for (const [offset, what] of [
      [6, 'a depth'],
      [8, 'a branch'],
      [40, 'a root'],
    ] as const) {
      const bytes = Buffer.from(empty);
      bytes[at + offset]! ^= 1;
      writeFileSync(join(directory, 'data.mdb'), bytes);
      assert.throws(() => open(directory), DamagedStoreError, what);
    }
  });

  test('a page that is in use among the free ones', async () => {
    const newest = [0, 1]
      .map((page) => page * PAGE + 24)
      .sort((a, b) => image.readUInt32LE(b + 128) - image.readUInt32LE(a + 128))[0]!;
    const freeRoot = image.readUInt32LE(newest + 24 + 40) * PAGE;
    const mainRoot = image.readUInt32LE(newest + 24 + 48 + 40);
    assert.equal(image.readUInt16LE(freeRoot + 18), 2, 'the list has one page');
    const bytes = Buffer.from(image);
    // The first entry of the first list: after its key of eight bytes and its length.
    const node = freeRoot + 24 + image.readUInt16LE(freeRoot + 24);
    bytes.writeBigInt64LE(BigInt(mainRoot), node + 8 + 8 + 8);
    assert.ok(await isRefused(bytes, 'a free page in use'));
  });

  test('another compacted revision', async () => {
    const bytes = Buffer.from(image);
    for (let at = bytes.indexOf('compacted70 '); at >= 0; at = bytes.indexOf('compacted70 ', at + 1))
      bytes.write('6', at + 9);
    assert.ok(!bytes.equals(image));
    assert.ok(await isRefused(bytes, 'compacted up to 60'));
  });
});

const RUNS = 400;
/** As LMDB orders them. */
const REVISION_2 = Buffer.from('14000000', 'hex');
const REVISION_3 = Buffer.from('14008000', 'hex');
const CURRENT_FORMAT = `${FORMAT_VERSION} ${crc32(String(FORMAT_VERSION)).toString(16)}`;

test('a store of format 2, which had no checksum of its format, is brought up to date', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'tsukube-store-'));
  t.after(() => rmSync(path, { recursive: true }));
  let store = open(path);
  await put(store, '/a', '1');
  await store.close();
  const format = async (value?: string): Promise<string | undefined> => {
    const root = openLmdb({ path, noSubdir: false, overlappingSync: false });
    const meta = root.openDB<string, string>({ name: 'meta', encoding: 'string' });
    if (value) await meta.put('format', value);
    const found = meta.get('format');
    await root.close();
    return found;
  };
  await format('2');
  store = open(path);
  assert.deepEqual(await contents(store), { revision: 1, items: ['/a@1 1'] });
  await store.close();
  assert.equal(await format(), CURRENT_FORMAT);
  // What one flipped bit makes of any of the three is damage, not a format of the future.
  for (const value of ['3', '0', '5', CURRENT_FORMAT.replace('3', '7')]) {
    await format(value);
    assert.throws(() => open(path), DamagedStoreError);
  }
});

test('a store of format 1, which had no checksums, is brought up to date', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'tsukube-store-'));
  t.after(() => rmSync(path, { recursive: true }));
  const old = openLmdb<Buffer, number>({ path, noSubdir: false, overlappingSync: false, encoding: 'binary' });
  const records = old.openDB<Buffer, number>({ name: 'records', encoding: 'binary' });
  const meta = old.openDB<string, string>({ name: 'meta', encoding: 'string' });
  // Flags, length of the key, [expiry], key, value: three live keys, one of them with a time to live, and a deletion.
  records.putSync(3, Buffer.from('\x00\x00\x02/aone', 'latin1'));
  records.putSync(6, Buffer.from('\x00\x00\x02/btwo', 'latin1'));
  const expiring = Buffer.from('\x02\x00\x02........./cthree'.replace('.........', '........'), 'latin1');
  expiring.writeDoubleBE(1e15, 3);
  records.putSync(7, expiring);
  records.putSync(8, Buffer.from('\x01\x00\x02/a', 'latin1'));
  meta.putSync('format', '1');
  meta.putSync('compacted', '5');
  await old.close();
  for (let time = 0; 2 > time; time++) {
    const store = open(path);
    assert.deepEqual(await contents(store), { revision: 8, items: ['/b@6 two', '/c@7 three'] });
    await store.close();
  }
  const now = openLmdb({ path, noSubdir: false, overlappingSync: false });
  assert.equal(now.openDB<string, string>({ name: 'meta', encoding: 'string' }).get('format'), CURRENT_FORMAT);
  await now.close();
  assert.ok(statSync(join(path, 'made')).isFile());
});

test('a store whose making was interrupted begins anew', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'tsukube-store-'));
  t.after(() => rmSync(path, { recursive: true }));
  writeFileSync(join(path, 'data.mdb'), '');
  const store = open(path);
  assert.equal(await put(store, '/a', '1'), 1);
  await store.close();
});
