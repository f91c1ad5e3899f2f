import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { isReason } from '../../machinery/status.ts';
import { apiServerMetrics } from '../metrics.ts';
import { InFlight } from './limits.ts';
import { requestInfo } from './request-info.ts';

const info = (method: string, path: string) => requestInfo(method, path, new URLSearchParams());
const READ = info('GET', '/api/v1/pods');
const WRITE = info('POST', '/api/v1/namespaces/x/pods');
const LEASE = info('PUT', '/apis/coordination.k8s.io/v1/namespaces/x/leases/y');
const user = { username: 'u', groups: [] };
const master = { username: 'm', groups: ['system:masters'] };

test('what is too much is turned away, with the time to come back; leases and masters get in', async () => {
  const registry = new Registry();
  const inFlight = new InFlight({ readOnly: 2, mutating: 1 }, apiServerMetrics(registry));
  const entered = inFlight.enter(READ, user);
  inFlight.enter(READ, user);
  inFlight.enter(WRITE, user);
  for (const full of [READ, WRITE]) {
    assert.throws(
      () => inFlight.enter(full, user),
      (error) => isReason(error, 'TooManyRequests') && error.details?.retryAfterSeconds === 1,
    );
    inFlight.leave(inFlight.enter(full, master));
  }
  inFlight.leave(inFlight.enter(LEASE, user));
  inFlight.leave(entered);
  inFlight.enter(READ, user);
  const text = await registry.metrics();
  assert.match(text, /apiserver_current_inflight_requests\{request_kind="readOnly"\} 2/);
  assert.match(text, /apiserver_dropped_requests_total\{request_kind="mutating"\} 1/);
});
