// From a Service port and its endpoints to rules. Pure; upstream's nftables proxier decides what a rule must do.
import { createHash } from 'node:crypto';
import type { EndpointSlice, Service } from '../api/generated/types.ts';
import type { IpFamily } from '../network/address.ts';
import { chooseEndpoints, type EndpointChoice, endpointsOf, type ProxyEndpoint, type ProxyNode } from './endpoints.ts';
import { type Claim, type Fragment, RANK, type Rule, type UdpTarget, type Verdict, type VerdictMap } from './rules.ts';
import { type ServicePort, servicePorts } from './service-port.ts';

export interface CompileOptions {
  readonly family: IpFamily;
  readonly node: ProxyNode;
  /** The pods' ranges of this family. Empty: it is not known which traffic comes from pods. */
  readonly podRanges: readonly string[];
}

/** A Service's rules on this node. `slices` are those of the Service. */
export function compileService(service: Service, slices: readonly EndpointSlice[], options: CompileOptions): Fragment {
  const parts = servicePorts(service, options.family).map((port) => {
    const endpoints = endpointsOf(port, slices, options.family, options.node);
    return new PortCompiler(port, chooseEndpoints(port, endpoints, options.node), options.podRanges).compile();
  });
  const claims = new Map<string, Claim>();
  for (const claim of parts.flatMap((part) => part.claims)) {
    const known = claims.get(claim.key);
    if (!known || known.rank > claim.rank) claims.set(claim.key, claim);
  }
  return {
    chains: new Map(parts.flatMap((part) => [...part.chains])),
    sets: new Map(parts.flatMap((part) => [...part.sets])),
    claims: [...claims.values()],
    clusterIPs: [...new Set(parts.flatMap((part) => part.clusterIPs))],
    udp: parts.flatMap((part) => part.udp),
  };
}

class PortCompiler {
  readonly #port: ServicePort;
  readonly #choice: EndpointChoice;
  readonly #podRanges: readonly string[];
  readonly #id: string;
  readonly #chains = new Map<string, readonly Rule[]>();
  readonly #sets = new Map<string, number>();

  constructor(port: ServicePort, choice: EndpointChoice, podRanges: readonly string[]) {
    this.#port = port;
    this.#choice = choice;
    this.#podRanges = podRanges;
    this.#id = `${port.namespace}/${port.name}/${port.protocol}/${port.portName}`;
  }

