// Asks upstream's kube-apiserver (1.20.2) and ours about the same wrong objects, and lists where the answers differ.
//
//   node scripts/validation.ts --peer DIR [--port PORT] [--report FILE]
//
// DIR has upstream's kube-apiserver, kube-controller-manager and kube-scheduler; etcd comes from the PATH. Compared are the
// status code, the reason, and of each cause its field and reason; messages are shown where only they differ.
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Tables } from '../src/api/tables.ts';
import { type Access, type Contestant, call, clientCertificate, startOurs } from './bench/contestant.ts';
import { startPeer } from './bench/peer.ts';
import { CASES, type Case } from './validation-cases.ts';

interface Answer {
  readonly status: number;
  readonly reason: string;
  /** "field reason", in order of the alphabet, none twice. */
  readonly causes: readonly string[];
  readonly message: string;
}

interface Status {
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly { readonly field?: string; readonly reason?: string }[] };
}

const { values } = parseArgs({
  options: { peer: { type: 'string' }, port: { type: 'string', default: '9000' }, report: { type: 'string' } },
});
if (!values.peer) throw new Error('usage: node scripts/validation.ts --peer DIR [--port PORT] [--report FILE]');
const port = Number(values.port);
const directory = join(tmpdir(), `tsukube-validation-${process.pid}`);
const tables = new Tables();

const access = (of: Contestant): Access => ({
  port: of.port,
  ca: of.pki.ca.certificate,
  ...clientCertificate(of.pki, 'admin', ['system:masters']),
});

/** The answer to the one request of a case that is wrong. What it left behind is taken away again. */
async function ask(server: Access, { apiVersion, kind, object, update }: Case): Promise<Answer> {
  const row = tables.byKind(apiVersion, kind);
  if (!row) throw new Error(`no ${kind} of ${apiVersion}`);
  const root = row.group === '' ? `/api/${row.version}` : `/apis/${row.group}/${row.version}`;
  const collection = `${root}${row.namespaced ? '/namespaces/default' : ''}/${row.resource}`;
  const name = (object.metadata as { name: string }).name;
  const remove = (): Promise<unknown> => call(server, 'DELETE', `${collection}/${name}?gracePeriodSeconds=0`);
  const created = await call(server, 'POST', collection, { apiVersion, kind, ...object });
  if (!update || created.status !== 201) {
    if (created.status === 201) await remove();
    return answerOf(created);
  }
  let answer = await write(server, `${collection}/${name}`, update);
  // Controllers may write it at the same time.
  for (let i = 0; i < 5 && answer.status === 409; i++) answer = await write(server, `${collection}/${name}`, update);
  await remove();
  return answerOf(answer);
}

async function write(server: Access, path: string, update: object): ReturnType<typeof call> {
  const live = JSON.parse((await call(server, 'GET', path)).body) as { spec?: object };
  const { spec } = update as { spec?: object };
  return call(server, 'PUT', path, {
    ...live,
    ...update,
    ...(spec && live.spec && { spec: { ...live.spec, ...spec } }),
  });
}

function answerOf({ status, body }: { status: number; body: string }): Answer {
  if (status < 400) return { status, reason: '', causes: [], message: '' };
  const { reason = '', message = '', details } = JSON.parse(body) as Status;
  const causes = (details?.causes ?? []).map((cause) => `${cause.field} ${cause.reason}`);
  return { status, reason, causes: [...new Set(causes)].sort(), message };
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

const same = (a: Answer, b: Answer): boolean =>
  a.status === b.status && a.reason === b.reason && a.causes.join() === b.causes.join();

const shown = (a: Answer): string =>
  a.status < 400 ? String(a.status) : `${a.status} ${a.reason}: ${a.causes.join('; ') || a.message}`;

/** Why an answer is another than that of 1.20.2, by the name of the case. */
const REASONS: { readonly [name: string]: string } = {
  'pod: init container with a probe': '1.36 forbids it; sidecars may have one',
  'pod: message policy': '1.36 lists the supported values',
  'pod: host network port': '1.36 names the host port, which in a template may be absent',
  'pod: escalation of the privileged': 'the other was started without --allow-privileged',
  'pod: host alias': '1.36 names the element',
  'pod: pod affinity selector': '1.36 names the field',
  'Service: source ranges': '1.36 names the element',
  'Job: template change': '1.36 wants the labels with a prefix too',
  'PriorityClass: value change': '1.36 names the field as it is written',
};

function report(answers: readonly (readonly [Case, Answer, Answer])[]): string {
  const different = answers.filter(([, theirs, ours]) => !same(theirs, ours));
  const worded = answers.filter(([, theirs, ours]) => same(theirs, ours) && theirs.message !== ours.message);
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = different.map(
    ([c, theirs, ours]) => `| ${c.name} | ${cell(shown(theirs))} | ${cell(shown(ours))} | ${REASONS[c.name] ?? ''} |`,
  );
  const words = worded.map(([c, theirs, ours]) => `| ${c.name} | ${cell(theirs.message)} | ${cell(ours.message)} |`);
  return [
    '# Validation beside kube-apiserver 1.20.2',
    '',
    'Made by `node scripts/validation.ts --peer DIR --report docs/results/validation.md`: the same wrong objects sent to both.',
    'Compared: status code, reason, and field and reason of every cause. The rules here are those of 1.36, so some answers',
    'differ because upstream itself has changed since: the last column says how.',
    '',
    `${answers.length} objects; ${answers.length - different.length} answered alike, ${different.length} differently.`,
    '',
    '## Different answers',
    '',
    '| object | upstream 1.20.2 | tsukube | why |',
    '| ------ | --------------- | ------- | --- |',
    ...rows,
    '',
    '## Alike but for the words',
    '',
    '| object | upstream 1.20.2 | tsukube |',
    '| ------ | --------------- | ------- |',
    ...words,
    '',
  ].join('\n');
}

const peer = await startPeer({ directory: join(directory, 'peer'), port, binaries: values.peer });
try {
  const bundle = join(import.meta.dirname, '../dist/main.js');
  const place = { name: 'tsukube', directory: join(directory, 'ours'), port: port + 50 };
  const ours = await startOurs({ ...place, bundle, nodeOptions: [] });
  try {
    const [there, here] = [access(peer), access(ours)];
    // Pods need their namespace's service account, which a controller makes.
    for (const server of [there, here]) {
      const account = '/api/v1/namespaces/default/serviceaccounts/default';
      while ((await call(server, 'GET', account)).status !== 200) await pause();
    }
    // Upstream of then takes no pod before the account has a token.
    const tokens = '/api/v1/namespaces/default/secrets';
    while (!(await call(there, 'GET', tokens)).body.includes('default-token')) await pause();
    const answers: (readonly [Case, Answer, Answer])[] = [];
    for (const one of CASES) answers.push([one, await ask(there, one), await ask(here, one)]);
    const text = report(answers);
    if (values.report) await writeFile(values.report, text);
    else process.stdout.write(text);
  } finally {
    await ours.close();
  }
} finally {
  await peer.close();
  await rm(directory, { recursive: true, force: true });
}
