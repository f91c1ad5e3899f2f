import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { NoAnswer } from '../probes/connection.ts';
import { watchPods } from './pod-watch.ts';

const object = (name: string, resourceVersion: string) => ({
  metadata: { name, uid: name, resourceVersion, labels: { app: 'web' } },
  spec: {},
});
const event = (type: string, name: string, version: string) => JSON.stringify({ type, object: object(name, version) });

/** What each list and each watch answers, in turn; what was asked and told. */
async function watched(lists: readonly (string | Error)[], watches: readonly (readonly (string | Error)[])[]) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const told: string[] = [];
  const [list, watch] = [lists.values(), watches.values()];
  const connection = {
    ask: async () => {
      const next = list.next().value ?? assert.fail('listed too often');
      if (next instanceof Error) throw next;
      return { code: 200, text: next };
    },
    async *lines(path: string) {
      told.push(`watch from ${new URLSearchParams(path.split('?')[1]).get('resourceVersion')}`);
      const next = watch.next().value;
      if (!next) return stop.abort();
      for (const line of next) {
        if (line instanceof Error) throw line;
        yield line;
      }
    },
    connects: 1,
    renew: () => undefined,
  };
  const watching = watchPods(
    {
      connection,
      clock,
      onList: (pods) => told.push(`list ${pods.map(({ name }) => name).join(' ')}`),
      onChange: (isGone, { name }) => told.push(`${isGone ? 'gone' : 'saw'} ${name}`),
    },
    stop.signal,
  );
  while (!stop.signal.aborted) await clock.advance(50);
  await watching;
  return told;
}

const LIST = JSON.stringify({ metadata: { resourceVersion: '7' }, items: [object('a', '3'), object('b', '5')] });

test('a watch goes on from the last change that it saw, so that none is missed or seen twice', async () => {
  const broken = [event('MODIFIED', 'a', '8'), event('BOOKMARK', '', '12'), new NoAnswer('broken')];
  assert.deepEqual(await watched([LIST], [broken, [event('DELETED', 'a', '13')], []]), [
    'list a b',
    ...['watch from 7', 'saw a', 'watch from 12', 'gone a', 'watch from 13', 'watch from 13'],
  ]);
});

test('where the server has forgotten, everything is listed anew; a server that fails is asked again', async () => {
  const gone = { kind: 'Status', code: 410, reason: 'Expired' };
  const expired = [JSON.stringify({ type: 'ERROR', object: gone })];
  const failing = [JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 500 } })];
  assert.deepEqual(await watched([new NoAnswer('no'), LIST, LIST, LIST], [failing, [JSON.stringify(gone)], expired]), [
    'list a b',
    ...['watch from 7', 'watch from 7', 'list a b', 'watch from 7', 'list a b', 'watch from 7'],
  ]);
});
