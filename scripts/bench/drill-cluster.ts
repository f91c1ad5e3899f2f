// A highly available cluster for drills: one that runs already, or one of its own that is taken down at the end.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { layoutOf } from '../../src/cluster/layout.ts';
import type { ProfileName } from '../../src/cluster/profiles.ts';
import { readSettings } from '../../src/cluster/settings.ts';
import { Stage } from '../../src/drills/failover/stage.ts';
import { realEnvironment } from '../../src/platform/environment.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const BUNDLE = process.env.TSUKUBE_BUNDLE ?? join(REPOSITORY, 'dist', 'main.js');
const IMAGE = 'docker.io/library/drill-web:1';
const COMMAND_WITHIN_MS = 300_000;

export interface DrillCluster {
  readonly stage: Stage;
  /** It ran before, and stays. */
  readonly isBorrowed: boolean;
  close(): Promise<void>;
}

const run = promisify(execFile);

/** Ready, with the service's image on every node. TSUKUBE_NAME and TSUKUBE_DATA_DIR name a cluster that is to be used. */
export async function drillCluster(profile: ProfileName, keep: boolean, signal: AbortSignal): Promise<DrillCluster> {
  const own = process.env.TSUKUBE_DATA_DIR === undefined;
  const directory = process.env.TSUKUBE_DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'tsukube-drill-')));
  const name = process.env.TSUKUBE_NAME ?? 'drill';
  const env = {
    ...process.env,
    TSUKUBE_DATA_DIR: directory,
    TSUKUBE_NAME: name,
    KUBECONFIG: join(directory, 'user-kubeconfig'),
  };
  const tsukube = async (args: readonly string[], within?: AbortSignal): Promise<string> => {
    const options = { env, timeout: COMMAND_WITHIN_MS, maxBuffer: 1 << 26, ...(within && { signal: within }) };
    return (await run(process.execPath, [BUNDLE, ...args], options)).stdout;
  };
  const layout = layoutOf(directory, name);
  const isBorrowed = (await readSettings(layout.settings))?.topology !== undefined;
  const environment = realEnvironment('silent');
  const stage = new Stage({ layout, env: environment, image: IMAGE, tsukube });
  const close = async (): Promise<void> => {
    if (isBorrowed || keep) return;
    await tsukube(['down']);
    if (own) await rm(directory, { recursive: true, force: true });
  };
  try {
    if (isBorrowed) await stage.mend(signal);
    await tsukube(['up', '--ha', '--profile', profile, '--json'], signal);
    const archive = join(directory, 'drill-web.tar');
    await run(process.execPath, [join(REPOSITORY, 'scripts', 'make-image.ts'), 'web', IMAGE, archive], { signal });
    await tsukube(['image', 'load', archive], signal);
    await rm(archive);
    await stage.prepare(signal);
    return { stage, isBorrowed, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Lines about the machine and the programs, for a report. */
export async function surroundings(): Promise<readonly string[]> {
  const version = async (command: string, args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await run(command, [...args]).catch(() => ({ stdout: 'unknown', stderr: '' }));
    return (stdout || stderr).split('\n')[0]!.trim();
  };
  const commit = await version('git', ['-C', REPOSITORY, 'rev-parse', '--short', 'HEAD']);
  const os = /^PRETTY_NAME="(.*)"$/m.exec(await readFile('/etc/os-release', 'utf8').catch(() => ''))?.[1] ?? 'Linux';
  return [
    `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${os}, Linux ${release()}; all six hosts and the clients share them`,
    `tsukube ${commit}, Node.js ${process.version}, ${await version('etcd', ['--version'])}, ${await version('haproxy', ['-v'])}, ${await version('keepalived', ['--version'])}, ${await version('containerd', ['--version'])}`,
  ];
}
