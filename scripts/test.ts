// `./tsukube test`: everything that must hold, in one run: formatting and lint, types, layers, generated files, unit tests,
// and, as root on Linux, the integration tests with real containers. `--unit` leaves those out; names select files.
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';

const args = process.argv.slice(2);
const unitOnly = args.includes('--unit');
const wanted = args.filter((arg) => !arg.startsWith('--'));

function run(title: string, command: string, commandArgs: string[]): void {
  console.log(`\n# ${title}`);
  const result = spawnSync(command, commandArgs, { stdio: 'inherit' });
  if (result.status !== 0) {
    console.error(`tsukube test: ${title} failed (${result.signal ?? result.status})`);
    process.exit(1);
  }
}

function testFiles(pattern: string): string[] {
  return globSync(pattern)
    .filter((file) => wanted.length === 0 || wanted.some((word) => file.includes(word)))
    .sort();
}

if (wanted.length === 0) {
  run('format and lint', 'biome', ['check', '.']);
  run('types', 'tsc', ['--noEmit']);
  run('layers', process.execPath, ['scripts/check-imports.ts']);
  run('conformance page', process.execPath, ['scripts/conformance/page.ts', '--check']);
  const before = readFileSync('src/api/generated/types.ts', 'utf8');
  run('generated types', process.execPath, ['scripts/generate-types.ts']);
  if (before !== readFileSync('src/api/generated/types.ts', 'utf8')) {
    console.error('tsukube test: src/api/generated/types.ts was not up to date; commit what `npm run generate` wrote');
    process.exit(1);
  }
}

const node = [process.execPath, '--test', '--test-reporter=spec', '--test-timeout=600000'] as const;
const unit = testFiles('{src,scripts}/**/*.test.ts');
if (unit.length > 0) run(`unit tests (${unit.length} files)`, node[0], [...node.slice(1), ...unit]);

if (!unitOnly) {
  const integration = testFiles('test/integration/**/*.test.ts');
  if (integration.length > 0) {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) {
      console.error('tsukube test: the integration tests need Linux and root (use --unit to leave them out)');
      process.exit(1);
    }
    run('build', process.execPath, ['scripts/build.ts']);
    run('what the integration tests need from Debian', process.execPath, ['dist/main.js', 'install', '--for-tests']);
    // One file after the other: each owns the machine's network and containerd while it runs.
    run(`integration tests (${integration.length} files)`, node[0], [
      ...node.slice(1),
      '--test-concurrency=1',
      ...integration,
    ]);
  }
}
