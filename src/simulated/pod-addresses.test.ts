import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PodAddresses } from './pod-addresses.ts';

test('a pod keeps its address, another gets it when it was released, and nothing is kept of nodes without pods', () => {
  const addresses = new PodAddresses();
  const first = addresses.allocate('uid-1', 'node-0', 0, undefined);
  assert.ok(first);
  assert.equal(addresses.allocate('uid-1', 'node-0', 0, undefined), first);
  const second = addresses.allocate('uid-2', 'node-0', 0, undefined);
  assert.notEqual(second, first);
  addresses.release('uid-1');
  addresses.release('uid-1');
  assert.equal(addresses.allocate('uid-3', 'node-0', 0, undefined), first);
  for (let i = 0; 100 > i; i++) {
    addresses.allocate(`uid-of-node-${i}`, `node-${i + 1}`, i + 1, undefined);
    addresses.release(`uid-of-node-${i}`);
  }
  assert.equal(addresses.nodes, 1);
});