  compile(): Fragment {
    const port = this.#port;
    for (const endpoint of this.#choice.reachable) this.#addEndpoint(endpoint);
    const clusterChain = this.#addSpread('service', this.#choice.cluster, !port.internalLocal);
    const localChain = this.#addSpread('local', this.#choice.local, port.internalLocal);
    const internal = port.internalLocal ? localChain : clusterChain;
    const claims = [
      this.#claim(this.#vip(port.clusterIP), RANK.clusterIP, 'services', {
        chain: internal,
        unserved: internal ? undefined : this.#choice.hasAny ? 'drop' : 'reject',
      }),
      ...this.#externalClaims(clusterChain, localChain),
    ];
    return {
      chains: this.#chains,
      sets: this.#sets,
      claims,
      clusterIPs: [port.clusterIP],
      udp: port.protocol === 'udp' ? this.#udpTargets() : [],
    };
  }

  #addEndpoint(endpoint: ProxyEndpoint): void {
    const rules: Rule[] = [
      // A pod that reaches itself through its Service would answer itself directly, past the translation.
      { when: [{ match: 'source', ranges: [endpoint.address] }], action: { do: 'markForMasquerade' } },
    ];
    if (this.#port.affinitySeconds > 0) {
      const set = this.#affinitySet(endpoint);
      this.#sets.set(set, this.#port.affinitySeconds);
      rules.push({ when: [], action: { do: 'remember', set } });
    }
    const { address, port } = endpoint;
    rules.push({ when: [], action: { do: 'dnat', protocol: this.#port.protocol, address, port } });
    this.#chains.set(this.#endpointChain(endpoint), rules);
  }

  /** Adds the chain that spreads over `endpoints`; undefined, and no chain, when there are none. */
  #addSpread(kind: string, endpoints: readonly ProxyEndpoint[], internal: boolean): string | undefined {
    if (endpoints.length === 0) return undefined;
    const rules: Rule[] = [];
    if (internal && this.#podRanges.length > 0) {
      const { clusterIP: address, protocol, port } = this.#port;
      rules.push({
        when: [
          { match: 'destination', address, protocol, port },
          { match: 'sourceOutside', ranges: this.#podRanges },
        ],
        action: { do: 'markForMasquerade' },
      });
    }
    if (this.#port.affinitySeconds > 0) {
      for (const endpoint of endpoints) {
        rules.push({
          when: [{ match: 'remembered', set: this.#affinitySet(endpoint) }],
          action: { do: 'goto', chain: this.#endpointChain(endpoint) },
        });
      }
    }
    rules.push({ when: [], action: { do: 'spread', chains: endpoints.map((e) => this.#endpointChain(e)) } });
    const chain = this.#name(kind);
    this.#chains.set(chain, rules);
    return chain;
  }

  #externalClaims(clusterChain: string | undefined, localChain: string | undefined): Claim[] {
    const port = this.#port;
    const addresses = port.externalIPs.length + port.loadBalancerIPs.length;
    if (addresses === 0 && port.nodePort === 0) return [];
    const served = port.externalLocal ? localChain : clusterChain;
    const chain = this.#choice.hasAny ? this.#addExternal(clusterChain, localChain) : undefined;
    const unserved = served ? undefined : this.#choice.hasAny ? 'drop' : 'reject';
    const target = { chain, unserved } as const;
    const firewall = port.loadBalancerIPs.length > 0 ? this.#addFirewall() : undefined;
    const claims = [
      ...port.loadBalancerIPs.map((ip) =>
        this.#claim(this.#vip(ip), RANK.loadBalancerIP, 'services', { ...target, firewall }),
      ),
      ...port.externalIPs.map((ip) => this.#claim(this.#vip(ip), RANK.externalIP, 'services', target)),
    ];
    if (port.nodePort !== 0) {
      claims.push(this.#claim(`${port.protocol} . ${port.nodePort}`, RANK.nodePort, 'nodeports', target));
    }
    return claims;
  }

  #addExternal(clusterChain: string | undefined, localChain: string | undefined): string | undefined {
    const rules: Rule[] = [];
    if (!this.#port.externalLocal) {
      rules.push({ when: [], action: { do: 'markForMasquerade' } });
      if (clusterChain) rules.push({ when: [], action: { do: 'goto', chain: clusterChain } });
    } else {
      // Traffic of pods and of this node itself is not external, whatever address it uses: it may go to any endpoint.
      if (clusterChain && this.#podRanges.length > 0) {
        const source = { match: 'source', ranges: this.#podRanges } as const;
        rules.push({ when: [source], action: { do: 'goto', chain: clusterChain } });
      }
      if (clusterChain) {
        rules.push({ when: [{ match: 'sourceIsLocal' }], action: { do: 'markForMasquerade' } });
        rules.push({ when: [{ match: 'sourceIsLocal' }], action: { do: 'goto', chain: clusterChain } });
      }
      if (localChain) rules.push({ when: [], action: { do: 'goto', chain: localChain } });
    }
    if (!clusterChain && !localChain) return undefined;
    const chain = this.#name('external');
    this.#chains.set(chain, rules);
    return chain;
  }

  #addFirewall(): string | undefined {
    const ranges = this.#port.loadBalancerSourceRanges;
    if (ranges.length === 0) return undefined;
    const chain = this.#name('firewall');
    this.#chains.set(chain, [{ when: [{ match: 'sourceOutside', ranges }], action: { do: 'drop' } }]);
    return chain;
  }

  #claim(
    key: string,
    rank: number,
    kind: 'services' | 'nodeports',
    target: { chain: string | undefined; unserved: Verdict | undefined; firewall?: string | undefined },
  ): Claim {
    const verdicts = new Map<VerdictMap, Verdict>();
    if (target.chain) verdicts.set(kind === 'services' ? 'service-ips' : 'service-nodeports', { goto: target.chain });
    const refused = kind === 'services' ? 'no-endpoint-services' : 'no-endpoint-nodeports';
    if (target.unserved) verdicts.set(refused, target.unserved);
    if (target.firewall) verdicts.set('firewall-ips', { goto: target.firewall });
    return { key, rank, verdicts };
  }

  #udpTargets(): UdpTarget[] {
    const { clusterIP, externalIPs, loadBalancerIPs, port, nodePort } = this.#port;
    const endpoints = this.#choice.reachable.map((e) => e.address);
    const targets: UdpTarget[] = [clusterIP, ...externalIPs, ...loadBalancerIPs].map((address) => ({
      address,
      port,
      endpoints,
    }));
    return nodePort === 0 ? targets : [...targets, { address: undefined, port: nodePort, endpoints }];
  }

  #vip(address: string): string {
    return `${address} . ${this.#port.protocol} . ${this.#port.port}`;
  }

  #name(kind: string): string {
    return `${kind}-${shortHash(this.#id)}-${this.#id}`;
  }

  #endpointChain(endpoint: ProxyEndpoint): string {
    return this.#endpointName('endpoint', endpoint, '');
  }

  /** The timeout is part of what the name stands for: a set's timeout cannot be changed, another set replaces it. */
  #affinitySet(endpoint: ProxyEndpoint): string {
    return this.#endpointName('affinity', endpoint, `/${this.#port.affinitySeconds}`);
  }

  #endpointName(kind: string, endpoint: ProxyEndpoint, further: string): string {
    // Colons of IPv6 addresses may not be in nft's names.
    const id = `${this.#id}__${endpoint.address.replaceAll(':', '.')}/${endpoint.port}`;
    return `${kind}-${shortHash(id + further)}-${id}`;
  }
}

/** Tells names apart that would be alike where a hyphen or slash may stand for two things. */
function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8).toUpperCase();
}
