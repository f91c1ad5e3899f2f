// A pod's resolv.conf, /etc/hosts and host name. Pure.
import type { Pod } from '../../api/generated/types.ts';
import type { DnsConfig } from '../cri/types.ts';

export interface DnsOptions {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The host's own resolv.conf. */
  readonly hostResolvConf: string;
}

/** What resolvers accept. */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_HOSTNAME = 63;

export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === 'nameserver' && rest[0]) servers.push(rest[0]);
    else if (word === 'search') searches = rest.map((s) => (s === '.' ? s : s.replace(/\.$/, '')));
    else if (word === 'options') options = [...options, ...rest];
  }
  return { servers, searches, options };
}

export function podDns(pod: Pod, { clusterDns, clusterDomain, hostResolvConf }: DnsOptions): DnsConfig {
  const host = parseResolvConf(hostResolvConf);
  const own = pod.spec.dnsConfig;
  let base: DnsConfig;
  switch (effectivePolicy(pod, clusterDns)) {
    case 'None':
      base = { servers: [], searches: [], options: [] };
      break;
    case 'Default':
      base = host;
      break;
    default: {
      const namespace = pod.metadata.namespace ?? 'default';
      const domains = [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
      const searches = clusterDomain === '' ? host.searches : [...domains, ...host.searches];
      base = { servers: clusterDns, searches: unique(searches), options: ['ndots:5'] };
    }
  }
  return {
    servers: unique([...base.servers, ...(own?.nameservers ?? [])]).slice(0, MAX_NAMESERVERS),
    searches: unique([...base.searches, ...(own?.searches ?? [])]).slice(0, MAX_SEARCHES),
    options: mergeOptions(base.options, own?.options),
  };
}

function effectivePolicy(pod: Pod, clusterDns: readonly string[]): 'None' | 'Default' | 'ClusterFirst' {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None' || policy === 'Default') return policy;
  if (policy === 'ClusterFirst' && pod.spec.hostNetwork) return 'Default';
  // Without a cluster DNS server the host's is better than none.
  return clusterDns.length > 0 ? 'ClusterFirst' : 'Default';
}

type DnsOption = { readonly name?: string; readonly value?: string };

function mergeOptions(base: readonly string[], own: readonly DnsOption[] = []): string[] {
  const byName = new Map(base.map((text) => [text.split(':')[0]!, text]));
  for (const { name = '', value } of own) byName.set(name, value ? `${name}:${value}` : name);
  return [...byName.values()];
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)];
}

export interface PodNames {
  /** What `hostname` prints. */
  readonly hostname: string;
  /** The fully qualified name, when the pod has a subdomain. */
  readonly fqdn: string | undefined;
}

export function podNames(pod: Pod, clusterDomain: string): PodNames {
  const { hostname, subdomain, setHostnameAsFQDN, hostnameOverride } = pod.spec;
  if (hostnameOverride) return { hostname: hostnameOverride, fqdn: undefined };
  const short = hostname || pod.metadata.name.slice(0, MAX_HOSTNAME).replace(/[-.]+$/, '');
  if (!subdomain) return { hostname: short, fqdn: undefined };
  const fqdn = `${short}.${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}`;
  return { hostname: setHostnameAsFQDN ? fqdn : short, fqdn };
}

/** The text of /etc/hosts: the pod's own, or on the host network the host's, with the pod's aliases after it. */
export function hostsFile(pod: Pod, podIPs: readonly string[], names: PodNames, hostFile: string): string {
  const lines = pod.spec.hostNetwork
    ? ['# Kubernetes-managed hosts file (host network).', hostFile.replace(/\n$/, '')]
    : [
        '# Kubernetes-managed hosts file.',
        '127.0.0.1\tlocalhost',
        '::1\tlocalhost ip6-localhost ip6-loopback',
        'fe00::0\tip6-localnet',
        'fe00::0\tip6-mcastprefix',
        'fe00::1\tip6-allnodes',
        'fe00::2\tip6-allrouters',
        ...podIPs.map(
          (ip) =>
            `${ip}\t${names.fqdn ? `${names.fqdn}\t` : ''}${names.fqdn === names.hostname ? names.hostname.split('.')[0] : names.hostname}`,
        ),
      ];
  const aliases = pod.spec.hostAliases ?? [];
  if (aliases.length > 0) {
    lines.push('', '# Entries added by HostAliases.');
    for (const { ip, hostnames } of aliases) lines.push([ip, ...(hostnames ?? [])].join('\t'));
  }
  return `${lines.join('\n')}\n`;
}
