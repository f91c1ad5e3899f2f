// The proxy's rules as data. They say what the packet filter does for one Service; render.ts writes them in nft's language.
import type { Protocol } from './service-port.ts';

export type Match =
  | { readonly match: 'source'; readonly ranges: readonly string[] }
  | { readonly match: 'sourceOutside'; readonly ranges: readonly string[] }
  /** The packet was made on this node. */
  | { readonly match: 'sourceIsLocal' }
  | { readonly match: 'destination'; readonly address: string; readonly protocol: Protocol; readonly port: number }
  /** The source is in an affinity set. */
  | { readonly match: 'remembered'; readonly set: string };

export type Action =
  /** The packet's source will be rewritten to this node's when it leaves; evaluation goes on. */
  | { readonly do: 'markForMasquerade' }
  | { readonly do: 'goto'; readonly chain: string }
  /** One of the chains, each as likely. */
  | { readonly do: 'spread'; readonly chains: readonly string[] }
  /** Puts the source into an affinity set, or renews it there; evaluation goes on. */
  | { readonly do: 'remember'; readonly set: string }
  | { readonly do: 'dnat'; readonly protocol: Protocol; readonly address: string; readonly port: number }
  | { readonly do: 'drop' };

export interface Rule {
  readonly when: readonly Match[];
  readonly action: Action;
}

export type VerdictMap =
  | 'service-ips'
  | 'service-nodeports'
  | 'no-endpoint-services'
  | 'no-endpoint-nodeports'
  | 'firewall-ips';

export type Verdict = { readonly goto: string } | 'drop' | 'reject';

/**
 * What a Service wants for one address and port (or node port). Two Services may claim the same one (externalIPs are free
 * text): the lower rank, then the smaller key of the Service, has it in all maps, so that nobody takes another's cluster IP.
 */
export interface Claim {
  /** "10.96.0.1 . tcp . 443", or "tcp . 30080" for a node port: as elements of the maps are written. */
  readonly key: string;
  readonly rank: number;
  readonly verdicts: ReadonlyMap<VerdictMap, Verdict>;
}

export const RANK = { clusterIP: 0, loadBalancerIP: 1, externalIP: 2, nodePort: 0 } as const;

/** UDP traffic of one destination, to find flows that the kernel would keep sending to an endpoint that is gone. */
export interface UdpTarget {
  /** Undefined for a node port: any address of the node. */
  readonly address: string | undefined;
  readonly port: number;
  readonly endpoints: readonly string[];
}

/** All of one Service's rules. */
export interface Fragment {
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
  /** Affinity sets: name to timeout in seconds. */
  readonly sets: ReadonlyMap<string, number>;
  readonly claims: readonly Claim[];
  readonly clusterIPs: readonly string[];
  readonly udp: readonly UdpTarget[];
}

export const EMPTY_FRAGMENT: Fragment = { chains: new Map(), sets: new Map(), claims: [], clusterIPs: [], udp: [] };
