// Programs out of Debian packages that are unpacked, not installed: no service of theirs starts, and no program is replaced.
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must, REPOSITORY, run } from './harness.ts';

/** npm leaves directories alone whose name begins with a dot. */
export const UNPACKED = join(REPOSITORY, 'test', 'clients', 'node_modules', '.unpacked');

/** The Debian after the oldest that tests run on, and what is wanted of it: newer than in that one, or built with more. */
const NEWER = 'trixie';
const NEWER_PACKAGES = ['etcd-server', 'etcd-client', 'prometheus'];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** A mirror that cannot be reached must not keep a test waiting. */
const PATIENCE = ['-o', 'Acquire::http::Timeout=20', '-o', 'Acquire::https::Timeout=20', '-o', 'Acquire::Retries=1'];

/** Where a package of this machine's own Debian is unpacked. */
export async function debianPackage(name: string): Promise<string> {
  const directory = join(UNPACKED, name);
  await once(directory, async (fresh) => {
    const download = ['-c', `cd "$1" && apt-get download -qq "$2"`, 'sh', fresh, name];
    // A fresh machine has no package lists.
    if ((await run('sh', download)).code !== 0) {
      await must('apt-get', ['update', '-q']);
      await must('sh', download);
    }
    await unpack(fresh, 1);
  });
  return directory;
}

export type NewerDebian = { readonly bin: string } | { readonly missing: string };

/**
 * Programs of a newer Debian that run on this one, from the mirror that this machine's apt is configured with, checked
 * against Debian's keys. Its package lists are its own: the machine's apt learns nothing of it. What is missing: why.
 */
export async function newerDebian(): Promise<NewerDebian> {
  const directory = join(UNPACKED, NEWER);
  try {
    await once(directory, fetchNewer);
  } catch (error) {
    return { missing: `packages of Debian ${NEWER} cannot be had: ${(error as Error).message}` };
  }
  return { bin: join(directory, 'usr', 'bin') };
}

async function fetchNewer(fresh: string): Promise<void> {
  const apt = join(fresh, 'apt');
  await mkdir(join(apt, 'lists', 'partial'), { recursive: true });
  await mkdir(join(apt, 'cache', 'archives', 'partial'), { recursive: true });
  const source = { Types: 'deb', URIs: await debianMirror(), Suites: NEWER, Components: 'main', 'Signed-By': KEYRING };
  const lines = Object.entries(source).map(([field, value]) => `${field}: ${value}\n`);
  await writeFile(join(apt, 'own.sources'), lines.join(''));
  const places = {
    'Dir::Etc::SourceList': join(apt, 'own.sources'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(apt, 'lists'),
    'Dir::Cache': join(apt, 'cache'),
    // Its user may not write here.
    'APT::Sandbox::User': 'root',
  };
  const options = [...PATIENCE, ...Object.entries(places).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  await must('apt-get', [...options, 'update', '-q', '--error-on=any']);
  await must('sh', [
    '-c',
    'cd "$1" && shift && apt-get "$@"',
    'sh',
    fresh,
    ...options,
    'download',
    '-q',
    ...NEWER_PACKAGES,
  ]);
  await rm(apt, { recursive: true });
  await unpack(fresh, NEWER_PACKAGES.length);
}

/** Where this machine's packages of Debian itself come from. */
async function debianMirror(): Promise<string> {
  const ask = ['indextargets', '--format', '$(ORIGIN) $(LABEL) $(REPO_URI)', 'Created-By: Packages'];
  const found = async (): Promise<string | undefined> => /^Debian Debian (\S+)$/m.exec(await must('apt-get', ask))?.[1];
  const known = await found();
  if (known !== undefined) return known;
  // A fresh machine does not know yet what its mirrors hold.
  await must('apt-get', ['update', '-q']);
  const mirror = await found();
  if (mirror === undefined) throw new Error('no source of apt is a mirror of Debian');
  return mirror;
}

async function unpack(directory: string, count: number): Promise<void> {
  const files = (await readdir(directory)).filter((entry) => entry.endsWith('.deb'));
  if (files.length !== count) throw new Error(`apt-get downloaded ${files.length} packages, not ${count}`);
  for (const file of files) {
    await must('dpkg', ['-x', join(directory, file), directory]);
    await rm(join(directory, file));
  }
}

/** Makes a directory that is either whole or not there. */
export async function once(directory: string, fill: (fresh: string) => Promise<void>): Promise<void> {
  if (existsSync(directory)) return;
  const fresh = `${directory}.${process.pid}`;
  await mkdir(fresh, { recursive: true });
  try {
    await fill(fresh);
    await rename(fresh, directory);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}
