import assert from 'node:assert/strict';
import { it } from 'node:test';
import { NodeRanges, nodeIpamController } from './node-ipam.ts';
import { runTestControllers } from './test-controllers.ts';

it('every node gets a range of its own, kept while the node lives and given out again when it is gone', async () => {
  const cluster = await runTestControllers(nodeIpamController({ clusterCidr: '10.0.0.0/22' }));
  const nodes = cluster.client.resource('nodes');
  const spec = { podCIDR: '10.0.1.0/24', podCIDRs: ['10.0.1.0/24'] };
  await nodes.create({ metadata: { name: 'had-one' }, spec });
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => nodes.create({ metadata: { name }, spec: {} })));
  await cluster.pass(0);
  const ranges = async () => new Map((await nodes.list()).items.map((one) => [one.metadata.name, one.spec.podCIDR]));
  const given = await ranges();
  const chosen = [...given.values()].filter((one) => one !== undefined);
  assert.deepEqual([...new Set(chosen)].sort(), ['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24', '10.0.3.0/24']);
  assert.equal(chosen.length, 4);
  const [lacking] = [...given].find(([, cidr]) => cidr === undefined)!;
  assert.ok((await cluster.events()).includes(`CIDRNotAvailable: Node ${lacking} status is now: CIDRNotAvailable`));
  await nodes.delete({ name: 'had-one' });
  await cluster.pass(0);
  assert.equal((await ranges()).get(lacking), '10.0.1.0/24');
  await cluster.close();
});

it('refuses ranges that it cannot divide', () => {
  assert.throws(() => new NodeRanges('10.0.0.0/28', 24), /do not fit/);
  assert.throws(() => new NodeRanges('fd00::/64', 80), /not an IPv4 range/);
  assert.throws(() => new NodeRanges('10.0.0.300/16', 24), /not an IPv4 range/);
  assert.equal(new NodeRanges('192.168.77.0/16', 24).choose(new Set()), '192.168.0.0/24');
});
