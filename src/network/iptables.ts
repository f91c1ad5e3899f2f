// What must be said in iptables because others say things there: Docker's policy against forwarding, and the chains that the
// plugin "portmap" makes and leaves. A host without iptables has neither.
import { output, type RunCommand } from './command.ts';

const COMMENT = 'tsukube pods';
/** Waits for others who hold the lock, seconds. */
const WAIT = ['-w', '5'];
const PORTMAP_CHAINS = ['CNI-HOSTPORT-DNAT', 'CNI-HOSTPORT-SETMARK', 'CNI-HOSTPORT-MASQ'];

/** Lets pods' packets through where the host's policy is to forward nothing. An accept in nftables would not be enough. */
export async function allowForwarding(run: RunCommand, ranges: readonly string[], signal?: AbortSignal): Promise<void> {
  const listed = await list(run, 'filter', 'FORWARD', signal);
  if (!listed.includes('-P FORWARD DROP')) return;
  for (const rule of forwardRules(ranges)) {
    const known = (await run(['iptables', ...WAIT, '-C', 'FORWARD', ...rule], { signal })).code === 0;
    if (!known) await output(run, ['iptables', ...WAIT, '-I', 'FORWARD', ...rule], { signal });
  }
}

export async function removeForwarding(run: RunCommand, ranges: readonly string[]): Promise<void> {
  const listed = await list(run, 'filter', 'FORWARD');
  if (!listed.some((line) => line.includes(COMMENT))) return;
  for (const rule of forwardRules(ranges)) await run(['iptables', ...WAIT, '-D', 'FORWARD', ...rule]);
}

/** Removes the plugin's chains when no pod of anybody uses them any more. */
export async function removePortMapping(run: RunCommand): Promise<void> {
  const lines = await list(run, 'nat');
  const inUse = lines.some((line) => line.startsWith('-N CNI-DN-') || line.startsWith('-A CNI-HOSTPORT-DNAT'));
  if (inUse) return;
  const jumps = lines.filter((line) => /^-A (PREROUTING|OUTPUT|POSTROUTING) .*-j CNI-HOSTPORT-/.test(line));
  for (const line of jumps) await output(run, ['iptables', ...WAIT, '-t', 'nat', ...words(line.replace(/^-A/, '-D'))]);
  const chains = PORTMAP_CHAINS.filter((chain) => lines.includes(`-N ${chain}`));
  for (const action of ['-F', '-X']) {
    for (const chain of chains) await output(run, ['iptables', ...WAIT, '-t', 'nat', action, chain]);
  }
  if (chains.length > 0) await removeEmptyNat(run);
}

/** A table without a rule, which iptables makes on first use: the plugin's was the first. */
async function removeEmptyNat(run: RunCommand): Promise<void> {
  const left = await list(run, 'nat');
  if (left.every((line) => /^-P \S+ ACCEPT$/.test(line))) await run(['nft', 'delete', 'table', 'ip', 'nat']);
}

function forwardRules(ranges: readonly string[]): readonly (readonly string[])[] {
  const mark = ['-m', 'comment', '--comment', COMMENT, '-j', 'ACCEPT'];
  return ranges.flatMap((range) => [
    ['-s', range, ...mark],
    ['-d', range, ...mark],
  ]);
}

/** A table's rules as `iptables -S` writes them; none where there is no iptables, or no such table. */
async function list(run: RunCommand, table: string, chain?: string, signal?: AbortSignal): Promise<readonly string[]> {
  const argv = ['iptables', ...WAIT, '-t', table, '-S', ...(chain ? [chain] : [])];
  const result = await run(argv, { signal }).catch(() => {
    signal?.throwIfAborted();
    return undefined;
  });
  return result?.code === 0 ? result.stdout.trim().split('\n') : [];
}

/** Splits a line of `iptables -S`, where only comments are quoted. */
export function words(line: string): readonly string[] {
  return Array.from(line.matchAll(/"([^"]*)"|(\S+)/g), (match) => match[1] ?? match[2]!);
}
