// Every change of the drill's pods, in the order in which they were made, whatever becomes of connections: what is judged by
// these must not miss one.
import { sleep } from '../../lib/clock.ts';
import type { Connection } from '../probes/connection.ts';
import { type Asking, PODS, question } from './asking.ts';
import { type PodView, podView } from './workload.ts';

type PodObject = Parameters<typeof podView>[0] & { readonly metadata: { readonly resourceVersion: string } };

interface PodLine {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: PodObject;
}

/** A Status in an ERROR event, or as the whole answer. */
interface Refusal {
  readonly type?: 'ERROR';
  readonly object?: { readonly code?: number };
  readonly code?: number;
}

const isRefusal = (line: PodLine | Refusal): line is Refusal => line.type === undefined || line.type === 'ERROR';

export interface PodWatching extends Asking {
  readonly connection: Asking['connection'] & Pick<Connection, 'lines'>;
  /** All that there are: at first, and where changes were forgotten before they could be read. */
  readonly onList: (pods: readonly PodView[]) => void;
  readonly onChange: (isGone: boolean, pod: PodView) => void;
}

const AGAIN_MS = 50;

/** Until the signal aborts. Never rejects. */
export async function watchPods(watching: PodWatching, signal: AbortSignal): Promise<void> {
  const { connection, clock } = watching;
  let version: string | undefined;
  while (!signal.aborted) {
    try {
      version ??= await list(watching, signal);
      const path = `${PODS}&watch=1&allowWatchBookmarks=true&resourceVersion=${version}`;
      for await (const line of connection.lines(path, signal)) {
        const said = JSON.parse(line) as PodLine | Refusal;
        if (isRefusal(said)) {
          // What came after that version is forgotten.
          if ((said.object ?? said).code === 410) version = undefined;
          break;
        }
        const { type, object } = said;
        version = object.metadata.resourceVersion;
        if (type !== 'BOOKMARK') watching.onChange(type === 'DELETED', podView(object));
      }
    } catch {
      // It goes on from where it was.
    }
    connection.renew();
    await sleep(clock, AGAIN_MS, signal).catch(() => undefined);
  }
}

async function list({ connection, onList }: PodWatching, signal: AbortSignal): Promise<string> {
  const { code, text } = await connection.ask(question(PODS), signal);
  if (code !== 200) throw new Error(`pods cannot be listed: ${code} ${text}`);
  const { metadata, items } = JSON.parse(text) as {
    readonly metadata: { readonly resourceVersion: string };
    readonly items: readonly PodObject[];
  };
  onList(items.map(podView));
  return metadata.resourceVersion;
}
