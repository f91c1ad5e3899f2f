// Compares our protobuf with upstream's, byte for byte: objects of many kinds, lists, watches, discovery and refusals of a
// kube-apiserver 1.20.2 that is started for it, and the samples of upstream's source that fill every field.
//
//   node scripts/protobuf-goldens.ts --binaries DIR [--samples DIR] [--port N] [--write]
//
// --write keeps one object of each kind, with its bytes, as test data.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseJson, stringifyJson } from '../src/api/json.ts';
import { Release120Tables } from '../src/api/test-release-tables.ts';
import { type Access, call, clientCertificate } from './bench/contestant.ts';
import { startPeer } from './bench/peer.ts';
import { compare, compareWatch, encoded, type Outcome } from './protobuf/compare.ts';
import { SAMPLES } from './protobuf/objects.ts';

const GOLDENS = join(import.meta.dirname, '../src/api/testdata/protobuf-1.20.json');
const PARTIAL = ';as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const PARTIAL_LIST = ';as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

const { values } = parseArgs({
  options: {
    binaries: { type: 'string' },
    samples: { type: 'string' },
    port: { type: 'string', default: '9700' },
    write: { type: 'boolean', default: false },
  },
});
if (values.binaries === undefined) throw new Error('where are the binaries? --binaries DIR');
const { binaries } = values;
const tables = new Release120Tables();
const counts = new Map<string, { same: number; different: number; unknown: number; bytes: number }>();
const kinds = new Set<string>();
const goldens: { [kind: string]: { json: unknown; protobuf: string } } = {};

function note(what: string, name: string, outcome: Outcome): void {
  const count = counts.get(what) ?? { same: 0, different: 0, unknown: 0, bytes: 0 };
  counts.set(what, count);
  count[outcome.kind]++;
  if (outcome.kind === 'same') count.bytes += outcome.bytes;
  if (outcome.kind === 'unknown') console.log(`not compared: ${what} ${name}: ${outcome.why}`);
  if (outcome.kind !== 'different') return;
  const { ours, theirs } = outcome;
  let at = 0;
  while (ours[at] === theirs[at]) at++;
  const near = (bytes: Buffer): string => JSON.stringify(bytes.toString('latin1', Math.max(0, at - 40), at + 40));
  console.log(`DIFFERENT ${what} ${name}: ${ours.length} and ${theirs.length} bytes, from ${at}:`);
  console.log(`  ours   ${near(ours)}\n  theirs ${near(theirs)}`);
}

function samples(directory: string): void {
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.pb'))) {
    const json = parseJson(readFileSync(join(directory, file.replace(/pb$/, 'json'))));
    const theirs = readFileSync(join(directory, file));
    const ours = encoded(tables, json);
    if (!ours) note('samples', file, { kind: 'unknown', why: 'no such kind any more' });
    else if (ours.equals(theirs)) note('samples', file, { kind: 'same', bytes: ours.length, json, protobuf: theirs });
    else note('samples', file, { kind: 'different', ours, theirs, json });
  }
}

interface ListBody {
  readonly kind: string;
  readonly apiVersion: string;
  readonly items: readonly { readonly metadata: { readonly name: string; readonly namespace?: string } }[];
}

async function resource(access: Access, base: string, name: string): Promise<void> {
  const path = `${base}/${name}`;
  const list = await compare(tables, access, path);
  note('lists', path, list);
  if (list.json === undefined) return;
  note('lists of metadata', path, await compare(tables, access, path, PARTIAL_LIST));
  note('watches', path, await compareWatch(tables, access, path));
  const { items, apiVersion, kind } = list.json as ListBody;
  for (const { metadata } of items.slice(0, 30)) {
    const { namespace } = metadata;
    const one = `${base}/${namespace === undefined ? '' : `namespaces/${namespace}/`}${name}/${encodeURIComponent(metadata.name)}`;
    const outcome = await compare(tables, access, one);
    note('objects', one, outcome);
    note('metadata', one, await compare(tables, access, one, PARTIAL));
    if (outcome.kind !== 'same') continue;
    const key = `${apiVersion} ${kind.replace(/List$/, '')}`;
    kinds.add(key);
    const known = goldens[key];
    const text = stringifyJson(outcome.json);
    // A token is nothing to keep, even one that nobody takes any more.
    if (text.includes('kubernetes.io/service-account-token')) continue;
    // The one that says most, within reason: test data is read by people too.
    if (known && (text.length > 8000 || stringifyJson(known.json).length >= text.length)) continue;
    goldens[key] = { json: outcome.json, protobuf: outcome.protobuf.toString('base64') };
  }
}

/** The default service account, which pods need, comes a little later than the server. */
async function created(access: Access, path: string, body: object): ReturnType<typeof call> {
  for (let attempt = 0; ; attempt++) {
    const answer = await call(access, 'POST', path, body);
    if (answer.status !== 403 || attempt === 50) return answer;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

interface ResourceList {
  readonly resources: readonly { readonly name: string; readonly verbs: readonly string[] }[];
}

async function server(access: Access): Promise<void> {
  for (const { path, body } of SAMPLES) {
    const { status, body: answer } = await created(access, path, body);
    if (status !== 201) console.log(`not created: ${path}: ${status} ${answer.slice(0, 300)}`);
  }
  const groups = JSON.parse((await call(access, 'GET', '/apis')).body) as {
    groups: { name: string; versions: { groupVersion: string }[] }[];
  };
  const bases = ['/api/v1', ...groups.groups.flatMap((group) => group.versions.map((v) => `/apis/${v.groupVersion}`))];
  const documents = ['/api', '/apis', ...bases, ...groups.groups.map((group) => `/apis/${group.name}`)];
  for (const path of documents) note('discovery', path, await compare(tables, access, path));
  note('refusals', 'not found', await compare(tables, access, '/api/v1/namespaces/default/pods/none'));
  note('refusals', 'no such path', await compare(tables, access, '/api/v1/pods?resourceVersion=x'));
  for (const base of bases) {
    const { resources } = JSON.parse((await call(access, 'GET', base)).body) as ResourceList;
    const listed = resources.filter(({ name, verbs }) => !name.includes('/') && verbs.includes('list'));
    for (const { name } of listed) await resource(access, base, name);
  }
}

if (values.samples !== undefined) samples(values.samples);
const directory = mkdtempSync(join(tmpdir(), 'protobuf-goldens-'));
try {
  const peer = await startPeer({
    directory: join(directory, 'peer'),
    port: Number(values.port),
    binaries,
  });
  try {
    const admin = clientCertificate(peer.pki, 'goldens', ['system:masters']);
    await server({ port: peer.port, ca: peer.pki.ca.certificate, ...admin });
  } finally {
    await peer.close();
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.table(Object.fromEntries(counts));
console.log(`${kinds.size} kinds of objects`);
if (values.write) {
  const lines = Object.entries(goldens).map(([kind, golden]) => `${JSON.stringify(kind)}: ${stringifyJson(golden)}`);
  writeFileSync(GOLDENS, `{\n${lines.join(',\n')}\n}\n`);
}
if ([...counts.values()].some(({ different }) => different > 0)) process.exitCode = 1;
