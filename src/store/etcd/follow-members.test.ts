import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { endpointsOf, followMembers } from './follow-members.ts';
import type { Member } from './rpc.ts';

function member(name: string, more: Partial<Member> = {}): Member {
  return { id: 1n, name, peerUrls: [`https://${name}:2380`], clientUrls: [url(name)], isLearner: false, ...more };
}

const url = (name: string): string => `https://${name}:2379`;

test('those that stay keep their order, the own one first; who has no vote or never started is left out', () => {
  const before = ['cp-2', 'cp-1', 'cp-3'].map(url);
  const members = [
    member('cp-3'),
    member('cp-4'),
    member('cp-2'),
    member('cp-5', { isLearner: true }),
    member('', { clientUrls: [] }),
  ];
  assert.deepEqual(endpointsOf(members, before), ['cp-2', 'cp-3', 'cp-4'].map(url));
});

test('a change is told once; nobody, a failure and a member that is not well change nothing', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const told: (readonly string[])[] = [];
  let healthy = true;
  let endpoints = ['cp-1', 'cp-2'].map(url);
  let answer: () => readonly Member[] = () => [member('cp-2'), member('cp-1')];
  const rpc = {
    get endpoints() {
      return endpoints.map((one) => ({ url: one, connected: true, healthy }));
    },
    memberList: async () => answer(),
  };
  const use = (urls: readonly string[]): void => {
    told.push(urls);
    endpoints = [...urls];
  };
  const following = followMembers({ rpc, use, clock, log: silentLog, intervalMs: 1_000 }, stop.signal);
  await clock.advance(3_000);
  answer = () => [];
  await clock.advance(1_000);
  answer = () => {
    throw new Error('no answer');
  };
  await clock.advance(1_000);
  answer = () => [member('cp-2'), member('cp-3')];
  healthy = false;
  await clock.advance(3_000);
  assert.deepEqual(told, []);
  healthy = true;
  await clock.advance(3_000);
  assert.deepEqual(told, [['cp-2', 'cp-3'].map(url)]);
  stop.abort();
  await following;
});
