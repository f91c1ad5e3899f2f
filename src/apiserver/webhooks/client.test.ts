import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { createCa, issue } from '../auth/certificates.ts';
import { webhookCaller } from './client.ts';

const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
const ca = createCa({ commonName: 'hooks', ...common });
const identity = issue(ca, { commonName: 'hook', sans: ['hook.team.svc'], usages: ['server'], ...common });
const caBundle = Buffer.from(ca.certificate).toString('base64');

/** Says what it was asked for; refuses a path `/no`. */
const webhook = createServer({ cert: identity.certificate, key: identity.key }, (incoming, answer) => {
  answer.statusCode = incoming.url?.startsWith('/no') ? 404 : 200;
  answer.end(JSON.stringify({ url: incoming.url, host: incoming.headers.host }));
});
const stop = new AbortController();
before(() => new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve)));
after(() => {
  stop.abort(new Error('the test is over'));
  webhook.closeAllConnections();
  webhook.close();
});

const call = (path: string | undefined): Promise<unknown> => {
  const place = { host: '127.0.0.1', port: (webhook.address() as AddressInfo).port };
  const ask = webhookCaller(async () => place, new FakeClock(0), stop.signal);
  const service = { namespace: 'team', name: 'hook', ...(path !== undefined && { path }) };
  return ask({ service, caBundle }, {}, { timeoutMs: 10_000, signal: stop.signal });
};

test('a Service is asked at its path; at the root where it has none, or an empty one', async () => {
  const asked = [undefined, '', '/', '/a?b=c'].map(call);
  const host = 'hook.team.svc';
  assert.deepEqual(await Promise.all(asked), [
    { url: '/?timeout=10s', host },
    { url: '/?timeout=10s', host },
    { url: '/?timeout=10s', host },
    { url: '/a?b=c&timeout=10s', host },
  ]);
});

test('what failed is said with the address that was meant', async () => {
  const why = 'the server responded with the status code 404 but did not return more information';
  await assert.rejects(call('/no'), new Error(`Post "https://hook.team.svc:443/no?timeout=10s": ${why}`));
});
