// Watches as clients see them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../lib/test-until.ts';
import { type Answer, CONFIG_MAPS, clock, configMap, http2, watch } from './test-server.ts';

test('a watch begins with what there is, then tells every change, also of what leaves its selector', async () => {
  const labelled = (value: string) => ({ ...configMap('seen'), metadata: { name: 'seen', labels: { show: value } } });
  await http2('POST', CONFIG_MAPS, { body: labelled('yes') });
  const watching = watch(`${CONFIG_MAPS}?watch=1&labelSelector=show%3Dyes`);
  assert.deepEqual(
    (await watching.frames(1)).map((frame) => [frame.type, frame.object.metadata.name]),
    [['ADDED', 'seen']],
  );
  await http2('PATCH', `${CONFIG_MAPS}/seen`, {
    body: { data: { k: '2' } },
    headers: { 'content-type': 'application/merge-patch+json' },
  });
  await http2('PUT', `${CONFIG_MAPS}/seen`, { body: labelled('no') });
  await http2('PUT', `${CONFIG_MAPS}/seen`, { body: labelled('yes') });
  await http2('DELETE', `${CONFIG_MAPS}/seen`);
  const frames = await watching.frames(5);
  assert.deepEqual(
    frames.map((frame) => frame.type),
    ['ADDED', 'MODIFIED', 'DELETED', 'ADDED', 'DELETED'],
  );
  const versions = frames.map((frame) => Number(frame.object.metadata.resourceVersion));
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => a - b),
  );
  watching.stream.close();
});

test('two watchers get the same; a table watch names its columns once', async () => {
  const both = [watch(`${CONFIG_MAPS}?watch=1&resourceVersion=0`), watch(`/api/v1/configmaps?watch=true`)];
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  const { json: list } = await http2('GET', CONFIG_MAPS);
  const table = watch(`${CONFIG_MAPS}?watch=1&resourceVersion=${list.metadata.resourceVersion}`, { accept });
  for (const one of [...both, table]) await until('the watch begins', () => one.status !== 0);
  await http2('POST', CONFIG_MAPS, { body: configMap('w1') });
  await http2('POST', CONFIG_MAPS, { body: configMap('w2') });
  const [first, second] = await table.frames(2);
  assert.equal(first.object.columnDefinitions[0].name, 'Name');
  assert.equal(second.object.columnDefinitions, null);
  assert.equal(second.object.rows[0].cells[0], 'w2');
  for (const one of both) {
    const names = async () => (await one.frames(2)).map((frame) => frame.object.metadata.name);
    await until('it hears of w2', async () => (await names()).includes('w2'));
    one.stream.close();
  }
  table.stream.close();
});

test('a version that is not to be had is refused after a while', async () => {
  const future = http2('GET', `${CONFIG_MAPS}?resourceVersion=99999999`);
  let answer: Answer | undefined;
  void future.then((received) => {
    answer = received;
  });
  await until('it is refused', async () => {
    await clock.advance(1_000);
    return answer;
  });
  assert.deepEqual([answer!.status, answer!.json.reason], [504, 'Timeout']);
  assert.equal((await http2('GET', `${CONFIG_MAPS}?watch=1&resourceVersion=x`)).status, 400);
});

test('a watch ends after its time, and tells so by ending', async () => {
  const watching = watch(`${CONFIG_MAPS}?watch=1&timeoutSeconds=5`);
  await watching.frames(1);
  let ended = false;
  watching.stream.once('end', () => {
    ended = true;
  });
  await clock.advance(4_000);
  assert.equal(ended, false);
  await until('the watch ends', async () => {
    await clock.advance(1_000);
    return ended;
  });
});
