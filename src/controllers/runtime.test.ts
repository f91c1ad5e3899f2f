import assert from 'node:assert/strict';
import { it } from 'node:test';
import { recordEvents } from '../client/events.ts';
import { testCluster } from '../client/test-cluster.ts';
import { aborted } from '../lib/abort.ts';
import { InvariantError } from '../lib/assert.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { type Controller, NotYetError, runControllers, watch } from './runtime.ts';
import { runTestControllers } from './test-controllers.ts';

function counter(
  name: string,
  reconcile: (key: string) => Promise<{ requeueAfterMs: number } | undefined>,
): Controller {
  return {
    name,
    watches: () => [watch('configmaps', { keys: ({ metadata }) => [metadata.name] })],
    reconcile: (_ctx, key) => reconcile(key),
  };
}

it('a key that fails backs off alone, and its back-off is forgotten when it succeeds', async () => {
  const calls: string[] = [];
  let broken = true;
  const cluster = await runTestControllers(
    counter('c', async (key) => {
      calls.push(key);
      if (key === 'bad' && broken) throw new Error('no');
      return undefined;
    }),
  );
  const make = (name: string) =>
    cluster.client.resource('configmaps').create({ metadata: { namespace: 'default', name } });
  await make('bad');
  await make('good');
  await cluster.pass(0);
  assert.deepEqual(calls, ['bad', 'good']);
  await cluster.pass(4);
  assert.equal(calls.length, 2);
  await cluster.pass(1);
  assert.deepEqual(calls.slice(2), ['bad']);
  await cluster.pass(9);
  assert.equal(calls.length, 3);
  broken = false;
  await cluster.pass(1);
  assert.deepEqual(calls.slice(3), ['bad']);
  await cluster.pass(100_000);
  assert.equal(calls.length, 4);
  const metrics = await cluster.env.metrics.metrics();
  assert.match(metrics, /workqueue_adds_total\{name="c"\} 4/);
  assert.match(metrics, /workqueue_retries_total\{name="c"\} 2/);
  assert.match(metrics, /workqueue_depth\{name="c"\} 0/);
  await cluster.close();
});

it('what waits for something else is backed off, and said at debug only', async () => {
  const lines: string[] = [];
  const say = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const log: Log = {
    ...silentLog,
    ...{ debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    child: () => log,
  };
  const plane = await testCluster();
  const env = { ...plane.env, log };
  let calls = 0;
  const controller = counter('c', async () => {
    calls++;
    throw new NotYetError('no matches for kind "Thing"');
  });
  const { client, informers, signal } = plane;
  const events = recordEvents({ client, env, component: 'test' }, signal);
  const run = runControllers([controller], { informers, env, events, clientFor: () => client }, signal);
  await plane.pass(0);
  await plane.client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'x' } });
  await plane.pass(0);
  await plane.pass(100);
  assert.ok(calls >= 4 && calls <= 6, `${calls} tries in 100 ms`);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith('debug')),
    [],
  );
  assert.equal(lines.filter((line) => line === 'debug no matches for kind "Thing", will retry').length, calls);
  await plane.close();
  await run;
});

it('looks again after the time asked for', async () => {
  let calls = 0;
  const cluster = await runTestControllers(
    counter('c', async () => {
      calls++;
      return calls === 1 ? { requeueAfterMs: 5_000 } : undefined;
    }),
  );
  await cluster.client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'a' } });
  await cluster.pass(4_999);
  assert.equal(calls, 1);
  await cluster.pass(1);
  assert.equal(calls, 2);
  await cluster.close();
});

it('ends only when its workers have, and at once when an invariant breaks', async () => {
  const cluster = await testCluster();
  const { client, env, informers } = cluster;
  const events = recordEvents({ client, env, component: 'test' }, cluster.signal);
  const options = { informers, env, events, clientFor: () => client };
  const slow = Promise.withResolvers<void>();
  const stop = new AbortController();
  let ended = false;
  const run = runControllers(
    [
      counter('slow', async () => {
        await slow.promise;
        return undefined;
      }),
    ],
    options,
    stop.signal,
  ).then(() => {
    ended = true;
  });
  await client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'a' } });
  await cluster.pass(0);
  stop.abort();
  await cluster.pass(0);
  assert.equal(ended, false);
  slow.resolve();
  await run;
  const broken = counter('broken', () => Promise.reject(new InvariantError('two and two')));
  await assert.rejects(runControllers([broken], options, cluster.signal), /two and two/);
  await cluster.close();
});

it('what runs beside a queue begins anew when it throws, and its controller goes on', async () => {
  let begun = 0;
  const calls: string[] = [];
  const cluster = await runTestControllers({
    ...counter('c', async (key) => {
      calls.push(key);
      return undefined;
    }),
    async run(_ctx, enqueue, signal) {
      if (++begun < 3) throw new Error('no');
      enqueue('sweep');
      await aborted(signal);
    },
  });
  assert.equal(begun, 1);
  await cluster.client.resource('configmaps').create({ metadata: { namespace: 'default', name: 'a' } });
  await cluster.pass(0);
  assert.deepEqual(calls, ['a']);
  await cluster.pass(10_000);
  assert.equal(begun, 3);
  assert.deepEqual(calls, ['a', 'sweep']);
  await cluster.close();
});
