import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { settle } from '../lib/fake-clock.ts';
import { until } from '../lib/test-until.ts';
import { realClock, realRandom } from '../platform/environment.ts';
import { Link } from './link.ts';

const BYTES = 64 << 20;
const PIECE = 256 << 10;
/** Rounds of the event loop without a byte that show that the sender has been made to wait. */
const STILL = 100;

test('a sender waits for a receiver that takes nothing, and then everything arrives', async (t) => {
  const arrived = Promise.withResolvers<Socket>();
  const server = createServer({ pauseOnConnect: true }, (socket) => arrived.resolve(socket));
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const target = { address: '127.0.0.1', port: (server.address() as { port: number }).port };
  const link = new Link({ clock: realClock, random: realRandom, target, listenAddress: '127.0.0.1' });
  t.after(() => link.close());
  const sender = connect(await link.listen(0), '127.0.0.1');
  let taken = 0;
  const piece = Buffer.alloc(PIECE);
  const send = (): void => {
    if (taken === BYTES) return;
    sender.write(piece, () => {
      taken += PIECE;
      send();
    });
  };
  send();
  let before = -1;
  for (let still = 0; still < STILL && taken < BYTES; before = taken) {
    await settle();
    still = before === taken ? still + 1 : 0;
  }
  assert.ok(taken < BYTES / 2, `${taken} bytes were taken from the sender`);
  const receiver = await arrived.promise;
  t.after(() => {
    receiver.destroy();
    sender.destroy();
  });
  let received = 0;
  receiver.on('data', (part) => {
    received += part.length;
  });
  receiver.resume();
  await until('everything has arrived', () => received === BYTES);
});
