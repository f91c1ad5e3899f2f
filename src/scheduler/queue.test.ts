import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../api/generated/types.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import type { EventInterest } from './cluster-events.ts';
import { prioritySort } from './plugins/queue-sort.ts';
import { type PodInfo, podInfo } from './pod-info.ts';
import { MAX_UNSCHEDULABLE_MS, SchedulingQueue } from './queue.ts';

function pod(name: string, change: Partial<Pod['spec']> = {}, labels: Record<string, string> = {}): PodInfo {
  return podInfo({ metadata: { name, namespace: 'default', uid: name, labels }, spec: { containers: [], ...change } });
}

function queue(clock = new FakeClock()): { queue: SchedulingQueue; clock: FakeClock } {
  const made = new SchedulingQueue({
    clock,
    sort: prioritySort,
    gate: ({ pod }) => (pod.spec.schedulingGates?.length ? 'gated' : undefined),
    interests: new Map<string, readonly EventInterest[]>([
      ['Fit', [{ kinds: ['AssignedPodDelete'] }]],
      ['Taint', [{ kinds: ['NodeTaint'], helps: (waiting) => waiting.pod.metadata.name === 'helped' }]],
    ]),
  });
  return { queue: made, clock };
}

const pop = (q: SchedulingQueue): string | undefined => q.pop()?.info.pod.metadata.name;
const gone = { kind: 'AssignedPodDelete', pod: pod('gone') } as const;

test('higher priority first, then first come', async () => {
  const { queue: q, clock } = queue();
  q.add(pod('a'));
  await clock.advance(1);
  q.add(pod('b'));
  q.add(pod('important', { priority: 10 }));
  assert.deepEqual([pop(q), pop(q), pop(q), pop(q)], ['important', 'a', 'b', undefined]);
});

test('an event wakes only pods that it may help', () => {
  const { queue: q } = queue();
  for (const name of ['fit', 'taint', 'helped']) q.add(pod(name));
  for (const [plugin] of [['Fit'], ['Taint'], ['Taint']] as const) q.requeueUnschedulable(q.pop()!, new Set([plugin]));
  assert.equal(pop(q), undefined);
  assert.equal(q.sizes().unschedulable, 3);
  q.publish({ kind: 'NodeTaint', node: { metadata: { name: 'n' }, spec: {} } });
  assert.equal(pop(q), 'helped');
  assert.equal(pop(q), undefined);
  q.publish(gone);
  assert.equal(pop(q), 'fit');
  assert.equal(q.sizes().unschedulable, 1);
});

test('an event that came while a pod was being tried is not lost', () => {
  const { queue: q } = queue();
  q.add(pod('a'));
  const tried = q.pop()!;
  q.publish(gone);
  q.requeueUnschedulable(tried, new Set(['Fit']));
  assert.equal(q.sizes().unschedulable, 0);
  assert.equal(pop(q), 'a');
});

test('a pod that failed sits out its back-off, twice as long each time', async () => {
  const { queue: q, clock } = queue();
  q.add(pod('a'));
  for (const [attempt, seconds] of [1, 2, 4, 8, 10, 10].entries()) {
    const tried = q.pop()!;
    assert.equal(tried.attempts, attempt + 1);
    q.requeueFailed(tried);
    await clock.advance(seconds * 1000 - 1);
    assert.equal(q.pop(), undefined);
    await clock.advance(1);
  }
  assert.equal(pop(q), 'a');
});

test('a pod that no event woke is tried again in the end', async () => {
  const { queue: q, clock } = queue();
  q.add(pod('a'));
  q.requeueUnschedulable(q.pop()!, new Set(['Fit']));
  await clock.advance(MAX_UNSCHEDULABLE_MS - 1);
  assert.equal(q.pop(), undefined);
  await clock.advance(1);
  assert.equal(pop(q), 'a');
});

test('a gated pod waits for its gates', () => {
  const { queue: q } = queue();
  const gated = pod('a', { schedulingGates: [{ name: 'g' }] });
  q.add(gated);
  assert.equal(q.pop(), undefined);
  q.update(pod('a'), gated);
  assert.equal(pop(q), 'a');
});

test('an update of what a pod asks for retries it, an update of its status does not', () => {
  const { queue: q } = queue();
  const first = pod('a');
  q.add(first);
  q.requeueUnschedulable(q.pop()!, new Set(['Fit']));
  q.update(pod('a'), first);
  assert.equal(q.pop(), undefined);
  const changed = pod('a', { nodeSelector: { disk: 'ssd' } });
  q.update(changed, first);
  assert.equal(q.pop()?.info, changed);
});

test('a pod deleted or changed while it was tried', () => {
  const { queue: q } = queue();
  q.add(pod('deleted'));
  const deleted = q.pop()!;
  q.delete(deleted.info.key);
  q.requeueFailed(deleted);
  q.requeueUnschedulable(deleted, new Set());
  assert.equal(q.sizes().backoff, 0);
  const before = pod('changed');
  q.add(before);
  const tried = q.pop()!;
  const after = pod('changed', { tolerations: [{ operator: 'Exists' }] });
  q.update(after, before);
  q.requeueUnschedulable(tried, new Set(['Fit']));
  assert.equal(q.pop()?.info, after);
});

test('wait resolves when there is something to do, and when the queue closes', async () => {
  const { queue: q, clock } = queue();
  let woken = 0;
  const wait = (): void => void q.wait().then(() => woken++);
  wait();
  await clock.advance(0);
  assert.equal(woken, 0);
  q.add(pod('a'));
  await clock.advance(0);
  assert.equal(woken, 1);
  q.requeueFailed(q.pop()!);
  wait();
  await clock.advance(999);
  assert.equal(q.pop(), undefined);
  await clock.advance(1);
  assert.equal(pop(q), 'a');
  wait();
  q.close();
  await clock.advance(0);
  assert.equal(clock.pending, 0);
});

test('a pod of the same name that is made while the old one is bound is queued', () => {
  const { queue: q } = queue();
  const old = pod('a');
  q.add(old);
  const popped = q.pop()!;
  q.binding(popped.info.key);
  q.delete(old.key);
  const successor = { ...old, uid: 'another', pod: { ...old.pod, metadata: { ...old.pod.metadata, uid: 'another' } } };
  q.update(successor, undefined);
  assert.equal(q.pop(), undefined);
  q.done(old.key);
  assert.equal(q.pop()?.info.uid, 'another');
  q.update(successor, successor);
  q.done(old.key);
  assert.equal(q.pop(), undefined, 'its own changes do not bring it back');
});
