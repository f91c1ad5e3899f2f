import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../lib/test-until.ts';
import { printLog } from './logs.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsukube-logs-'));
});
after(() => rm(directory, { recursive: true, force: true }));

/** Keeps what is printed. */
function paper() {
  const parts: string[] = [];
  return { out: (part: string) => void parts.push(part), text: () => parts.join('') };
}

async function printed(text: string, lines: number): Promise<string> {
  const file = join(directory, 'one.log');
  await writeFile(file, text);
  const host = paper();
  await printLog(host, file, { lines, follow: false }, new AbortController().signal);
  return host.text();
}

test('the last lines, however many there are', async () => {
  assert.equal(await printed('a\nb\nc\n', 2), 'b\nc\n');
  assert.equal(await printed('a\nb\nc', 2), 'b\nc');
  assert.equal(await printed('a\nb\n', 5), 'a\nb\n');
  assert.equal(await printed('a\nb\n', 0), '');
  assert.equal(await printed('', 3), '');
});

test('a character that is longer than a byte stays whole wherever a chunk ends', async () => {
  for (const shift of [0, 1, 2]) {
    const text = `${'x'.repeat(shift)}${'€'.repeat(50_000)}\n`;
    assert.ok((await printed(text, 1)) === text, `${shift} bytes before the first`);
  }
});

test('what is added is followed, over a cut, until the signal aborts', async () => {
  const file = join(directory, 'followed.log');
  await writeFile(file, 'first\n');
  const stop = new AbortController();
  const host = paper();
  const following = printLog(host, file, { lines: 10, follow: true }, stop.signal);
  await until('the beginning', () => host.text() === 'first\n');
  await appendFile(file, 'second\n');
  await until('what was added', () => host.text() === 'first\nsecond\n');
  await truncate(file, 0);
  await appendFile(file, 'third\n');
  await until('what came after the cut', () => host.text().endsWith('third\n'));
  stop.abort();
  await following;
  // One that was told to end before it began to follow ends all the same.
  await printLog(host, file, { lines: 0, follow: true }, stop.signal);
});
