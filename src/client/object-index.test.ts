import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../api/object.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { ObjectIndex } from './object-index.ts';

const SIGNAL = new AbortController().signal;
const object = (name: string, label?: string): KubeObject => ({
  metadata: { name, namespace: 'default', uid: name, ...(label !== undefined && { labels: { label } }) },
});

test('an object that an index or a handler cannot take is missing there alone, and those after it are taken', () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (_message, error) => void errors.push(String(error)) };
  const index = new ObjectIndex(log);
  const label = ({ metadata }: KubeObject): string => metadata.labels!.label!.toLowerCase();
  index.addIndex('label', (one) => [label(one)]);
  const heard: string[] = [];
  index.subscribe({ add: (one) => void label(one) }, SIGNAL);
  index.subscribe({ add: (one) => heard.push(one.metadata.name) }, SIGNAL);
  index.apply([
    { type: 'ADDED', object: object('bad') },
    { type: 'ADDED', object: object('good', 'X') },
  ]);
  assert.deepEqual(heard, ['bad', 'good']);
  assert.deepEqual(index.byIndex('label', 'x'), [index.get('default/good')]);
  assert.equal(index.list('default').length, 2);
  assert.equal(errors.length, 2);
  index.apply([{ type: 'DELETED', object: object('bad') }]);
  assert.equal(index.list('default').length, 1);
});
