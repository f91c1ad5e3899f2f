import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { FakeClock } from '../lib/fake-clock.ts';
import { never, put, remove } from './contract.suite.ts';
import { openMemoryStore } from './memory.ts';
import { readSnapshot } from './snapshot.ts';

const HEADER_2 = '{"format":"tsukube-snapshot-2","revision":45,"records":2}';

describe('a snapshot that is not what was written is refused, never restored wrong', () => {
  let bytes: Buffer;

  before(async () => {
    const store = openMemoryStore({ clock: new FakeClock() });
    for (let i = 0; 44 > i; i++) await put(store, `/a/${i % 2}`, `value ${i}`, i > 1 ? i - 1 : 0);
    await remove(store, '/b', await put(store, '/b', 'x'));
    const pieces: Buffer[] = [];
    for await (const piece of store.snapshot(never)) pieces.push(piece);
    bytes = Buffer.concat(pieces);
    await store.close();
  });

  async function read(snapshot: Buffer): Promise<string> {
    const { revision, records } = await readSnapshot(chunks(snapshot));
    return `${revision}: ${records.map((r) => `${r.key}@${r.revision} ${r.value} ${r.expiresAtMs}`)}`;
  }

  test('each bit', async () => {
    const expected = await read(bytes);
    assert.equal(expected, '46: /a/0@43 value 42 undefined,/a/1@44 value 43 undefined');
    for (let at = 0; bytes.length > at; at++) {
      for (let bit = 0; 8 > bit; bit++) {
        const harmed = Buffer.from(bytes);
        harmed[at]! ^= 1 << bit;
        const message = /^not a snapshot of this store$|^the snapshot is (damaged|cut short)$|another checksum$/;
        await assert.rejects(read(harmed), { message }, `bit ${bit} of byte ${at}`);
      }
    }
  });

  test('one of the format before, whose line had no checksum, is read', async () => {
    const rest = bytes.subarray(bytes.indexOf(10));
    const read2 = await read(Buffer.concat([Buffer.from(HEADER_2), rest]));
    assert.equal(read2, '45: /a/0@43 value 42 undefined,/a/1@44 value 43 undefined');
  });
});

async function* chunks(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let i = 0; bytes.length > i; i += 50) yield bytes.subarray(i, i + 50);
}
