import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client, ResourceClient } from '../client/contract.ts';
import { StatusError } from '../machinery/status.ts';
import { servicePorts } from '../proxy/service-port.ts';
import { dnsService, ensureDnsService } from './dns.ts';

/** A client of which only the creation of Services is used. */
function clientThat(create: () => Promise<unknown>): Client {
  const services = { create } as unknown as ResourceClient<unknown>;
  return { resource: () => services } as unknown as Client;
}

test('the service of cluster DNS is left alone by the proxy', () => {
  assert.deepEqual(servicePorts(dnsService('10.96.0.10'), 'IPv4'), []);
});

test("one that is there stays as it is; another refusal is the caller's to know", async () => {
  const { signal } = new AbortController();
  const exists = new StatusError('AlreadyExists', 'services "kube-dns" already exists');
  await ensureDnsService(
    clientThat(() => Promise.reject(exists)),
    '10.96.0.10',
    signal,
  );
  const forbidden = new StatusError('Forbidden', 'no');
  await assert.rejects(
    ensureDnsService(
      clientThat(() => Promise.reject(forbidden)),
      '10.96.0.10',
      signal,
    ),
    forbidden,
  );
});
