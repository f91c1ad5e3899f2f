// Builds dist/main.js: the whole program as one file, so that start-up pays for no module resolution and no type stripping.
// Native packages stay outside, beside it in node_modules.
import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { build } from 'esbuild';
import { writeDescriptions } from './descriptions.ts';
import { withoutBugs } from './without-bugs.ts';

/** A build of its own has bugs that TSUKUBE_PLANT switches on, to see that drills notice them; no other build has. */
const plants = process.argv.includes('--plant');
const outfile = plants ? 'dist/planted/main.js' : 'dist/main.js';

const started = performance.now();
const temporary = outfile.replace('.js', `.${process.pid}.js`);
await build({
  entryPoints: ['src/main.ts'],
  outfile: temporary,
  plugins: plants ? [] : [withoutBugs],
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  // Beside the bundle: within it, it would stay in the memory of every process.
  sourcemap: 'external',
  footer: { js: '//# sourceMappingURL=main.js.map' },
  legalComments: 'none',
  // ws does without its two optional native helpers: nobody installs them beside a bundle.
  define: { 'process.env.WS_NO_BUFFER_UTIL': '"1"', 'process.env.WS_NO_UTF_8_VALIDATE': '"1"' },
  // lmdb loads a native addon. The others look files up beside themselves.
  external: ['lmdb'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
await writeDescriptions(dirname(outfile));
await rename(`${temporary}.map`, `${outfile}.map`);
await rename(temporary, outfile);
if (process.stderr.isTTY) process.stderr.write(`tsukube: built in ${Math.round(performance.now() - started)} ms\n`);
