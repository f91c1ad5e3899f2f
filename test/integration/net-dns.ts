// Cluster DNS as a node's agent runs it, for a namespace of the lab: address to listen on, zone, and the resolver
// outside if there is one.

import { dnsService, runDns } from '../../src/dns/dns.ts';
import { hostCommands } from '../../src/network/command.ts';
import { addLocalAddress } from '../../src/network/local-address.ts';
import { PlainInformers } from '../../src/network/test-informers.ts';
import { realEnvironment } from '../../src/platform/environment.ts';

const [address, zone, upstream] = process.argv.slice(2);
const informers = new PlainInformers();
for (const name of ['default', 'kube-system']) informers.put('namespaces', { metadata: { name }, spec: {} });
const spec = { clusterIP: '10.96.0.7', clusterIPs: ['10.96.0.7'], ports: [{ name: 'http', port: 80 }] };
informers.put('services', { metadata: { name: 'web', namespace: 'default' }, spec }, dnsService(address!));
await addLocalAddress(hostCommands, address!);
await runDns(
  {
    informers,
    env: realEnvironment('info'),
    addresses: [address!],
    zone: zone!,
    upstreams: upstream ? [{ address: upstream, port: 53 }] : [],
    listening: () => process.stdout.write('ready\n'),
  },
  new AbortController().signal,
);
