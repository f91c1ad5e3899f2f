// Pods that talk to the world outside borrow their node's address.
import { output, type RunCommand } from './command.ts';
import { DEFAULT_MASQUERADE_TABLE } from './tables.ts';

export interface MasqueradeOptions {
  /** This node's part of the pods' range. */
  readonly podCidr: string;
  /** Where pods keep their own address: the whole cluster's pods. */
  readonly clusterCidrs: readonly string[];
  /** The nftables table; everything in it is ours. Default DEFAULT_TABLE. */
  readonly table?: string | undefined;
}

const MULTICAST = '224.0.0.0/4';

/** The table that replaces whatever it was before, for `nft -f`. */
export function masqueradeTable(options: MasqueradeOptions): string {
  const table = options.table ?? DEFAULT_MASQUERADE_TABLE;
  const inside = [...options.clusterCidrs, MULTICAST].join(', ');
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat ;
    ip saddr ${options.podCidr} ip daddr != { ${inside} } masquerade fully-random
  }
}
`;
}

export async function applyMasquerade(
  run: RunCommand,
  options: MasqueradeOptions,
  signal?: AbortSignal,
): Promise<void> {
  await output(run, ['nft', '-f', '-'], { stdin: masqueradeTable(options), signal });
}
