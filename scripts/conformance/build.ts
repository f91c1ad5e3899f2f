// Builds the official conformance suite of Kubernetes 1.20.2 (the newest that Debian 12 has the source of) into a cache
// directory: the tests themselves, their runner, and the kubectl of the same version, which the tests call.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from './process.ts';

export interface Suite {
  readonly tests: string;
  readonly runner: string;
  readonly kubectl: string;
}

const GO = '/usr/lib/go-1.19/bin/go';
const VERSION = 'v1.20.2';
const SOURCE = {
  file: 'kubernetes_1.20.5+really1.20.2.orig.tar.gz',
  sha256: 'b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc',
};
/** The vendored release of reflect2 corrupts memory with the Go that Debian has; Debian's own is newer. */
const REFLECT = 'golang-github-modern-go-reflect2';
const MODULE = 'k8s.io/kubernetes';
/** Files that the tests carry within themselves. */
const CARRIED = [
  'test/conformance/testdata',
  'test/e2e/testing-manifests',
  'test/e2e_node/testing-manifests',
  'test/images',
  'test/fixtures',
];

/** Programs that the suite's pods run. */
const PODS = { agnhost: './test/images/agnhost', 'sample-apiserver': './vendor/k8s.io/sample-apiserver' };

/** The suite in `cache`; made there if it is not. Takes some minutes and 3 GB the first time. */
export async function ensureSuite(cache: string, say: (text: string) => void): Promise<Suite> {
  const bin = join(cache, 'bin');
  const suite = { tests: join(bin, 'e2e.test'), runner: join(bin, 'ginkgo'), kubectl: join(bin, 'kubectl') };
  const made = [...Object.values(suite), ...Object.keys(PODS).map((name) => join(bin, name))];
  if (made.every((file) => existsSync(file))) return suite;
  mkdirSync(bin, { recursive: true });
  const apt = await ownAptLists(cache);
  say('conformance: fetching the source ...');
  if (!existsSync(GO)) {
    await run('apt-get', ['-qy', 'install', '--no-install-recommends', 'golang-1.19-go', 'dpkg-dev'], {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
    });
  }
  const tree = await unpackSource(cache, apt);
  await replaceReflect(cache, tree, apt);
  say('conformance: building the suite (some minutes) ...');
  await build(cache, tree, suite);
  return suite;
}

/** Where the suite's source is. */
export function sourceIn(cache: string): string {
  return join(cache, 'gopath', 'src', MODULE);
}

/** Options that make apt read Debian 12 and its sources, with lists of our own: the machine's stay as they are. */
async function ownAptLists(cache: string): Promise<readonly string[]> {
  const machine = '/etc/apt/sources.list.d/debian.sources';
  const known = existsSync(machine) ? /^URIs: *(\S+\/debian)\/?\s*$/m.exec(readFileSync(machine, 'utf8')) : undefined;
  const place = `[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${known?.[1] ?? 'http://deb.debian.org/debian'} bookworm main`;
  const lists = join(cache, 'apt-lists');
  mkdirSync(join(lists, 'partial'), { recursive: true });
  const sources = join(cache, 'debian.list');
  writeFileSync(sources, `deb ${place}\ndeb-src ${place}\n`);
  const options = ['-q'];
  const settings = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': lists,
    'APT::Sandbox::User': 'root',
  };
  for (const [name, value] of Object.entries(settings)) options.push('-o', `${name}=${value}`);
  await run('apt-get', [...options, 'update']);
  return options;
}

async function unpackSource(cache: string, apt: readonly string[]): Promise<string> {
  const archive = join(cache, SOURCE.file);
  if (!existsSync(archive)) await run('apt-get', [...apt, 'source', '--download-only', 'kubernetes'], { cwd: cache });
  const hash = createHash('sha256');
  await pipeline(createReadStream(archive), hash);
  if (hash.digest('hex') !== SOURCE.sha256) throw new Error(`${archive} is not the source that is expected`);
  const tree = sourceIn(cache);
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  await run('tar', ['-xzf', archive, '--strip-components=1', '-C', tree]);
  return tree;
}

async function replaceReflect(cache: string, tree: string, apt: readonly string[]): Promise<void> {
  await run('apt-get', [...apt, 'download', `${REFLECT}-dev`], { cwd: cache });
  const archive = readdirSync(cache).find((name) => name.startsWith(`${REFLECT}-dev_`) && name.endsWith('.deb'));
  if (!archive) throw new Error(`apt-get downloaded no ${REFLECT}-dev`);
  const unpacked = join(cache, 'reflect2');
  rmSync(unpacked, { recursive: true, force: true });
  await run('dpkg-deb', ['-x', join(cache, archive), unpacked]);
  const from = join(unpacked, 'usr/share/gocode/src/github.com/modern-go/reflect2');
  const to = join(tree, 'vendor/github.com/modern-go/reflect2');
  const isCode = (name: string): boolean => /\.(go|s)$/.test(name);
  for (const name of readdirSync(to).filter(isCode)) rmSync(join(to, name));
  for (const name of readdirSync(from).filter(isCode)) writeFileSync(join(to, name), readFileSync(join(from, name)));
}

async function build(cache: string, tree: string, suite: Suite): Promise<void> {
  const env = {
    GOPATH: join(cache, 'gopath'),
    GOCACHE: join(cache, 'gocache'),
    GO111MODULE: 'off',
    CGO_ENABLED: '0',
    GOFLAGS: '',
  };
  const go = (...args: readonly string[]): Promise<unknown> => run(GO, args, { cwd: tree, env });
  const stamps = ['vendor/k8s.io/component-base/version', 'vendor/k8s.io/client-go/pkg/version'].flatMap((path) =>
    [`gitVersion=${VERSION}`, 'gitMajor=1', 'gitMinor=20', 'gitTreeState=clean'].map(
      (value) => `-X ${MODULE}/${path}.${value}`,
    ),
  );
  const flags = ['-s', '-w', ...stamps].join(' ');
  // The source package lacks one generated file: what the tests carry.
  const packer = join(cache, 'bin', 'go-bindata');
  await go('build', '-o', packer, './vendor/github.com/go-bindata/go-bindata/go-bindata');
  const ignored = ['\\.jpg', '\\.png', '\\.md', 'BUILD(\\.bazel)?'].flatMap((pattern) => ['-ignore', pattern]);
  const carried = CARRIED.map((path) => `${path}/...`);
  const generated = 'test/e2e/generated/bindata.go';
  await run(packer, ['-nometadata', '-pkg', 'generated', '-o', generated, ...ignored, ...carried], { cwd: tree, env });
  await go('build', '-ldflags', '-s -w', '-o', suite.runner, './vendor/github.com/onsi/ginkgo/ginkgo');
  await go('build', '-ldflags', flags, '-o', suite.kubectl, './cmd/kubectl');
  for (const [name, path] of Object.entries(PODS)) {
    await go('build', '-ldflags', '-s -w', '-o', join(cache, 'bin', name), path);
  }
  await go('test', '-c', '-ldflags', flags, '-o', suite.tests, './test/e2e');
}
