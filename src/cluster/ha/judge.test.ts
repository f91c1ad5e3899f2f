import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KnownApiServer } from '../../client/https.ts';
import type { EtcdMember } from './etcd-admin.ts';
import { type HaFacts, type HostFacts, judge } from './judge.ts';

const ALL = ['etcd', 'server', 'agent', 'haproxy', 'keepalived', 'containerd'] as const;

function controlPlane(n: number, more: Partial<HostFacts> = {}): HostFacts {
  return {
    name: `cp-${n}`,
    role: 'control-plane',
    address: `10.0.0.${n}`,
    isOn: true,
    isPlugged: true,
    components: ALL,
    holdsAddress: n === 1,
    etcd: { memberId: `m${n}`, leaderId: 'm2', term: '4', isHealthy: true, databaseBytes: 1 },
    server: { isLive: true, isReady: true },
    apiServers: [known()],
    ...more,
  };
}

const GONE: Partial<HostFacts> = {
  isOn: false,
  components: [],
  holdsAddress: false,
  etcd: undefined,
  server: undefined,
  apiServers: undefined,
};

function known(more: Partial<KnownApiServer> = {}): KnownApiServer {
  const url = 'https://10.0.0.100:6443';
  return { url, isHealthy: true, isLive: true, isMember: true, connections: 1, answeredBy: ['cp-2'], ...more };
}
const CUT: Partial<HostFacts> = { isPlugged: false, etcd: undefined, server: { isLive: false, isReady: false } };

function member(n: number, more: Partial<EtcdMember> = {}): EtcdMember {
  return { id: `m${n}`, name: `cp-${n}`, peerUrls: [], isLearner: false, ...more };
}

function facts(hosts: readonly HostFacts[], more: Partial<HaFacts> = {}): HaFacts {
  return {
    hosts,
    destroyed: [],
    virtualAddress: '10.0.0.100',
    members: hosts.map((_, i) => member(i + 1)),
    leases: ['kube-controller-manager', 'kube-scheduler'].map((name) => ({ name, holder: 'cp-1', isCurrent: true })),
    nodes: hosts.map(({ name }) => ({ name, ready: true, reason: '' })),
    ...more,
  };
}

const three = (first: Partial<HostFacts> = {}, second: Partial<HostFacts> = {}): HostFacts[] => [
  controlPlane(1, first),
  controlPlane(2, second),
  controlPlane(3),
];

test('all is well: one of three may be lost', () => {
  const judged = judge(facts(three()));
  assert.deepEqual(judged.tolerates, { etcd: 1, servers: 2, address: 2, all: 1 });
  assert.deepEqual([judged.problems, judged.warnings], [[], []]);
  assert.deepEqual([judged.isAvailable, judged.leader, judged.holders], [true, 'cp-2', ['cp-1']]);
  assert.equal(judge(facts([1, 2, 3, 4, 5].map((n) => controlPlane(n)))).tolerates.all, 2);
});

test('one lost: it works, and nothing more may fail', () => {
  const judged = judge(facts(three({}, GONE)));
  assert.deepEqual(judged.tolerates, { etcd: 0, servers: 1, address: 1, all: 0 });
  assert.equal(judged.isAvailable, true);
  assert.deepEqual(judged.problems, ['host cp-2 is off', 'etcd member cp-2 is not healthy']);
});

test('two lost: no quorum, whatever else runs', () => {
  const alone = controlPlane(1, {
    etcd: { memberId: 'm1', leaderId: undefined, term: '4', isHealthy: false, databaseBytes: 1 },
    server: { isLive: true, isReady: false },
  });
  const judged = judge(facts([alone, controlPlane(2, GONE), controlPlane(3, CUT)], { nodes: undefined, leases: [] }));
  assert.deepEqual(judged.tolerates, { etcd: -1, servers: -1, address: 0, all: -1 });
  assert.equal(judged.isAvailable, false);
  assert.equal(judged.leader, undefined);
  assert.ok(judged.problems.includes('the API server on cp-1 lives and is not ready'));
  assert.ok(judged.problems.includes('host cp-3 has its cable pulled'));
  assert.ok(judged.problems.includes('no API server is ready'));
});

