import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { realEnvironment } from '../../platform/environment.ts';
import { alone } from './lock.ts';

const { clock } = realEnvironment('silent');
const never = new AbortController().signal;

function place(t: { after(end: () => void): void }) {
  const root = mkdtempSync(join(tmpdir(), 'lock-'));
  t.after(() => rmSync(root, { recursive: true }));
  return { layout: { root }, clock };
}

test('two of one cluster run one after the other, also after a failure; those of two clusters at once', async (t) => {
  const one = place(t);
  const log: string[] = [];
  let end: () => void = () => undefined;
  const first = alone(one, never, async () => {
    log.push('first begins');
    await new Promise<void>((resolve) => {
      end = resolve;
    });
    log.push('first ends');
    throw new Error('failed');
  });
  first.catch(() => undefined);
  const waits = new Promise<void>((resolve) => {
    const second = { ...one, waiting: resolve };
    void alone(second, never, async () => log.push('second')).then(() => log.push('done'));
  });
  await waits;
  await alone(place(t), never, async () => log.push('another cluster'));
  assert.deepEqual(log, ['first begins', 'another cluster']);
  end();
  await assert.rejects(first, /failed/);
  await alone(one, never, async () => log.push('third'));
  assert.ok(log.indexOf('first ends') < log.indexOf('second') || log.indexOf('second') === -1, log.join());
});

test('who waits may give up; a process that is killed gives it back', async (t) => {
  const of = place(t);
  const program = `
    const { alone } = await import(${JSON.stringify(join(import.meta.dirname, 'lock.ts'))});
    const of = { layout: { root: ${JSON.stringify(of.layout.root)} }, clock: undefined };
    await alone(of, new AbortController().signal, async () => {
      process.stdout.write('has it');
      await new Promise(() => setInterval(() => undefined, 1_000));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const stop = new AbortController();
  const waiting = (): void => stop.abort(new Error('enough'));
  await assert.rejects(
    alone({ ...of, waiting }, stop.signal, async () => assert.fail('two at once')),
    /enough/,
  );
  child.kill('SIGKILL');
  assert.equal(await alone(of, never, async () => 'mine'), 'mine');
});
