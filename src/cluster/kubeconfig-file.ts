// The user's own kubeconfig: our context goes in and out of it, and nothing else in it changes.
import { readFile, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Document, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { writeFileAtomically } from './settings.ts';

const LISTS = ['clusters', 'contexts', 'users'] as const;

/** The file that kubectl would write to: the first of KUBECONFIG, else ~/.kube/config. */
export function userKubeconfigPath(environment: NodeJS.ProcessEnv): string {
  const first = environment.KUBECONFIG?.split(delimiter).find((path) => path !== '');
  return first ?? join(environment.HOME ?? homedir(), '.kube', 'config');
}

/**
 * Puts the entries of `ours` (one cluster, user and context) into the user's file, replacing those of the same name.
 * Comments, order and everything else stay. The current context changes only when there is none.
 */
export async function mergeIntoUserKubeconfig(file: string, ours: string): Promise<void> {
  const document = await readDocument(file);
  const incoming = parseDocument(ours);
  for (const list of LISTS) {
    const entries = incoming.get(list) as YAMLSeq<YAMLMap>;
    for (const entry of entries.items) replaceEntry(document, list, String(entry.get('name')), entry);
  }
  if (!document.get('current-context')) document.set('current-context', incoming.get('current-context'));
  await replace(file, document);
}

/** Takes out what mergeIntoUserKubeconfig put in. */
export async function removeFromUserKubeconfig(file: string, ours: string): Promise<void> {
  const incoming = parseDocument(ours);
  const document = await readDocument(file);
  let changed = false;
  for (const list of LISTS) {
    for (const entry of (incoming.get(list) as YAMLSeq<YAMLMap>).items) {
      changed = replaceEntry(document, list, String(entry.get('name')), undefined) || changed;
    }
  }
  if (!changed) return;
  if (document.get('current-context') === incoming.get('current-context')) document.set('current-context', '');
  await replace(file, document);
}

/** What a link leads to is replaced, and the link stays. */
async function replace(file: string, document: Document): Promise<void> {
  const target = await realpath(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return file;
    throw error;
  });
  await writeFileAtomically(target, document.toString());
}

/** Sets or removes the entry of a name; true when there was one. */
function replaceEntry(document: Document, list: string, name: string, entry: YAMLMap | undefined): boolean {
  const existing = document.get(list) as YAMLSeq<YAMLMap> | null | undefined;
  const items = existing?.items ?? [];
  const index = items.findIndex((item) => item.get('name') === name);
  if (!entry) {
    if (index >= 0) existing!.delete(index);
    return index >= 0;
  }
  const plain: unknown = entry.toJSON();
  if (index >= 0) existing!.set(index, document.createNode(plain) as YAMLMap);
  else if (existing?.items) existing.add(document.createNode(plain) as YAMLMap);
  else document.set(list, [plain]);
  return index >= 0;
}

async function readDocument(file: string): Promise<Document> {
  let text = '';
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const document: Document = parseDocument(text);
  if (document.errors.length > 0) {
    throw new Error(`${file} is not readable as YAML, so it is left as it is: ${document.errors[0]!.message}`);
  }
  if (document.contents === null) {
    return new Document({ apiVersion: 'v1', kind: 'Config', clusters: [], contexts: [], users: [] });
  }
  return document;
}
