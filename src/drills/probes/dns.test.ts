import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import packet from 'dns-packet';
import { realClock } from '../../platform/environment.ts';
import { askDns } from './dns.ts';

const { signal } = new AbortController();
const NAME = 'web.drill.svc.cluster.local';

test('a question is asked once more when the answer cannot be read, and then refused', async (t) => {
  const server = createSocket('udp4');
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  let asked = 0;
  let good = 2;
  server.on('message', (message, from) => {
    asked++;
    const { questions = [] } = packet.decode(message);
    const answers = [{ type: 'A' as const, name: questions[0]!.name, ttl: 5, data: '10.96.0.1' }];
    const answer = asked >= good ? packet.encode({ type: 'response', id: 1, questions, answers }) : Buffer.from('no');
    server.send(answer, from.port, from.address);
  });
  const options = { server: '127.0.0.1', port: server.address().port, clock: realClock, timeoutMs: 30_000 };
  assert.deepEqual(await askDns(NAME, options, signal), { outcome: 'ok', value: '10.96.0.1', retries: 1 });
  good = 100;
  const refused = await askDns(NAME, options, signal);
  assert.deepEqual([refused.outcome, asked], ['refused', 4]);
});

test('where there is no way to the server it is refused, and nothing else happens', async () => {
  // Nobody may connect to the broadcast address without saying so.
  const options = { server: '255.255.255.255', clock: realClock, timeoutMs: 30_000 };
  const { outcome, error } = await askDns(NAME, options, signal);
  assert.equal(outcome, 'refused');
  assert.match(error ?? '', /connect E/);
});
