import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodStatus } from '../../api/generated/types.ts';
import { aPod } from '../pod/fixtures.ts';
import { subresourcesOf, verbOf } from './authorize.ts';
import { HttpError, loggedContainer, logOptions } from './container-logs.ts';

test('options of a log request', () => {
  const parse = (query: string) => logOptions(new URLSearchParams(query), 100_000);
  assert.deepEqual(parse(''), { follow: false, timestamps: false, previous: false });
  assert.deepEqual(parse('follow=true&tailLines=0&limitBytes=9&sinceSeconds=40&stream=Stderr&previous=1'), {
    follow: true,
    timestamps: false,
    previous: true,
    tailLines: 0,
    limitBytes: 9,
    sinceMs: 60_000,
    stream: 'stderr',
  });
  assert.equal(parse('sinceTime=1970-01-01T00:00:07Z').sinceMs, 7000);
  for (const bad of ['tailLines=-1', 'tailLines=x', 'limitBytes=0', 'sinceSeconds=0', 'sinceTime=never']) {
    assert.throws(
      () => parse(bad),
      (error) => error instanceof HttpError && error.code === 422,
      bad,
    );
  }
});

test('whose log is read, and why none is', () => {
  const ask = (status: object, previous = false): string => {
    const one = { name: 'main', ready: false, restartCount: 0, image: '', imageID: '', ...status };
    return loggedContainer(aPod(), { containerStatuses: [one] } as PodStatus, 'main', previous);
  };
  const ended = (containerID: string) => ({ terminated: { exitCode: 1, containerID } });
  assert.equal(ask({ state: { running: {} }, containerID: 'c://1' }), 'c://1');
  assert.equal(ask({ state: ended('c://1') }), 'c://1');
  assert.equal(ask({ state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: ended('c://0') }), 'c://0');
  assert.equal(ask({ state: { running: {} }, lastState: ended('c://0') }, true), 'c://0');
  const waits = 'container "main" in pod "web" is waiting to start';
  assert.throws(() => ask({ state: { running: {} } }, true), {
    message: 'previous terminated container "main" in pod "web" not found',
  });
  assert.throws(() => ask({ state: { waiting: { reason: 'ContainerCreating' } } }), {
    message: `${waits}: ContainerCreating`,
  });
  assert.throws(() => ask({ state: { waiting: { reason: 'ImagePullBackOff' } } }), {
    message: `${waits}: trying and failing to pull image`,
  });
  assert.throws(
    () => loggedContainer(aPod(), {}, 'other', false),
    (error) => error instanceof HttpError && error.code === 404,
  );
});

test('paths belong to sub-resources of the node', () => {
  assert.deepEqual(subresourcesOf('/metrics/resource'), ['metrics']);
  assert.deepEqual(subresourcesOf('/stats/summary'), ['stats']);
  assert.deepEqual(subresourcesOf('/exec/a/b/c'), ['proxy']);
  assert.deepEqual(subresourcesOf('/pods'), ['pods', 'proxy']);
  assert.deepEqual([verbOf('POST'), verbOf('GET'), verbOf('TRACE')], ['create', 'get', '']);
});
