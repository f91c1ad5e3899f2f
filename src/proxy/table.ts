// The fixed part of the proxy's table: hooks, and the maps through which a packet finds its Service in one look-up.
import type { IpFamily } from '../network/address.ts';
import { MARK_FOR_MASQUERADE, REJECT } from './names.ts';

export interface NftFamily {
  readonly table: 'ip' | 'ip6';
  readonly header: 'ip' | 'ip6';
  readonly addressType: 'ipv4_addr' | 'ipv6_addr';
  readonly loopback: string;
  /** An address before ":port". */
  readonly bracket: (address: string) => string;
}

export const FAMILIES: Readonly<Record<IpFamily, NftFamily>> = {
  IPv4: { table: 'ip', header: 'ip', addressType: 'ipv4_addr', loopback: '127.0.0.0/8', bracket: (a) => a },
  IPv6: { table: 'ip6', header: 'ip6', addressType: 'ipv6_addr', loopback: '::1', bracket: (a) => `[${a}]` },
};

export interface TableOptions {
  readonly family: IpFamily;
  /** The table's name; the proxy owns all that is in it. */
  readonly table: string;
  /** The Services' ranges: traffic to an address in them that no Service has is dropped. Empty: it is left alone. */
  readonly serviceRanges: readonly string[];
  /** Node ports are served on the node's addresses in these ranges. Empty: on all of them but loopback. */
  readonly nodePortRanges: readonly string[];
  /** The one bit of the packet mark that this proxy uses. */
  readonly masqueradeMark: number;
}

/**
 * Steps that replace the table by one without Services. Translation happens at nat prerouting (from pods and from
 * outside) and nat output (from this node). What it did not translate still carries its Service's address when it comes to
 * the filter hooks behind: there it is refused (no endpoints anywhere) or dropped (none that policy Local allows).
 */
export function baseTable(options: TableOptions): string {
  const { table, header, addressType } = FAMILIES[options.family];
  const vip = `type ${addressType} . inet_proto . inet_service : verdict ;`;
  const port = 'type inet_proto . inet_service : verdict ;';
  return `add table ${table} ${options.table}
delete table ${table} ${options.table}
table ${table} ${options.table} {
  comment "service proxy"
  map service-ips { ${vip} }
  map service-nodeports { ${port} }
  map no-endpoint-services { ${vip} }
  map no-endpoint-nodeports { ${port} }
  map firewall-ips { ${vip} }
  set cluster-ips { type ${addressType} ; }
  chain ${MARK_FOR_MASQUERADE} {
    meta mark set meta mark or ${hex(options.masqueradeMark)}
  }
  chain ${REJECT} {
    meta l4proto tcp reject with tcp reset
    reject
  }
  chain services {
    ${header} daddr . meta l4proto . th dport vmap @service-ips
    ${nodeAddress(options)} meta l4proto . th dport vmap @service-nodeports
  }
  chain firewall {
    ${header} daddr . meta l4proto . th dport vmap @firewall-ips
  }
  chain service-endpoints-check {
    ${header} daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain nodeport-endpoints-check {
    ${nodeAddress(options)} meta l4proto . th dport vmap @no-endpoint-nodeports
  }
${clusterIpsCheck(options)}${hooks(options.masqueradeMark)}}
`;
}

// An address of the cluster's Services that is also this node's own is served here (cluster DNS), not by this proxy.
function clusterIpsCheck(options: TableOptions): string {
  const { header } = FAMILIES[options.family];
  const unallocated =
    options.serviceRanges.length > 0 ? `    ${header} daddr { ${options.serviceRanges.join(', ')} } drop\n` : '';
  return `  chain cluster-ips-check {
    fib daddr type local return
    ${header} daddr @cluster-ips goto ${REJECT}
${unallocated}  }
`;
}

function hooks(mark: number): string {
  return `  chain firewall-prerouting {
    type filter hook prerouting priority -110 ;
    ct state new jump firewall
  }
  chain firewall-output {
    type filter hook output priority -110 ;
    ct state new jump firewall
  }
  chain filter-input {
    type filter hook input priority filter ;
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }
  chain filter-forward {
    type filter hook forward priority filter ;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain filter-output {
    type filter hook output priority filter ;
    ct state new jump service-endpoints-check
    ct state new jump nodeport-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain nat-prerouting {
    type nat hook prerouting priority dstnat ;
    jump services
  }
  chain nat-output {
    type nat hook output priority -100 ;
    jump services
  }
  chain nat-postrouting {
    type nat hook postrouting priority srcnat ;
    meta mark and ${hex(mark)} == 0 return
    meta mark set meta mark and ${hex(~mark >>> 0)}
    masquerade fully-random
  }
`;
}

function nodeAddress(options: TableOptions): string {
  const { header, loopback } = FAMILIES[options.family];
  const ranges = options.nodePortRanges.length > 0 ? `${header} daddr { ${options.nodePortRanges.join(', ')} } ` : '';
  return `${ranges}${header} daddr != ${loopback} fib daddr type local`;
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
