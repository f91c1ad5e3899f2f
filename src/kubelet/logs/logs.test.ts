import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FakeClock } from '../../lib/fake-clock.ts';
import { until } from '../../lib/test-until.ts';
import { parseLogLine, timeNanos } from './parse.ts';
import { type LogOptions, readLog } from './read.ts';
import { tailText } from './tail.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'logs-'));
});
after(() => rm(directory, { recursive: true }));

const line = (second: number, text: string, { stream = 'stdout', tag = 'F' } = {}): string =>
  `2026-01-01T00:00:${String(second).padStart(2, '0')}.000000001Z ${stream} ${tag} ${text}\n`;

async function read(path: string, options: Partial<LogOptions> = {}): Promise<string> {
  let text = '';
  await readLog(
    path,
    { follow: false, timestamps: false, ...options },
    {
      clock: new FakeClock(),
      signal: new AbortController().signal,
      mayGrow: async () => false,
      write: async (chunk) => {
        text += chunk.toString();
      },
    },
  );
  return text;
}

test('lines of the format, and lines that are not', () => {
  const parse = (text: string) => parseLogLine(Buffer.from(text));
  const entry = parse(line(1, 'a b  c'));
  assert.deepEqual([entry?.stream, entry?.partial, entry?.content.toString()], ['stdout', false, 'a b  c\n']);
  assert.equal(parse(line(1, 'half', { tag: 'P' }))?.content.toString(), 'half');
  assert.equal(parse(line(1, 'x', { tag: 'F:more' }))?.content.toString(), 'x\n');
  assert.equal(parse('2026-01-01T00:00:00Z stdout F \n')?.content.toString(), '\n');
  assert.equal(parse('2026-01-01T00:00:00Z stdout F\n')?.content.toString(), '\n');
  for (const bad of ['', '\n', 'no format', '2026 elsewhere F x', '2026-01-01T00:00:00Z stdout']) {
    assert.equal(parse(bad), undefined, bad);
  }
  assert.equal(timeNanos('1970-01-01T00:00:01.5Z'), 1_500_000_000n);
  assert.equal(timeNanos('1970-01-01T00:00:01.000000007Z'), 1_000_000_007n);
});

test('whole, tail, since, limit, timestamps, one stream', async () => {
  const path = join(directory, 'a.log');
  await writeFile(
    path,
    line(1, 'one') + line(2, 'oops', { stream: 'stderr' }) + line(3, 'thr', { tag: 'P' }) + line(3, 'ee'),
  );
  assert.equal(await read(path), 'one\noops\nthree\n');
  assert.equal(await read(path, { tailLines: 2 }), 'three\n');
  assert.equal(await read(path, { tailLines: 0 }), '');
  assert.equal(await read(path, { tailLines: 99 }), 'one\noops\nthree\n');
  assert.equal(await read(path, { sinceMs: Date.UTC(2026, 0, 1, 0, 0, 2) }), 'oops\nthree\n');
  assert.equal(await read(path, { limitBytes: 6 }), 'one\noo');
  assert.equal(await read(path, { stream: 'stderr' }), 'oops\n');
  assert.match(await read(path, { timestamps: true, tailLines: 2 }), /^2026-01-01T00:00:03\.000000001Z three\n$/);
  assert.equal(await tailText(path, { maxBytes: 4, maxLines: 80 }), 'ree\n');
  assert.equal(await tailText(join(directory, 'none'), { maxBytes: 4, maxLines: 80 }), '');
});

test('rotated files come first, compressed or not', async () => {
  const path = join(directory, 'r.log');
  await writeFile(`${path}.20260101-000000.gz`, gzipSync(line(1, 'oldest')));
  await writeFile(`${path}.20260102-000000`, line(2, 'old'));
  await writeFile(path, line(3, 'new'));
  assert.equal(await read(path), 'oldest\nold\nnew\n');
  assert.equal(await read(path, { tailLines: 1 }), 'new\n');
});

test('a follower sees what is added, goes on in the new file after a rotation, and ends with the container', async () => {
  const path = join(directory, 'f.log');
  await writeFile(path, line(1, 'first'));
  const clock = new FakeClock();
  let text = '';
  let running = true;
  const reading = readLog(
    path,
    { follow: true, timestamps: false },
    {
      clock,
      signal: new AbortController().signal,
      mayGrow: async () => running,
      write: async (chunk) => {
        text += chunk.toString();
      },
    },
  );
  // The file is a real one: what it takes to read it is the disk's business, so only the follower's own waits are virtual.
  const expecting = async (expected: string): Promise<void> => {
    await until(`the follower gives ${JSON.stringify(expected)}`, async () => {
      await clock.advance(1000);
      return text === expected;
    });
  };
  await expecting('first\n');
  await appendFile(path, line(2, 'second'));
  await expecting('first\nsecond\n');
  await appendFile(path, line(3, 'third'));
  await rename(path, `${path}.20260101-000000`);
  await writeFile(path, line(4, 'fourth'));
  await expecting('first\nsecond\nthird\nfourth\n');
  running = false;
  await appendFile(path, line(5, 'last'));
  await expecting('first\nsecond\nthird\nfourth\nlast\n');
  await reading;
});
