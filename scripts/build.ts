// Builds dist/main.js: the whole program as one file, so that start-up pays for no module resolution and no type stripping.
// Native packages stay outside, beside it in node_modules.
import { rename, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const started = performance.now();
const temporary = `dist/main.${process.pid}.js`;
await build({
  entryPoints: ['src/main.ts'],
  outfile: temporary,
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  sourcemap: 'inline',
  legalComments: 'none',
  // lmdb loads a native addon. The others look files up beside themselves.
  external: ['lmdb'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
await rename(temporary, 'dist/main.js');
await rm(`${temporary}.map`, { force: true });
if (process.stderr.isTTY) process.stderr.write(`tsukube: built in ${Math.round(performance.now() - started)} ms\n`);
