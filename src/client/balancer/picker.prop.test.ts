import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Balance,
  type BalancerPolicy,
  candidates,
  type Finding,
  found,
  newBalance,
  pick,
  withMembers,
} from './picker.ts';

const THRESHOLDS = { unhealthyThreshold: 2, healthyThreshold: 3 };
const URLS = ['https://a:1', 'https://b:1', 'https://c:1', 'https://d:1'];
const policies = fc.constantFrom<BalancerPolicy>('round-robin', 'least-connections', 'source-hash');
const findings = fc.constantFrom<Finding>('ready', 'live', 'dead');
const steps = fc.array(fc.record({ url: fc.constantFrom(...URLS), finding: findings, passive: fc.boolean() }), {
  maxLength: 60,
});
const after = (
  urls: readonly string[],
  events: readonly { url: string; finding: Finding; passive: boolean }[],
): Balance =>
  events.reduce(
    (balance, e) => found(balance, e.url, e.finding, THRESHOLDS, e.passive && e.finding === 'dead'),
    newBalance(urls),
  );
const options = (policy: BalancerPolicy, source = 's', load: Readonly<Record<string, number>> = {}) => ({
  policy,
  source,
  connections: (url: string) => load[url] ?? 0,
});

describe('the picker', () => {
  it('picks a healthy server when there is one, else one that lives, else any; and none twice in one request', () => {
    fc.assert(
      fc.property(policies, steps, fc.string(), (policy, events, source) => {
        let balance = after(URLS, events);
        const without = new Set<string>();
        for (let i = 0; i < URLS.length; i++) {
          const left = balance.servers.filter(({ url }) => !without.has(url));
          const picked = pick(balance, { ...options(policy, source), without });
          assert.ok(picked);
          const server = left.find(({ url }) => url === picked.url);
          assert.ok(server, 'not one that was tried');
          if (left.some((one) => one.isHealthy)) assert.ok(server.isHealthy);
          else if (left.some((one) => one.isLive)) assert.ok(server.isLive);
          without.add(picked.url);
          balance = picked.balance;
        }
        assert.equal(pick(balance, { ...options(policy, source), without }), undefined);
      }),
    );
  });

  it('health is the naive reading of the findings in order', () => {
    fc.assert(
      fc.property(steps, (events) => {
        const balance = after(URLS, events);
        for (const url of URLS) {
          let isHealthy = true;
          let against = 0;
          for (const e of events.filter((one) => one.url === url)) {
            const isGood = e.finding === 'ready';
            against = isGood === isHealthy ? 0 : against + 1;
            const passive = e.passive && e.finding === 'dead';
            const limit = isHealthy ? (passive ? 1 : THRESHOLDS.unhealthyThreshold) : THRESHOLDS.healthyThreshold;
            if (against >= limit) {
              isHealthy = !isHealthy;
              against = 0;
            }
          }
          assert.equal(balance.servers.find((one) => one.url === url)?.isHealthy, isHealthy, url);
        }
      }),
    );
  });

  it('round-robin is even: over n picks of k candidates nobody differs by more than one', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 40 }), (events, picks) => {
        let balance = after(URLS, events);
        const of = candidates(balance.servers);
        const counts = new Map(of.map(({ url }) => [url, 0]));
        for (let i = 0; i < picks; i++) {
          const picked = pick(balance, options('round-robin'))!;
          counts.set(picked.url, counts.get(picked.url)! + 1);
          balance = picked.balance;
        }
        assert.ok(Math.max(...counts.values()) - Math.min(...counts.values()) <= 1);
      }),
    );
  });

  it('least-connections never picks one that has more than another candidate', () => {
    const loads = fc.tuple(...URLS.map(() => fc.nat({ max: 5 })));
    fc.assert(
      fc.property(steps, loads, (events, counts) => {
        const load = Object.fromEntries(URLS.map((url, i) => [url, counts[i]!]));
        const balance = after(URLS, events);
        const picked = pick(balance, options('least-connections', 's', load))!;
        for (const { url } of candidates(balance.servers)) assert.ok(load[picked.url]! <= load[url]!);
      }),
    );
  });

  it('source-hash: a server that goes moves only its own sources, and gets them back', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 50 }),
        fc.constantFrom(...URLS),
        (sources, gone) => {
          const all = newBalance(URLS);
          const less = found(all, gone, 'dead', THRESHOLDS, true);
          for (const source of sources) {
            const before = pick(all, options('source-hash', source))!.url;
            const now = pick(less, options('source-hash', source))!.url;
            if (before !== gone) assert.equal(now, before);
            else assert.notEqual(now, gone);
          }
        },
      ),
    );
    const spread = new Map(URLS.map((url) => [url, 0]));
    for (let i = 0; i < 1000; i++) {
      const { url } = pick(newBalance(URLS), options('source-hash', `node-${i}`))!;
      spread.set(url, spread.get(url)! + 1);
    }
    for (const [url, count] of spread) assert.ok(count > 150 && count < 350, `${url} has ${count} of 1000`);
  });

  it('members follow the endpoints: what is known is kept, first addresses are the last resort', () => {
    fc.assert(
      fc.property(steps, fc.subarray(URLS, { minLength: 1 }), (events, members) => {
        const before = after(URLS.slice(0, 2), events);
        const now = withMembers(before, members, URLS.slice(0, 2));
        for (const server of now.servers) {
          const known = before.servers.find(({ url }) => url === server.url);
          if (known) assert.equal(server.isHealthy, known.isHealthy);
          assert.equal(server.isMember, members.includes(server.url));
        }
        const picked = pick(now, options('round-robin'))!.url;
        if (now.servers.some((one) => one.isMember && one.isLive)) assert.ok(members.includes(picked));
      }),
    );
  });
});
