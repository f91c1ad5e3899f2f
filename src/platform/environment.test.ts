import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { realClock } from './environment.ts';

/** Holds the event loop, as a machine without a free core does. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('after a stall what has come is read before a timer that was due fires', async (t) => {
  const server = createServer();
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const client = createConnection((server.address() as AddressInfo).port, '127.0.0.1');
  const [peer] = (await accepted) as [Socket];
  t.after(() => client.destroy());
  const seen: string[] = [];
  const over = new Promise<void>((resolve) => {
    const timer = realClock.timer(20, () => {
      seen.push('lost');
      resolve();
    });
    client.once('data', () => {
      seen.push('answered');
      timer.cancel();
      resolve();
    });
  });
  // A turn of its own, so that the answer is in the socket while nothing reads.
  setImmediate(() => {
    peer.write('here');
    standStill(60);
  });
  await over;
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.deepEqual(seen, ['answered']);
});

test('a timer fires once, and not after it was cancelled', async () => {
  let fired = 0;
  const cancelled = realClock.timer(1, () => fired++);
  cancelled.cancel();
  await new Promise<void>((resolve) => {
    realClock.timer(5, () => {
      fired++;
      resolve();
    });
  });
  assert.equal(fired, 1);
});