test('the address: held by nobody, by two, or not wanted', () => {
  const nobody = judge(facts(three({ holdsAddress: false })));
  assert.deepEqual([nobody.tolerates.address, nobody.isAvailable], [-1, false]);
  assert.deepEqual(nobody.problems, ['nobody holds the address 10.0.0.100']);
  const two = judge(facts(three({}, { holdsAddress: true })));
  assert.deepEqual(two.problems, ['the address 10.0.0.100 is held by 2 hosts: cp-1, cp-2']);
  assert.equal(two.isAvailable, true);
  const components = ['etcd', 'server', 'agent', 'containerd'] as const;
  const without = [1, 2, 3].map((n) => controlPlane(n, { components, holdsAddress: false }));
  const judged = judge(facts(without, { virtualAddress: undefined }));
  assert.deepEqual([judged.tolerates, judged.problems], [{ etcd: 1, servers: 2, all: 1 }, []]);
  assert.deepEqual(
    judge(facts(without)).problems.filter((text) => text.includes('does not run on cp-1')),
    ['haproxy does not run on cp-1', 'keepalived does not run on cp-1'],
  );
});

test('etcd: even numbers, members without a host, learners, disagreement', () => {
  const four = [1, 2, 3, 4].map((n) => controlPlane(n));
  assert.deepEqual(judge(facts(four)).warnings, [
    'etcd has 4 voting members, an even number: they tolerate 1 lost, as 3 would',
  ]);
  assert.equal(judge(facts(four)).tolerates.etcd, 1);
  const lost = { name: 'cp-1', role: 'control-plane', address: '10.0.0.1', destroyed: true } as const;
  const replaced = judge(
    facts([controlPlane(2), controlPlane(3)], { destroyed: [lost], members: [member(1), member(2), member(3)] }),
  );
  assert.equal(replaced.tolerates.etcd, 0, 'a member whose host is gone still counts');
  assert.match(replaced.warnings[0]!, /^etcd counts on member cp-1, whose host was destroyed: "tsukube server join"/);
  const learning = judge(facts(three(), { members: [member(1), member(2), member(3, { isLearner: true })] }));
  assert.equal(learning.tolerates.etcd, 0, 'a learner has no vote');
  assert.deepEqual(learning.problems, ['etcd member cp-3 has no vote yet']);
  const parted = three({ etcd: { memberId: 'm1', leaderId: 'm1', term: '3', isHealthy: true, databaseBytes: 1 } });
  assert.equal(judge(facts(parted)).leader, 'cp-2', 'the newest term counts');
  assert.deepEqual(judge(facts(parted)).warnings, ['the members of etcd do not agree who leads']);
  assert.deepEqual(judge(facts(three(), { members: [member(1), member(2)] })).problems, ['cp-3 is no member of etcd']);
});

test('leaders and nodes', () => {
  const expired = [{ name: 'kube-scheduler', holder: 'cp-1', isCurrent: false }];
  assert.deepEqual(judge(facts(three(), { leases: expired })).problems, [
    'nobody leads kube-controller-manager',
    'nobody leads kube-scheduler',
  ]);
  const nodes = [
    { name: 'cp-1', ready: true, reason: '' },
    { name: 'cp-2', ready: false, reason: 'it sleeps' },
  ];
  assert.deepEqual(judge(facts(three(), { nodes })).problems, [
    'node cp-2 is not ready: it sleeps',
    'node cp-3 has not registered',
  ]);
});

test('an agent that reaches one of several API servers is well; one that reaches none is a problem', () => {
  const lost = known({ isHealthy: false, connections: 0, answeredBy: [] });
  assert.deepEqual(judge(facts(three({ apiServers: [lost, known()] }))).problems, []);
  assert.deepEqual(judge(facts(three({ apiServers: [lost, lost] }))).problems, [
    'the agent on cp-1 reaches no API server',
  ]);
  assert.deepEqual(judge(facts(three({ apiServers: undefined }))).problems, []);
});
