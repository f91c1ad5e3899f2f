import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Resource, Tables } from './tables.ts';

test('the preferred version of a resource is found again, and another one when resources come and go', () => {
  const tables = new Tables();
  const pods = tables.resource('', 'v1', 'pods')!;
  const custom = { ...pods, group: 'example.com', resource: 'things', custom: {} } as unknown as Resource;
  const find = (): Resource | undefined => tables.preferred('example.com', 'things');
  assert.equal(tables.preferred('', 'pods'), pods);
  assert.equal(tables.preferred('', 'pods'), pods);
  assert.equal(tables.preferred('apps', 'pods'), undefined);
  assert.equal(find(), undefined);
  tables.addResource(custom);
  assert.equal(find(), custom);
  const next = { ...custom };
  tables.addResource(next);
  assert.equal(find(), next);
  tables.removeResource(next);
  assert.equal(find(), undefined);
});
