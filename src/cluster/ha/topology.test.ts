import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  apiServerUrls,
  controlPlanes,
  etcdServerUrls,
  freeNetwork,
  joinedBy,
  markedDestroyed,
  movedTo,
  newTopology,
  present,
  withHost,
  withoutHost,
} from './topology.ts';

const request = { cluster: 'lab', network: '172.30.4.0/24', controlPlanes: 3, workers: 2, keepalived: true };

test('hosts get names and addresses; clients use the virtual one', () => {
  const topology = newTopology(request);
  assert.deepEqual(
    topology.hosts.map(({ name, role, address }) => [name, role, address]),
    [
      ['cp-1', 'control-plane', '172.30.4.11'],
      ['cp-2', 'control-plane', '172.30.4.12'],
      ['cp-3', 'control-plane', '172.30.4.13'],
      ['worker-1', 'worker', '172.30.4.14'],
      ['worker-2', 'worker', '172.30.4.15'],
    ],
  );
  assert.deepEqual([topology.gateway, topology.virtualAddress], ['172.30.4.1', '172.30.4.10']);
  assert.deepEqual(apiServerUrls(topology), ['https://172.30.4.10:6443']);
  const { virtualAddress: _, ...without } = topology;
  assert.deepEqual(
    apiServerUrls(without),
    [11, 12, 13].map((n) => `https://172.30.4.${n}:6444`),
  );
});

test('a host that was destroyed keeps its name and address until it is forgotten', () => {
  const topology = newTopology(request);
  const lost = markedDestroyed(topology, 'cp-1');
  assert.deepEqual(
    controlPlanes(lost).map((host) => host.name),
    ['cp-2', 'cp-3'],
  );
  assert.throws(() => withHost(lost, 'cp-1', 'control-plane'), /there is a host "cp-1" already/);
  const replaced = withHost(lost, 'cp-4', 'control-plane');
  assert.equal(replaced.hosts.at(-1)!.address, '172.30.4.16');
  assert.deepEqual(
    etcdServerUrls(replaced),
    ['cp-2', 'cp-3', 'cp-4'].map((name) => `https://${name}:2379`),
  );
  const forgotten = withHost(withoutHost(lost, 'cp-1'), 'cp-1', 'control-plane');
  assert.equal(present(forgotten).at(-1)!.address, '172.30.4.11');
});

test("a control plane joins under a free name, a lost one's, or its own when it had joined by half; never under a worker's", () => {
  const lost = markedDestroyed(newTopology(request), 'cp-1');
  const names = (name: string): readonly string[] => joinedBy(lost, name).hosts.map((host) => host.name);
  assert.deepEqual(names('cp-4'), ['cp-2', 'cp-3', 'worker-1', 'worker-2', 'cp-4']);
  assert.deepEqual(names('cp-1'), ['cp-2', 'cp-3', 'worker-1', 'worker-2', 'cp-1']);
  assert.equal(joinedBy(lost, 'cp-1').hosts.at(-1)!.destroyed, undefined);
  assert.deepEqual(names('cp-2'), ['cp-2', 'cp-3', 'worker-1', 'worker-2']);
  assert.throws(() => joinedBy(lost, 'worker-1'), /"worker-1" is a worker/);
});

test('on another network everything has another address and the same name', () => {
  const before = markedDestroyed(newTopology(request), 'cp-2');
  const moved = movedTo(before, '10.1.2.0/24');
  assert.deepEqual(
    moved.hosts.map(({ name, address, destroyed }) => [name, address.split('.')[3], destroyed]),
    before.hosts.map(({ name, address, destroyed }) => [name, address.split('.')[3], destroyed]),
  );
  assert.ok(moved.hosts.every(({ address }) => address.startsWith('10.1.2.')));
  assert.deepEqual([moved.gateway, moved.virtualAddress, moved.network], ['10.1.2.1', '10.1.2.10', '10.1.2.0/24']);
});

test('names of hosts are names of interfaces too', () => {
  const topology = newTopology(request);
  for (const bad of ['', 'CP', '1a', 'a-', 'sixteen-letters-x', 'machine', 'switch', 'a_b', 'a.b', '../x']) {
    assert.throws(() => withHost(topology, bad, 'worker'), /cannot be a host's name/, bad);
  }
  const [short, long] = ['lab', 'a-cluster-with-a-long-name'].map((cluster) => newTopology({ ...request, cluster }));
  const other = newTopology({ ...request, cluster: 'a-cluster-with-a-long-nama' });
  assert.equal(short!.machineLink, 'tsu-lab');
  assert.ok(long!.machineLink.length <= 15);
  assert.notEqual(long!.machineLink, other.machineLink);
});

test('the network is one that no route of this machine touches', () => {
  assert.equal(freeNetwork(['default', '192.0.2.0/24', '127.0.0.0/8']), '172.30.0.0/24');
  assert.equal(freeNetwork(['172.30.0.7', '172.30.1.128/25']), '172.30.2.0/24');
  assert.equal(freeNetwork(['172.30.0.0/17']), '172.30.128.0/24');
  assert.throws(() => freeNetwork(['172.16.0.0/12']), /choose one with --network/);
});
