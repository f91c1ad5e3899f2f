import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleteFlows, staleAmong, staleFlows } from './conntrack.ts';

const target = (endpoints: string[], address: string | undefined = '10.96.0.53', port = 53) => ({
  address,
  port,
  endpoints,
});

test('flows to an endpoint that is gone are stale', () => {
  assert.deepEqual(staleFlows([target(['10.0.0.1', '10.0.0.2'])], [target(['10.0.0.2', '10.0.0.3'])]), [
    { destination: '10.96.0.53', port: 53, endpoint: '10.0.0.1' },
  ]);
  assert.deepEqual(staleFlows([target(['10.0.0.1'])], []), [
    { destination: '10.96.0.53', port: 53, endpoint: '10.0.0.1' },
  ]);
  assert.deepEqual(staleFlows([target(['10.0.0.1'])], [target(['10.0.0.1'])]), []);
});

test('flows made while there was no endpoint are stale when there is one', () => {
  const any = { destination: '10.96.0.53', port: 53, endpoint: undefined };
  assert.deepEqual(staleFlows([target([])], [target(['10.0.0.1'])]), [any]);
  assert.deepEqual(staleFlows([], [target(['10.0.0.1'])]), [any]);
});

test('a listing shows what an earlier run left', () => {
  const flow = (destination: string, port: number, from: string): string =>
    `udp      17 29 src=10.244.0.9 dst=${destination} sport=5000 dport=${port} [UNREPLIED] src=${from} dst=10.244.0.9 sport=53 dport=5000 mark=0 use=1`;
  const listing = [
    flow('10.96.0.53', 53, '10.0.0.1'),
    flow('10.96.0.53', 53, '10.0.0.9'),
    flow('10.96.0.53', 53, '10.96.0.53'),
    flow('192.0.2.1', 30053, '10.0.0.9'),
    flow('198.51.100.1', 30053, '198.51.100.1'),
    flow('8.8.8.8', 53, '8.8.8.8'),
    'tcp      6 100 ESTABLISHED src=10.244.0.9 dst=10.96.0.53 sport=1 dport=53 src=10.0.0.9 dst=10.244.0.9 sport=53 dport=1',
    '',
  ].join('\n');
  const targets = [target(['10.0.0.1']), { address: undefined, port: 30053, endpoints: ['10.0.0.1'] }];
  assert.deepEqual(
    staleAmong(listing, targets).map((f) => `${f.destination}:${f.port} ${f.endpoint}`),
    ['10.96.0.53:53 10.0.0.9', '10.96.0.53:53 10.96.0.53', '192.0.2.1:30053 10.0.0.9'],
  );
});

test('that there was nothing to delete is no error, another failure is', async () => {
  const flows = [{ destination: '10.96.0.53', port: 53, endpoint: '10.0.0.1' }];
  const said: string[] = [];
  const answer = (code: number, stderr: string) => async (argv: readonly string[]) => {
    said.push(argv.join(' '));
    return { code, stdout: '', stderr };
  };
  const { signal } = new AbortController();
  const none = 'conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.';
  assert.equal(await deleteFlows(flows, 'IPv4', answer(1, none), signal), 0);
  assert.equal(await deleteFlows(flows, 'IPv4', answer(0, ''), signal), 1);
  await assert.rejects(deleteFlows(flows, 'IPv4', answer(1, 'Operation failed'), signal), /Operation failed/);
  assert.equal(said[0], 'conntrack -D -f ipv4 -p udp --orig-port-dst 53 --orig-dst 10.96.0.53 --reply-src 10.0.0.1');
});
