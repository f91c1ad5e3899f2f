import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { createCa, issue } from '../auth/certificates.ts';
import { ask, TlsAgents } from './ask.ts';

const common = { nowMs: realClock.now(), validityMs: 3_600_000, random: realRandom };
const authority = createCa({ commonName: 'ca', ...common });
const identity = issue(authority, { commonName: 'server', sans: ['127.0.0.1'], usages: ['server'], ...common });
const ca = authority.certificate;
let handle: (asked: IncomingMessage, answer: ServerResponse) => void;
const connections = new Set<Socket>();
const server = createServer({ cert: identity.certificate, key: identity.key }, (asked, answer) =>
  handle(asked, answer),
);
server.on('connection', (socket) => {
  connections.add(socket);
  socket.on('close', () => connections.delete(socket));
});
const stop = new AbortController();
let port = 0;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
after(() => {
  stop.abort();
  server.closeAllConnections();
  server.close();
});

const post = (agents: TlsAgents, path = '/') =>
  ask({ host: '127.0.0.1', port, path, method: 'POST', agent: agents.of({ ca }) }, 'body');

test('what goes wrong on a connection that was kept is asked once more on another; what goes wrong there is an error', async () => {
  const agents = new TlsAgents(4, stop.signal);
  const used = new WeakSet<Socket>();
  let asked = 0;
  let harsh = false;
  handle = ({ socket }, answer) => {
    asked++;
    if (harsh || used.has(socket)) return socket.destroy();
    used.add(socket);
    return answer.end('yes');
  };
  assert.deepEqual(await post(agents), { code: 200, text: 'yes' });
  assert.equal((await post(agents)).text, 'yes');
  assert.equal(asked, 3);
  harsh = true;
  await assert.rejects(post(agents), { code: 'ECONNRESET' });
  assert.equal(asked, 5);
  await assert.rejects(post(agents), { code: 'ECONNRESET' });
  assert.equal(asked, 6, 'a new connection is no stale one');
});

test('settings that were not used for longest make room; what is under way there is finished', async () => {
  const agents = new TlsAgents(2, stop.signal);
  const release: (() => void)[] = [];
  handle = (asked, answer) => {
    if (asked.url === '/slow') release.push(() => answer.end('slow'));
    else answer.end('quick');
  };
  const slow = post(agents, '/slow');
  await until('it is asked', () => release.length === 1);
  await post(agents);
  const mine = agents.of({ ca });
  agents.of({ ca, servername: 'a' });
  assert.equal(agents.of({ ca }), mine, 'used again');
  agents.of({ ca, servername: 'b' });
  assert.equal(agents.of({ ca }), mine, 'the other one went');
  agents.of({ ca, servername: 'c' });
  agents.of({ ca, servername: 'd' });
  assert.notEqual(agents.of({ ca }), mine);
  release[0]!();
  assert.equal((await slow).text, 'slow');
  await until('no connection of its stays', () => connections.size === 0);
});

test('an answer without end is cut off, and kept connections end with the server that kept them', async () => {
  const ends = new AbortController();
  const agents = new TlsAgents(2, ends.signal);
  handle = (_, answer) => {
    const more = (): void => {
      while (!answer.destroyed && answer.write(Buffer.alloc(1 << 20)));
    };
    answer.on('drain', more);
    more();
  };
  await assert.rejects(post(agents), /the answer is larger than/);
  handle = (_, answer) => answer.end('ok');
  await post(agents);
  await until('one is kept', () => connections.size === 1);
  ends.abort();
  await until('it is ended', () => connections.size === 0);
});
