// The packet filter's tables that are ours, each with everything in it.
import { output, type RunCommand } from './command.ts';

export const DEFAULT_PROXY_TABLE = 'tsukube';
export const DEFAULT_MASQUERADE_TABLE = 'tsukube-network';

/** Removes tables of a name, in both families; that there is none is no error. */
export async function removeTable(run: RunCommand, table: string): Promise<void> {
  const text = ['ip', 'ip6']
    .map((family) => `add table ${family} ${table}\ndelete table ${family} ${table}\n`)
    .join('');
  await output(run, ['nft', '-f', '-'], { stdin: text });
}
