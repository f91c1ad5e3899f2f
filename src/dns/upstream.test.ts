import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import dnsPacket from 'dns-packet';
import { FakeClock } from '../lib/fake-clock.ts';
import { MAX_CACHED_MS, MAX_CACHED_REPLIES, ReplyCache } from './reply-cache.ts';
import { parseResolvConf, ResolvConf } from './resolv-conf.ts';

test('name servers of a resolv.conf, without ourselves', () => {
  const text = `# comment
nameserver 10.0.0.2
  nameserver   fe80::1%eth0
nameserver 10.96.0.10
nameserver 10.0.0.2
nameserver not-an-address
search example.org
options ndots:5`;
  assert.deepEqual(
    parseResolvConf(text, ['10.96.0.10']).map((upstream) => upstream.address),
    ['10.0.0.2', 'fe80::1%eth0'],
  );
});

test('a changed resolv.conf is noticed, and one that is missing is empty', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tsukube-dns-'));
  try {
    const clock = new FakeClock();
    const conf = new ResolvConf(join(folder, 'resolv.conf'), [], clock);
    assert.deepEqual(await conf.upstreams(), []);
    await writeFile(join(folder, 'resolv.conf'), 'nameserver 10.0.0.2\n');
    assert.deepEqual(await conf.upstreams(), []);
    await clock.advance(5000);
    assert.deepEqual(await conf.upstreams(), [{ address: '10.0.0.2', port: 53 }]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

const QUESTION = { name: 'example.org', type: 'A' } as const;
const RAW = dnsPacket.encode({ type: 'query', questions: [{ ...QUESTION, name: 'eXample.org' }] }).subarray(12);

function reply(ttl: number, flags = 0): Buffer {
  const answers = [{ ...QUESTION, ttl, data: '192.0.2.1' }];
  return dnsPacket.encode({ type: 'response', id: 1, flags, questions: [QUESTION], answers });
}

test('a kept reply is given with its age taken off, to the new question', () => {
  const cache = new ReplyCache();
  cache.put('k', reply(20), 1000);
  const decoded = dnsPacket.decode(cache.get('k', 99, RAW, 8500)!);
  assert.equal(decoded.id, 99);
  assert.equal(decoded.questions![0]!.name, 'eXample.org');
  assert.equal((decoded.answers![0] as dnsPacket.StringAnswer).ttl, 13);
  assert.equal(cache.get('k', 99, RAW, 21_000), undefined);
  assert.equal(cache.size, 0);
});

test('no reply is kept for longer than the bound, nor one that may not be', () => {
  const cache = new ReplyCache();
  cache.put('long', reply(86_400), 0);
  assert.ok(cache.get('long', 1, RAW, MAX_CACHED_MS - 1));
  assert.equal(cache.get('long', 1, RAW, MAX_CACHED_MS), undefined);
  for (const bad of [reply(0), reply(60, 0x0200), reply(60, 2), Buffer.from('noise'), reply(60).subarray(0, 40)]) {
    cache.put('bad', bad, 0);
    assert.equal(cache.get('bad', 1, RAW, 1), undefined);
  }
});

test('at the bound the one that was unused for longest goes', () => {
  const cache = new ReplyCache();
  for (let i = 0; MAX_CACHED_REPLIES > i; i++) cache.put(`k${i}`, reply(30), 0);
  assert.ok(cache.get('k0', 1, RAW, 1));
  cache.put('new', reply(30), 1);
  assert.equal(cache.size, MAX_CACHED_REPLIES);
  assert.ok(cache.get('k0', 1, RAW, 2));
  assert.equal(cache.get('k1', 1, RAW, 2), undefined);
});
