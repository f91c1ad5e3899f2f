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

/** Removes what the plugin left for our pods, and its own chains too when no pod of anybody uses them any more. */
export async function removePortMapping(run: RunCommand, networkName: string): Promise<void> {
  const mapped = (await list(run, 'nat')).filter((line) => line.startsWith('-A CNI-HOSTPORT-DNAT '));
  const ours = mapped.filter((line) => line.includes(`dnat name: \\"${networkName}\\" id: `));
  for (const line of ours) {
    await nat(run, words(line.replace(/^-A/, '-D')));
    const chain = /-j (CNI-DN-\S+)$/.exec(line)?.[1];
    if (chain) for (const action of ['-F', '-X']) await nat(run, [action, chain]);
  }
  if (ours.length === mapped.length) await removePortMappingChains(run);
}

async function removePortMappingChains(run: RunCommand): Promise<void> {
  const lines = await list(run, 'nat');
  const jumps = lines.filter((line) => /^-A (PREROUTING|OUTPUT|POSTROUTING) .*-j CNI-HOSTPORT-/.test(line));
  for (const line of jumps) await nat(run, words(line.replace(/^-A/, '-D')));
  const chains = PORTMAP_CHAINS.filter((chain) => lines.includes(`-N ${chain}`));
  for (const action of ['-F', '-X']) {
    for (const chain of chains) await nat(run, [action, chain]);
  }
  await removeEmptyNat(run);
}

function nat(run: RunCommand, args: readonly string[]): Promise<string> {
  return output(run, ['iptables', ...WAIT, '-t', 'nat', ...args]);
}

/**
 * A table "nat" without a rule, which iptables makes on first use and never removes; the plugin asks both families. One with
 * rules, or with chains that are not iptables' own, is somebody's.
 */
async function removeEmptyNat(run: RunCommand): Promise<void> {
  for (const family of ['ip', 'ip6']) {
    const listed = await run(['nft', 'list', 'table', family, 'nat']);
    if (listed.code === 0 && isWithoutRules(listed.stdout))
      await output(run, ['nft', 'delete', 'table', family, 'nat']);
  }
}

export function isWithoutRules(listing: string): boolean {
  const empty =
    /^(table ip6? nat \{|chain (PREROUTING|INPUT|OUTPUT|POSTROUTING) \{|type nat hook .*; policy accept;|\}|)$/;
  return listing.split('\n').every((line) => empty.test(line.trim()));
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

/** Splits a line of `iptables -S`, where only comments are quoted, with backslashes before quotes in them. */
export function words(line: string): readonly string[] {
  const found = line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g);
  return Array.from(found, ([, quoted, plain]) => quoted?.replace(/\\(.)/g, '$1') ?? plain!);
}
