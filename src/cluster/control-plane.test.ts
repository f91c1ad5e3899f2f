import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { silentLog } from '../lib/log.ts';
import { realEnvironment } from '../platform/environment.ts';
import { openMemoryStore } from '../store/memory.ts';
import { startControlPlane } from './control-plane.ts';

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

test('a control plane that cannot be started whole leaves no API server behind', async (t) => {
  const env = realEnvironment('silent');
  const store = openMemoryStore({ clock: env.clock, log: silentLog });
  t.after(() => store.close());
  const port = await freePort();
  const network = { cidr: '10.96.0.0/16', nodePorts: { first: 30000, last: 32767 } };
  const options = {
    ...{ env, store, identity: 'test', clusterCidr: '10.244.0.0/16', profile: 'default' as const },
    // Not of the services' network: the service is refused.
    dnsAddress: '192.0.2.1',
    apiServer: { network, port },
  };
  await assert.rejects(startControlPlane(options, new AbortController().signal), /192\.0\.2\.1/);
  const answered = new Promise<string>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve('somebody listens');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
  assert.equal(await answered, 'ECONNREFUSED');
});
