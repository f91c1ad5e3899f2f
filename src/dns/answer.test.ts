import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint, EndpointSlice, Service } from '../api/generated/types.ts';
import { type Answer, answer, type DnsRecord } from './answer.ts';
import { ClusterRecords } from './cluster-records.ts';

const ZONE = { name: 'cluster.local', ttlSeconds: 30, serverAddresses: ['10.96.0.10'] };

function makeService(name: string, spec: Partial<Service['spec']>): Service {
  return { metadata: { name, namespace: 'default' }, spec: { ports: [{ name: 'http', port: 80 }], ...spec } };
}

function makeSlice(service: string, endpoints: readonly Endpoint[], suffix = 'a', addressType = 'IPv4'): EndpointSlice {
  const labels = { 'kubernetes.io/service-name': service };
  return {
    metadata: { name: `${service}-${suffix}`, namespace: 'default', labels },
    addressType: addressType as EndpointSlice['addressType'],
    endpoints,
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  };
}

function cluster(): ClusterRecords {
  const records = new ClusterRecords();
  records.putNamespace('default');
  records.putService(
    makeService('web', {
      clusterIP: '10.96.0.7',
      ports: [
        { name: 'http', port: 80 },
        { name: 'alt', port: 81, protocol: 'UDP' },
      ],
    }),
  );
  records.putService(makeService('dual', { clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8', 'FD00:0::8'] }));
  records.putService(makeService('db', { clusterIP: 'None' }));
  records.putService(makeService('empty', { clusterIP: 'None' }));
  records.putService(makeService('out', { type: 'ExternalName', externalName: 'Example.ORG.' }));
  records.putService(makeService('alias', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }));
  records.putService(makeService('loop', { type: 'ExternalName', externalName: 'loop.default.svc.cluster.local' }));
  records.putSlice(
    makeSlice('db', [
      { addresses: ['10.244.0.1'], hostname: 'db-0' },
      { addresses: ['10.244.0.2'], conditions: { ready: true } },
      { addresses: ['10.244.0.3'], hostname: 'db-2', conditions: { ready: false } },
    ]),
  );
  records.putSlice(makeSlice('db', [{ addresses: ['fd00::1'], hostname: 'db-0' }], 'six', 'IPv6'));
  return records;
}

const ask = (name: string, type: string, records = cluster()): Answer | undefined =>
  answer({ name, type }, records, ZONE);

function short(record: DnsRecord): string {
  const data =
    record.type === 'SRV' ? Object.values(record.data).join(' ') : record.type === 'SOA' ? 'soa' : record.data;
  return `${record.name} ${record.type} ${data}`;
}

const lines = (name: string, type: string): string[] => (ask(name, type)?.answers ?? []).map(short).sort();

function negative(name: string, type: string): string {
  const found = ask(name, type)!;
  assert.deepEqual(found.answers, []);
  assert.deepEqual(
    found.authorities.map((r) => [r.name, r.type, r.ttl]),
    [['cluster.local', 'SOA', 30]],
  );
  return found.rcode;
}

test('a service has its cluster IPs', () => {
  assert.deepEqual(lines('web.default.svc.cluster.local', 'A'), ['web.default.svc.cluster.local A 10.96.0.7']);
  assert.deepEqual(lines('dual.default.svc.cluster.local', 'AAAA'), ['dual.default.svc.cluster.local AAAA fd00::8']);
  assert.equal(negative('web.default.svc.cluster.local', 'AAAA'), 'NOERROR');
  assert.equal(negative('web.default.svc.cluster.local', 'MX'), 'NOERROR');
});

test('a headless service has its ready endpoints, together and each by its own name', () => {
  const name = 'db.default.svc.cluster.local';
  assert.deepEqual(lines(name, 'A'), [`${name} A 10.244.0.1`, `${name} A 10.244.0.2`]);
  assert.deepEqual(lines(name, 'AAAA'), [`${name} AAAA fd00::1`]);
  assert.deepEqual(lines(`db-0.${name}`, 'A'), [`db-0.${name} A 10.244.0.1`]);
  assert.deepEqual(lines(`10-244-0-2.${name}`, 'A'), [`10-244-0-2.${name} A 10.244.0.2`]);
  assert.equal(negative(`db-2.${name}`, 'A'), 'NXDOMAIN');
  assert.equal(negative('empty.default.svc.cluster.local', 'A'), 'NXDOMAIN');
});

test('ports are SRV records, with the addresses of what they point at', () => {
  const web = 'web.default.svc.cluster.local';
  assert.deepEqual(lines(`_http._tcp.${web}`, 'SRV'), [`_http._tcp.${web} SRV 0 100 80 ${web}`]);
  assert.deepEqual(lines(`_alt._udp.${web}`, 'SRV'), [`_alt._udp.${web} SRV 0 100 81 ${web}`]);
  assert.deepEqual(ask(`_http._tcp.${web}`, 'SRV')!.additionals.map(short), [`${web} A 10.96.0.7`]);
  assert.equal(negative(`_http._udp.${web}`, 'SRV'), 'NXDOMAIN');
  assert.equal(negative(`http.tcp.${web}`, 'SRV'), 'NXDOMAIN');
  assert.deepEqual(lines(web, 'SRV').length, 2);
  const db = 'db.default.svc.cluster.local';
  assert.deepEqual(lines(`_http._tcp.${db}`, 'SRV'), [
    `_http._tcp.${db} SRV 0 50 8080 10-244-0-2.${db}`,
    `_http._tcp.${db} SRV 0 50 8080 db-0.${db}`,
  ]);
  const additionals = ask(`_http._tcp.${db}`, 'SRV')!.additionals.map(short).sort();
  assert.deepEqual(additionals, [
    `10-244-0-2.${db} A 10.244.0.2`,
    `db-0.${db} A 10.244.0.1`,
    `db-0.${db} AAAA fd00::1`,
  ]);
});

test('an external name is an alias, followed within the zone and marked where it leads outside', () => {
  const out = ask('out.default.svc.cluster.local', 'A')!;
  assert.deepEqual(out.answers.map(short), ['out.default.svc.cluster.local CNAME example.org']);
  assert.equal(out.alias, 'example.org');
  assert.deepEqual(lines('alias.default.svc.cluster.local', 'A'), [
    'alias.default.svc.cluster.local CNAME web.default.svc.cluster.local',
    'web.default.svc.cluster.local A 10.96.0.7',
  ]);
  assert.deepEqual(lines('out.default.svc.cluster.local', 'CNAME').length, 1);
  assert.ok(10 > lines('loop.default.svc.cluster.local', 'A').length);
  assert.equal(negative('out.default.svc.cluster.local', 'SRV'), 'NOERROR');
});

test('addresses have names', () => {
  assert.deepEqual(lines('7.0.96.10.in-addr.arpa', 'PTR'), [
    '7.0.96.10.in-addr.arpa PTR web.default.svc.cluster.local',
  ]);
  assert.deepEqual(lines('1.0.244.10.in-addr.arpa', 'PTR'), [
    '1.0.244.10.in-addr.arpa PTR db-0.db.default.svc.cluster.local',
  ]);
  assert.equal(ask('2.0.244.10.in-addr.arpa', 'PTR'), undefined, 'without a hostname it is not the cluster that knows');
  assert.equal(ask('8.8.8.8.in-addr.arpa', 'PTR'), undefined);
});

test('a pod has the address that is in its name, in namespaces that exist', () => {
  assert.deepEqual(lines('10-244-9-9.default.pod.cluster.local', 'A'), [
    '10-244-9-9.default.pod.cluster.local A 10.244.9.9',
  ]);
  assert.deepEqual(lines('fd00--5.default.pod.cluster.local', 'AAAA'), [
    'fd00--5.default.pod.cluster.local AAAA fd00::5',
  ]);
  assert.equal(negative('10-244-9-9.default.pod.cluster.local', 'AAAA'), 'NOERROR');
  assert.equal(negative('10-244-9-9.nowhere.pod.cluster.local', 'A'), 'NXDOMAIN');
  assert.equal(negative('web.default.pod.cluster.local', 'A'), 'NXDOMAIN');
});

test('what is between a name and the zone exists, what is not there does not', () => {
  for (const name of ['cluster.local', 'svc.cluster.local', 'pod.cluster.local', 'default.svc.cluster.local']) {
    assert.equal(negative(name, 'A'), 'NOERROR', name);
  }
  for (const name of [
    'nothing.default.svc.cluster.local',
    'web.nowhere.svc.cluster.local',
    'nowhere.svc.cluster.local',
    'x.cluster.local',
    'a.b.c.web.default.svc.cluster.local',
    'example.org.default.svc.cluster.local',
  ]) {
    assert.equal(negative(name, 'A'), 'NXDOMAIN', name);
  }
  for (const name of ['example.org', 'xcluster.local', 'local', '']) assert.equal(ask(name, 'A'), undefined, name);
});

test('the zone itself', () => {
  assert.deepEqual(lines('dns-version.cluster.local', 'TXT'), ['dns-version.cluster.local TXT 1.1.0']);
  assert.deepEqual(lines('cluster.local', 'NS'), ['cluster.local NS ns.dns.cluster.local']);
  assert.deepEqual(lines('ns.dns.cluster.local', 'A'), ['ns.dns.cluster.local A 10.96.0.10']);
  assert.deepEqual(lines('cluster.local', 'SOA'), ['cluster.local SOA soa']);
});

test('what is taken away is gone, also where two slices knew it', () => {
  const records = cluster();
  const again = makeSlice('db', [{ addresses: ['10.244.0.1'], hostname: 'db-0' }], 'b');
  records.putSlice(again);
  records.removeSlice(makeSlice('db', []));
  const reverse = (): unknown => ask('1.0.244.10.in-addr.arpa', 'PTR', records)?.answers.length;
  assert.equal(reverse(), 1);
  records.removeSlice(again);
  assert.equal(reverse(), undefined);
  assert.equal(ask('db.default.svc.cluster.local', 'A', records)!.rcode, 'NOERROR', 'the IPv6 endpoint is left');
  const before = records.serial;
  records.removeService(makeService('web', {}));
  assert.equal(ask('web.default.svc.cluster.local', 'A', records)!.rcode, 'NXDOMAIN');
  assert.equal(ask('7.0.96.10.in-addr.arpa', 'PTR', records), undefined);
  assert.ok(records.serial > before);
});

test('a cluster IP that passed to another service belongs to that one', () => {
  const records = cluster();
  records.putService(makeService('new', { clusterIP: '10.96.0.7' }));
  records.removeService(makeService('web', {}));
  const [record] = ask('7.0.96.10.in-addr.arpa', 'PTR', records)!.answers;
  assert.equal(record!.data, 'new.default.svc.cluster.local');
});
