import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { FakeClock } from '../../lib/fake-clock.ts';
import { isReason } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';
import { FlowControl, type Passage } from '../flow-control/flow-control.ts';
import { apiServerMetrics } from '../metrics.ts';
import { InFlight } from './limits.ts';
import { requestInfo } from './request-info.ts';

const info = (method: string, path: string) => requestInfo(method, path, new URLSearchParams());
const READ = info('GET', '/api/v1/pods');
const WRITE = info('POST', '/api/v1/namespaces/x/pods');
const user: UserInfo = { username: 'u', groups: [] };
const master: UserInfo = { username: 'm', groups: ['system:masters'] };
const forever = new AbortController().signal;

test('what is under way is counted by kind, and what is turned away', async () => {
  const registry = new Registry();
  // Of the mandatory levels only the catch-all has seats: three, and no queue.
  const flowControl = new FlowControl(3, { clock: new FakeClock(), metrics: registry }, forever);
  const inFlight = new InFlight(flowControl, apiServerMetrics(registry));
  const enter = (...[what, who]: [typeof READ, UserInfo]): Passage =>
    inFlight.enter(what, who, 1, { signal: forever }) as Passage;
  const first = enter(READ, user);
  enter(READ, user);
  enter(WRITE, user);
  for (const full of [READ, WRITE]) {
    assert.throws(
      () => enter(full, user),
      (error) => isReason(error, 'TooManyRequests') && error.details?.retryAfterSeconds === 1,
    );
    enter(full, master).leave();
  }
  first.leave();
  enter(READ, user);
  const text = await registry.metrics();
  assert.match(text, /apiserver_current_inflight_requests\{request_kind="readOnly"\} 2/);
  assert.match(text, /apiserver_current_inflight_requests\{request_kind="mutating"\} 1/);
  assert.match(text, /apiserver_dropped_requests_total\{request_kind="mutating"\} 1/);
});
