import { Registry } from 'prom-client';
import { Tables } from '../api/tables.ts';
import { startApiServer } from '../apiserver/server.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import { openMemoryStore } from '../store/memory.ts';
import { clientSuite } from './client.suite.ts';
import { httpsClient } from './https.ts';

clientSuite('HTTPS', async () => {
  const clock = new FakeClock(Date.now());
  const env = { clock, random: seededRandom(5), log: silentLog, metrics: new Registry() };
  const store = openMemoryStore({ clock });
  const tables = new Tables();
  const stop = new AbortController();
  const staticTokens = new Map([['secret', { username: 'admin', groups: ['system:masters'] }]]);
  const server = await startApiServer({ store, tables, env, staticTokens }, stop.signal);
  const access = { servers: [server.url], ca: server.caCertificate, token: 'secret' };
  const client = httpsClient({ access, tables, clock });
  return {
    client,
    async close() {
      client.close();
      await server.close();
      await store.close();
    },
  };
});
