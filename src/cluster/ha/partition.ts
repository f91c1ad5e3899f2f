// Packets that the switch does not pass on. Pure.

/** Names of hosts, or "machine" for what comes from this machine. */
export interface Partition {
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** Only from the first to the second; otherwise in both directions. */
  readonly oneWay?: boolean;
  /** Only TCP connections to these ports; otherwise everything. */
  readonly ports?: readonly number[];
}

export const PARTITION_TABLE = 'partition';

/** Input of `nft -f` that adds the partition to those that there are. */
export function partitionRules({ from, to, oneWay = false, ports = [] }: Partition): string {
  const set = (names: readonly (string | number)[]): string =>
    `{ ${names.map((name) => (typeof name === 'number' ? name : `"${name}"`)).join(', ')} }`;
  // A connection's answers come from the port that it was made to.
  const matches = ports.length === 0 ? [''] : [`tcp dport ${set(ports)} `, `tcp sport ${set(ports)} `];
  const directions = oneWay ? [[from, to] as const] : [[from, to] as const, [to, from] as const];
  const rules = directions.flatMap(([a, b]) =>
    matches.map(
      (match) => `add rule bridge ${PARTITION_TABLE} forward iifname ${set(a)} oifname ${set(b)} ${match}drop`,
    ),
  );
  return `add table bridge ${PARTITION_TABLE}
add chain bridge ${PARTITION_TABLE} forward { type filter hook forward priority 0 ; }
${rules.join('\n')}
`;
}

/** Input of `nft -f` that removes all of them; none is no error. */
export const HEAL_RULES = `add table bridge ${PARTITION_TABLE}\ndelete table bridge ${PARTITION_TABLE}\n`;
