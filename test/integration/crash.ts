// Clusters that a test kills parts of, and that are gone without a trace when it ends.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { BUNDLE, run, TestCluster } from './harness.ts';
import { leaked, traces } from './leaks.ts';

/** A cluster that is gone when the test ends, however it ends, and then has left nothing. */
export async function passingCluster(
  t: TestContext,
  name: string,
  { simulated }: { readonly simulated: boolean },
): Promise<TestCluster> {
  const directory = await mkdtemp(join(tmpdir(), `${name}-`));
  const made = new TestCluster(name, directory);
  const before = traces();
  t.after(async () => {
    const { code, stderr } = await run(process.execPath, [BUNDLE, 'down'], { env: made.env, timeoutMs: 120_000 });
    // Nothing of a simulated cluster is outside its directory and its processes.
    const left = leaked(before, traces()).filter((line) => !simulated || line.includes(directory));
    const isGone = !existsSync(made.root);
    await rm(directory, { recursive: true, force: true });
    assert.equal(code, 0, stderr);
    assert.deepEqual(left, []);
    assert.ok(isGone, `${made.root} is still there`);
  });
  return made;
}

export async function pidOf(of: TestCluster, file: string): Promise<number> {
  return Number(await readFile(join(of.root, 'run', `${file}.pid`), 'utf8'));
}

/** Kills a component's process without warning; returns its id. */
export async function killProcess(of: TestCluster, component: string): Promise<number> {
  const pid = await pidOf(of, component);
  assert.ok(pid > 1);
  process.kill(pid, 'SIGKILL');
  return pid;
}
