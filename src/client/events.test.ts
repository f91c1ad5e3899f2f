import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Event } from '../api/generated/types.ts';
import { EventCorrelator } from './event-correlation.ts';
import { makeEvent, recordEvents } from './events.ts';
import { type TestCluster, testCluster } from './test-cluster.ts';

const POD = { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'web', uid: 'u1' };
const NOW = Date.UTC(2026, 0, 1);

function event(message: string, nowMs = NOW, name = 'web'): Event {
  const subject = { ...POD, name };
  const source = { component: 'test' };
  return makeEvent({ subject, type: 'Normal', reason: 'Why', message, source, nowMs, suffix: `${nowMs}${message}` });
}

describe('event correlation', () => {
  it('counts the same event up', () => {
    const correlator = new EventCorrelator();
    const first = correlator.correlate(event('m'), NOW);
    const second = correlator.correlate(event('m', NOW + 5000), NOW + 5000);
    assert.equal(first.kind, 'create');
    assert.ok(second.kind === 'patch' && first.kind === 'create');
    assert.equal(second.event.metadata.name, first.event.metadata.name);
    assert.equal(second.event.count, 2);
    assert.equal(second.event.firstTimestamp, first.event.firstTimestamp);
    assert.notEqual(second.event.lastTimestamp, first.event.lastTimestamp);
  });

  it('combines the tenth of similar ones and all that follow into one', () => {
    const correlator = new EventCorrelator();
    const kinds: string[] = [];
    let last: Event | undefined;
    for (let i = 0; i < 13; i++) {
      const decided = correlator.correlate(event(`m${i}`, NOW + i), NOW + i);
      kinds.push(decided.kind);
      if (decided.kind !== 'drop') last = decided.event;
    }
    assert.deepEqual(kinds, [...Array(10).fill('create'), 'patch', 'patch', 'patch']);
    assert.equal(last?.message, '(combined from similar events): m12');
    assert.equal(last?.count, 4);
    const later = NOW + 3_600_000;
    assert.equal(correlator.correlate(event('fresh', later), later).kind, 'create');
  });

  it('drops what one source says of one object beyond 25, and lets one more through in five minutes', () => {
    const correlator = new EventCorrelator();
    const decide = (nowMs: number, name?: string): string => correlator.correlate(event('m', nowMs, name), nowMs).kind;
    for (let i = 0; i < 25; i++) assert.notEqual(decide(NOW), 'drop');
    assert.equal(decide(NOW), 'drop');
    assert.equal(decide(NOW, 'another'), 'create');
    assert.equal(decide(NOW + 300_000), 'patch');
    assert.equal(decide(NOW + 300_000), 'drop');
  });
});

describe('event recorder', () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await testCluster();
  });
  afterEach(() => cluster.close());
  const stored = async (): Promise<readonly Event[]> => (await cluster.client.resource('events').list()).items;

  it('writes events in the background, in the object’s namespace, and counts repeats on the server', async () => {
    const recorder = recordEvents({ ...cluster, component: 'test', host: 'h' }, cluster.signal);
    recorder.event(POD, 'Warning', 'BackOff', 'again');
    recorder.event(POD, 'Warning', 'BackOff', 'again');
    recorder.as('other').event({ apiVersion: 'v1', kind: 'Node', name: 'n' }, 'Normal', 'Ready', 'yes');
    assert.equal((await stored()).length, 0, 'not in the turn of the reporter');
    await cluster.pass(0);
    const events = await stored();
    const pod = events.find((one) => one.reason === 'BackOff');
    assert.equal(events.length, 2);
    assert.equal(pod?.count, 2);
    assert.deepEqual(pod?.source, { component: 'test', host: 'h' });
    assert.equal(pod?.reportingComponent, 'test');
    assert.equal(pod?.involvedObject.uid, 'u1');
    assert.match(pod?.metadata.name ?? '', /^web\.[0-9a-f]+$/);
    const node = events.find((one) => one.reason === 'Ready');
    assert.equal(node?.metadata.namespace, 'default');
    assert.equal(node?.source?.component, 'other');
  });

  it('begins a new event when the counted one is gone', async () => {
    const recorder = recordEvents({ ...cluster, component: 'test' }, cluster.signal);
    recorder.event(POD, 'Normal', 'A', 'm');
    await cluster.pass(0);
    const [first] = await stored();
    await cluster.client.resource('events').delete(first!.metadata);
    recorder.event(POD, 'Normal', 'A', 'm');
    await cluster.pass(0);
    assert.deepEqual(
      (await stored()).map((one) => one.count),
      [2],
    );
  });
});
