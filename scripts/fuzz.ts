// Runs the properties of hostile input for a while, each from a new seed, which is printed: `npm run fuzz [minutes] [seed]`.
// A failure prints the smallest counterexample; the same seed finds it again.
import { spawnSync } from 'node:child_process';

const FILES = ['src/apiserver/http/hostile.prop.test.ts'];

const minutes = Number(process.argv[2] ?? 5);
const seed = Number(process.argv[3] ?? Math.floor(performance.timeOrigin % 2 ** 31));
/** Each of them gets its share of the time. */
const PROPERTIES = 7;
process.stdout.write(`fuzzing for ${minutes} minutes, seed ${seed}\n`);
const { status } = spawnSync(process.execPath, ['--test', '--test-timeout=0', ...FILES], {
  stdio: 'inherit',
  env: { ...process.env, FUZZ_MINUTES: String(minutes / PROPERTIES), FUZZ_SEED: String(seed) },
});
process.stdout.write(`seed ${seed}: ${status === 0 ? 'nothing found' : 'see above'}\n`);
process.exitCode = status ?? 1;
