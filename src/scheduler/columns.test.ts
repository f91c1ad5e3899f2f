import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, Pod } from '../api/generated/types.ts';
import { Columns, LABEL_COLUMN_LIMIT, REUSED_FROM } from './columns.ts';
import { counterOfTerms, domainSums } from './pod-groups.ts';
import { podInfo } from './pod-info.ts';

const node = (name: string, allocatable: { [name: string]: string }, more: Partial<Node['spec']> = {}): Node => ({
  metadata: { name, labels: { [name]: 'yes', zone: name } },
  spec: more,
  status: { allocatable },
});
const pod = (name: string, requests: { [name: string]: string }) =>
  podInfo({
    metadata: { namespace: 'default', name },
    spec: { containers: [{ name: 'c', resources: { requests } }] },
  } as Pod);

test('names of resources that nobody has any more leave no columns behind', () => {
  const columns = new Columns();
  const slot = columns.setNode(node('n', { cpu: '1' }));
  for (let i = 0; i < 1000; i++) {
    columns.setNode(node('n', { cpu: '1', [`example.com/r${i}`]: '3' }));
    const info = pod('p', { [`example.com/q${i}`]: '2' });
    columns.addPod(info, slot);
    const [had, asked] = [columns.resource(`example.com/r${i}`)!, columns.resource(`example.com/q${i}`)!];
    assert.deepEqual([columns.allocatable[had]![slot], columns.requested[asked]![slot]], [3, 2]);
    columns.removePod(info, slot);
  }
  assert.ok(columns.resources.size <= REUSED_FROM, `${columns.resources.size} names`);
  assert.ok(columns.allocatable.length <= REUSED_FROM);
  assert.equal(columns.allocatable[columns.resource('cpu')!]![slot], 1000);
});

test('names in use are never given away, however many', () => {
  const columns = new Columns();
  for (let i = 0; i < 200; i++) columns.setNode(node(`n${i}`, { [`example.com/r${i}`]: String(i + 1) }));
  for (let i = 0; i < 200; i++) {
    const slot = columns.slots.get(`n${i}`)!;
    assert.equal(columns.allocatable[columns.resource(`example.com/r${i}`)!]![slot], i + 1);
  }
  assert.equal(columns.resources.size, 203);
  const infos = Array.from({ length: 200 }, (_, i) => pod(`p${i}`, { [`example.com/q${i}`]: String(i + 1) }));
  for (const info of infos) columns.addPod(info, 0);
  for (let i = 0; i < 200; i++) assert.equal(columns.requested[columns.resource(`example.com/q${i}`)!]![0], i + 1);
});

test('asking for a resource that no node has makes no column', () => {
  const columns = new Columns();
  for (let i = 0; i < 1000; i++) assert.equal(columns.resource(`example.com/r${i}`), undefined);
  assert.equal(columns.allocatable.length, 3);
});

test('taint sets that no node has are forgotten; each node keeps its own', () => {
  const columns = new Columns();
  const taint = (value: string) => ({ taints: [{ key: 'k', value, effect: 'NoSchedule' as const }] });
  columns.setNode(node('kept', {}, taint('kept')));
  const slot = columns.setNode(node('n', {}));
  for (let i = 0; i < 1000; i++) {
    columns.setNode(node('n', {}, taint(String(i))));
    assert.equal(columns.taintSets[columns.taintSet[slot]!]![0]!.value, String(i));
  }
  assert.ok(columns.taintSets.length <= REUSED_FROM);
  assert.equal(columns.taintSets[columns.taintSet[columns.slots.get('kept')!]!]![0]!.value, 'kept');
  assert.equal(columns.taintedNodes, 2);
});

test('topology keys of pods have so many columns at most; sums of one that came back are right', () => {
  const columns = new Columns();
  const slot = columns.setNode(node('a', {}));
  const counter = counterOfTerms(columns.groups, [], () => undefined);
  const first = columns.label('zone');
  domainSums(counter, first);
  for (let i = 0; i < 2 * LABEL_COLUMN_LIMIT; i++) domainSums(counter, columns.label(`key-${i}`));
  assert.ok(counter.domains.length <= LABEL_COLUMN_LIMIT + 1, `${counter.domains.length} sums`);
  assert.equal(first.isRetired, true);
  columns.addPod(pod('p', {}), slot);
  const again = columns.label('zone');
  assert.notEqual(again, first);
  assert.equal(domainSums(counter, again)[again.ids[slot]!], 1);
  columns.setNode(node('b', {}));
  assert.equal(again.present, 2);
});
