// Builds what `npm pack` packs, below dist/npm: the library and the command as ES2022 modules that share their code, the type
// declarations that the library's users see, and the licences of what is bundled. Only native packages stay outside.
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize, relative } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { writeDescriptions } from './descriptions.ts';
import { withoutBugs } from './without-bugs.ts';

const DESTINATION = 'dist/npm';
const NATIVE = ['lmdb'];

const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> };
const temporary = `${DESTINATION}.${process.pid}`;
try {
  const { inputs, outputs } = await bundles(temporary);
  await writeDescriptions(temporary);
  checkDependencies(outputs);
  await writeFile(join(temporary, 'THIRD-PARTY-LICENSES.txt'), licences(inputs));
  await declarations(join(temporary, 'types'));
  await rm(DESTINATION, { recursive: true, force: true });
  await rename(temporary, DESTINATION);
} finally {
  await rm(temporary, { recursive: true, force: true });
}

async function bundles(directory: string): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: { main: 'src/main.ts', index: 'src/index.ts' },
    outdir: directory,
    plugins: [withoutBugs],
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'es2022',
    format: 'esm',
    legalComments: 'none',
    // ws does without its two optional native helpers: nobody installs them beside a bundle.
    define: { 'process.env.WS_NO_BUFFER_UTIL': '"1"', 'process.env.WS_NO_UTF_8_VALIDATE': '"1"' },
    external: NATIVE,
    // CommonJS packages that are bundled ask for Node's own modules with require.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    metafile: true,
    logLevel: 'warning',
  });
  return metafile;
}

/** What the bundles import, and what the package asks npm to install beside it, are the same. */
function checkDependencies(outputs: Metafile['outputs']): void {
  const imported = new Set(
    Object.values(outputs)
      .flatMap((output) => output.imports)
      .filter((one) => one.external && !isBuiltin(one.path))
      .map((one) => packageName(one.path)),
  );
  const missing = [...imported].filter((name) => !dependencies[name]);
  const needless = Object.keys(dependencies).filter((name) => !imported.has(name));
  if (missing.length > 0) throw new Error(`the bundles import what is not in dependencies: ${missing.join(', ')}`);
  if (needless.length > 0) {
    throw new Error(`bundled or unused, so they belong into devDependencies: ${needless.join(', ')}`);
  }
}

function packageName(path: string): string {
  return path
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/');
}

/** The licence texts of the packages whose code is in the bundles. */
function licences(inputs: Metafile['inputs']): string {
  const directories = new Set<string>();
  for (const file of Object.keys(inputs)) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file);
    if (found) directories.add(found[1]!);
  }
  const texts = [...directories].sort().map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
      name: string;
      version: string;
      license?: string;
    };
    const [file] = globSync(join(directory, '{LICENSE,LICENCE,license}*'));
    const text = file ? readFileSync(file, 'utf8').trim() : `License: ${license ?? 'not stated'}`;
    return `${name} ${version}\n\n${text}\n`;
  });
  return `This package contains code of these packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

/** Keeps only the declarations that index.d.ts leads to: the rest of the program is nobody's interface. */
async function declarations(directory: string): Promise<void> {
  const all = `${directory}.all`;
  execFileSync('tsc', ['-p', 'tsconfig.package.json', '--outDir', all], { stdio: ['ignore', 2, 2] });
  const waiting = ['index.d.ts'];
  for (const file of waiting) {
    const text = await readFile(join(all, file), 'utf8');
    const rewritten = text.replace(
      /((?:from |import\()["'])(\.[^"']+)\.ts(["'])/g,
      (_, before: string, path: string, after: string) => {
        const target = normalize(join(dirname(file), `${path}.d.ts`));
        if (!existsSync(join(all, target))) throw new Error(`${file} refers to ${target}, which is not there`);
        if (!waiting.includes(target)) waiting.push(target);
        return `${before}${path}.js${after}`;
      },
    );
    for (const [, outside] of rewritten.matchAll(/(?:from |import\()["']([^."'][^"']*)["']/g)) {
      if (!isBuiltin(outside!)) throw new Error(`${relative('.', file)} needs the types of ${outside}`);
    }
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await writeFile(join(directory, file), rewritten);
  }
  await rm(all, { recursive: true });
}
