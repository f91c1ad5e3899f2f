import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FAULTS } from './faults.ts';
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts';

const run = promisify(execFile);

/** A rolling update of two pods a node, while nodes fail and come back, leaders are stopped and killed, and everything else. */
const OPTIONS: Omit<SimulationOptions, 'seed'> = { nodes: 24, durationMs: 90_000, faults: FAULTS };
const SEED = 2;

/** The same in a process of its own: nothing that this process has done before can matter there. */
async function inFreshProcess(seed: number): Promise<string> {
  const module = new URL('./simulation.ts', import.meta.url).href;
  const script = `
    const { simulate } = await import(${JSON.stringify(module)});
    const { digest } = await simulate(${JSON.stringify({ ...OPTIONS, seed })});
    process.stdout.write(digest);`;
  const args = ['--input-type=module', '--eval', script];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = await run(process.execPath, args, { cwd: fileURLToPath(new URL('.', import.meta.url)), env });
  return stdout;
}

let first: Promise<SimulationResult> | undefined;
const firstRun = (): Promise<SimulationResult> => (first ??= simulate({ ...OPTIONS, seed: SEED }));

test('the same seed is the same run, in this process and in another; another seed is another run', async () => {
  const one = await firstRun();
  const two = await simulate({ ...OPTIONS, seed: SEED });
  assert.deepEqual(two.timeline, one.timeline);
  assert.equal(two.digest, one.digest);
  assert.equal(await inFreshProcess(SEED), one.digest);
  assert.notEqual((await simulate({ ...OPTIONS, seed: SEED + 1 })).digest, one.digest);
});

test('a rolling update with failing nodes and fallen leaders keeps every invariant, and ends where it should', async () => {
  const result = await firstRun();
  assert.deepEqual(result.violations, []);
  assert.ok(result.convergedMs !== undefined);
  const did = result.timeline.map(({ what }) => what);
  for (const what of [
    /rolls out/,
    /falls silent/,
    /is back/,
    /controllers-\S+ is stopped/,
    /is continued/,
    /is killed/,
  ]) {
    assert.ok(
      did.some((one) => what.test(one)),
      `the run has ${what}`,
    );
  }
  // A check that looked at nothing says nothing.
  assert.ok(result.checked.deliveries > 1_000);
  assert.ok(result.checked.leaderWrites > 300);
});
