// What an agent knows of the API servers, in a file: `tsukube status` shows it also when no API server answers.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HttpsClient, KnownApiServer } from '../client/https.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Layout } from './layout.ts';
import { writeFileAtomically } from './settings.ts';

const LOOK_MS = 500;

function fileOf({ run }: Pick<Layout, 'run'>): string {
  return join(run, 'api-servers.json');
}

/** Keeps the file true until the signal aborts. Never rejects: an agent works on a full disk. */
export async function showServers(
  client: Pick<HttpsClient, 'servers'>,
  { layout, clock }: { readonly layout: Pick<Layout, 'run'>; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  let shown = '';
  while (!signal.aborted) {
    const text = `${JSON.stringify(client.servers())}\n`;
    if (text !== shown) {
      await writeFileAtomically(fileOf(layout), text, 0o644).catch(() => undefined);
      shown = text;
    }
    await sleep(clock, LOOK_MS, signal).catch(() => undefined);
  }
}

/** As an agent that runs wrote it; undefined: it has not yet. */
export async function shownServers(layout: Pick<Layout, 'run'>): Promise<readonly KnownApiServer[] | undefined> {
  try {
    return JSON.parse(await readFile(fileOf(layout), 'utf8')) as readonly KnownApiServer[];
  } catch {
    return undefined;
  }
}
