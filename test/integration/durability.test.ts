// Durability against the real disk: what the kernel was asked to do before a write was acknowledged, a power failure after any
// system call, and a disk that is full.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { HttpsClient } from '../../src/client/https.ts';
import { silentLog } from '../../src/lib/log.ts';
import { realClock } from '../../src/platform/environment.ts';
import type { Store } from '../../src/store/contract.ts';
import { StoreUnavailableError } from '../../src/store/contract.ts';
import { openEmbeddedStore } from '../../src/store/embedded.ts';
import { eventually, must, requireBuilt, run, TestCluster } from './harness.ts';
import { adminClient } from './write-load.ts';

const PAGE = 4096;
const { signal: never } = new AbortController();

/** What the writer did, in the order in which it was complete. */
type Call =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Buffer; readonly synchronous: boolean }
  /** Makes durable what was written before it began: the first `covers` calls. */
  | { readonly kind: 'sync'; readonly covers: number }
  | { readonly kind: 'acknowledged'; readonly key: string; readonly value: string };

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex');

/** Reads strace's output (-f -y -xx) for what concerns data.mdb and standard output. */
function readTrace(text: string): Call[] {
  const calls: Call[] = [];
  const synchronous = new Set<string>();
  const positions = new Map<string, number>();
  const begun = new Map<string, { text: string; at: number }>();
  for (const line of text.split('\n')) {
    const [, pid, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (!pid || !rest) continue;
    const unfinished = /^(.*) <unfinished \.\.\.>$/.exec(rest);
    if (unfinished) {
      begun.set(pid, { text: unfinished[1]!, at: calls.length });
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest);
    const beginning = resumed ? begun.get(pid) : undefined;
    const whole = beginning ? beginning.text + resumed![1] : rest;
    const covers = beginning?.at ?? calls.length;
    const [, name, args, result] = /^(\w+)\((.*)\) += (-?\d+)/.exec(whole) ?? [];
    if (!name || result!.startsWith('-')) continue;
    const [, fd, path] = /^(\d+)<([^>]*)>/.exec(args!) ?? [];
    if (name === 'openat') {
      const opened = /^(\d+)/.exec(result!)![1]!;
      synchronous.delete(opened);
      if (args!.includes('O_DSYNC')) synchronous.add(opened);
      continue;
    }
    if (fd === '1' && name === 'write') {
      const [, key, value] = /^acknowledged (\S+) (\S+)\n$/.exec(unhex(/"([^"]*)"/.exec(args!)![1]!).toString()) ?? [];
      if (key) calls.push({ kind: 'acknowledged', key, value: value! });
      continue;
    }
    if (!fd || !unhex(path!).toString().endsWith('data.mdb')) continue;
    const bytes = Buffer.concat([...args!.matchAll(/"([^"]*)"/g)].map(([, hex]) => unhex(hex!)));
    if (name === 'lseek') positions.set(fd, Number(result));
    else if (name === 'fdatasync' || name === 'fsync') calls.push({ kind: 'sync', covers });
    else if (name === 'pwrite64' || name === 'writev' || name === 'pwritev') {
      const given = name === 'writev' ? positions.get(fd)! : Number(/(\d+)$/.exec(args!)![1]);
      assert.equal(bytes.length, Number(result), whole.slice(0, 200));
      calls.push({ kind: 'write', offset: given, bytes, synchronous: synchronous.has(fd) });
      if (name === 'writev') positions.set(fd, given + bytes.length);
    } else assert.fail(`the data file is changed by ${name}`);
  }
  return calls;
}

/** A disk that forgets what was not synced. */
class Disk {
  durable: Buffer = Buffer.alloc(0);
  /** Written and not yet synced, with how many calls came before. */
  readonly pending: { readonly at: number; readonly offset: number; readonly bytes: Buffer }[] = [];

  write(at: number, call: Call & { kind: 'write' }): void {
    if (call.synchronous) this.durable = patched(this.durable, call);
    else this.pending.push({ at, ...call });
  }

  sync(covers: number): void {
    while (this.pending[0] && covers > this.pending[0].at) this.durable = patched(this.durable, this.pending.shift()!);
  }

  /** What may be there after a power failure: of what was not synced, some pages and not others. */
  after(keeps: (page: number) => boolean): Buffer {
    let image = this.durable;
    for (const { offset, bytes } of this.pending) {
      for (let start = 0; start < bytes.length; start += PAGE) {
        if (!keeps((offset + start) / PAGE)) continue;
        image = patched(image, { offset: offset + start, bytes: bytes.subarray(start, start + PAGE) });
      }
    }
    return image;
  }
}

function patched(image: Buffer, { offset, bytes }: { readonly offset: number; readonly bytes: Buffer }): Buffer {
  const longer = Buffer.alloc(Math.max(image.length, offset + bytes.length));
  image.copy(longer);
  bytes.copy(longer, offset);
  return longer;
}

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tsukube-durability-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

function open(directory: string): Store {
  return openEmbeddedStore({ directory, clock: realClock, log: silentLog });
}

test('nothing is acknowledged before it is synced: a power failure after any system call loses no acknowledged write', async (t) => {
  const directory = await scratch(t);
  const trace = join(directory, 'trace');
  const traced = 'openat,lseek,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,msync,sync_file_range';
  const writer = join(import.meta.dirname, '..', '..', 'src', 'store', 'testdata', 'acknowledging-writer.ts');
  const options = ['-f', '-y', '-xx', '-s', '1000000', '-e', `trace=${traced}`, '-o', trace];
  await must('strace', [...options, process.execPath, writer, join(directory, 'store')], { timeoutMs: 120_000 });
  const calls = readTrace(await readFile(trace, 'latin1'));
  const acknowledged = new Map<string, number>();
  const disk = new Disk();
  let syncs = 0;
  let images = 0;
  for (const [at, call] of calls.entries()) {
    if (call.kind === 'write') disk.write(at, call);
    else if (call.kind === 'sync') {
      disk.sync(call.covers);
      syncs++;
    } else acknowledged.set(call.key, Number(call.value));
    if (acknowledged.size === 0) continue;
    for (const keeps of [() => false, () => true, (page: number) => (page * 7 + at) % 3 === 0]) {
      const place = join(directory, `image-${images++}`);
      await mkdir(place);
      await writeFile(join(place, 'data.mdb'), disk.after(keeps));
      await writeFile(join(place, 'made'), '');
      const store = open(place);
      for (const [key, value] of acknowledged) {
        const { stored } = await store.get(key, never);
        const found = Number(stored?.value.toString().trimEnd());
        assert.ok(found >= value, `after call ${at}: ${key} was acknowledged as ${value} and is ${found}`);
      }
      await store.close();
      await rm(place, { recursive: true });
    }
  }
  assert.ok(acknowledged.size >= 10 && syncs >= 20, `${acknowledged.size} keys, ${syncs} syncs`);
  t.diagnostic(`${calls.length} system calls, ${syncs} syncs, ${images} power failures`);
});

/** A small disk of its own, which can be made larger. */
async function smallDisk(
  t: TestContext,
  megabytes: number,
): Promise<{ path: string; grow: (to: number) => Promise<unknown> }> {
  const path = await mkdtemp(join(tmpdir(), 'tsukube-disk-'));
  await must('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tsukube-test', path]);
  t.after(async () => {
    await must('umount', ['--lazy', path]);
    await rm(path, { recursive: true });
  });
  return { path, grow: (to) => must('mount', ['-o', `remount,size=${to}m`, path]) };
}

test('a full disk stops writes with its reason, loses nothing, and is noticed when it has room again', async (t) => {
  const { path, grow } = await smallDisk(t, 3);
  const directory = join(path, 'store');
  let store = open(directory);
  const acknowledged = new Map<string, string>();
  const write = async (i: number): Promise<void> => {
    const key = `/key/${i}`;
    const value = `${i} `.padEnd(20_000, 'x');
    const outcome = await store.write({ key, value: Buffer.from(value), expected: 0 }, never);
    if (outcome.kind === 'unknown') throw outcome.cause;
    assert.equal(outcome.kind, 'committed');
    acknowledged.set(key, value);
  };
  let i = 0;
  const isFull = (error: Error): boolean =>
    /no space left on device/i.test(`${error.message} ${(error.cause as Error)?.message}`);
  await assert.rejects(
    async () => {
      for (; i < 1_000; i++) await write(i);
      // LMDB was not asked, so there is nothing beneath: it may end the process when a write of its fails.
    },
    (error: Error) => isFull(error) && error.cause === undefined,
  );
  await assert.rejects(write(5_000), (error: Error) => error instanceof StoreUnavailableError && isFull(error));
  const check = async (): Promise<void> => {
    for (const [key, value] of acknowledged) {
      assert.equal((await store.get(key, never)).stored?.value.toString(), value);
    }
  };
  assert.ok(acknowledged.size > 50, `${acknowledged.size}`);
  await check();
  // Opened on the full disk as well.
  await store.close();
  store = open(directory);
  await check();
  await assert.rejects(write(6_000));
  await grow(20);
  await eventually('it writes again', () => write(7_000).then(() => true));
  await check();
  await store.close();
  store = open(directory);
  await check();
  await store.close();
});

test('a server on a full disk says so, answers reads and goes on when there is room', async (t) => {
  requireBuilt();
  const { path, grow } = await smallDisk(t, 24);
  const c = new TestCluster('full-disk', path);
  try {
    await c.tsukube(['up', '--simulated', '1', '--port', '9206']);
    const client = await adminClient(c);
    try {
      await fillAndGrow(t, path, client, () => grow(200));
    } finally {
      client.close();
    }
  } finally {
    await c.tsukube(['down']);
  }
});

async function fillAndGrow(
  t: TestContext,
  path: string,
  client: HttpsClient,
  grow: () => Promise<unknown>,
): Promise<void> {
  const configmaps = client.resource('configmaps');
  const make = (name: string) =>
    configmaps.create({ metadata: { namespace: 'default', name }, data: { value: 'x'.repeat(200_000) } });
  await make('before');
  await run('dd', ['if=/dev/zero', `of=${join(path, 'ballast')}`, 'bs=64k']);
  let made = 0;
  const refusal = await (async () => {
    for (; made < 100; made++) await make(`more-${made}`);
  })().then(
    () => assert.fail('the disk is not full'),
    (error: Error & { code: number }) => error,
  );
  t.diagnostic(`refused after ${made}: ${refusal.code} ${refusal.message}`);
  assert.ok(refusal.code >= 500, refusal.message);
  const later = await make('later').catch((error: Error & { code: number }) => error);
  t.diagnostic(`then: ${String(later)}`);
  assert.match(String(later), /the store cannot write: no space left on device/);
  assert.equal((await configmaps.get({ namespace: 'default', name: 'before' })).data?.value?.length, 200_000);
  await grow();
  await eventually('writes are taken again', () => make('after').then(() => true));
  const { items } = await configmaps.list({ namespace: 'default' });
  const names = new Set(items.map((item) => item.metadata.name));
  for (const name of ['before', 'after', ...Array.from({ length: made }, (_, n) => `more-${n}`)])
    assert.ok(names.has(name), name);
}
