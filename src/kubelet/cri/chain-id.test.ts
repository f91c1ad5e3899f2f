import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { chainId } from './client.ts';

test('a stack of layers is named by the stack below and the layer on it', () => {
  const sha = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const [a, b, c] = ['a', 'b', 'c'].map(sha) as [string, string, string];
  assert.equal(chainId([a]), a);
  assert.equal(chainId([a, b]), sha(`${a} ${b}`));
  assert.equal(chainId([a, b, c]), sha(`${sha(`${a} ${b}`)} ${c}`));
});
