import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReason } from '../../machinery/status.ts';
import { checkProxyable, isProxyableIP } from './proxyable.ts';

test('loopback, link-local, multicast and unspecified addresses are not reached, in whatever form', () => {
  for (const address of [
    ...['127.0.0.1', '127.8.8.8', '0.0.0.0', '169.254.169.254', '224.0.0.1', '239.1.1.1', '255.255.255.255'],
    ...['::', '::1', '0:0:0:0:0:0:0:1', 'fe80::1', 'febf::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:7f00:1'],
    ...['::ffff:169.254.169.254', '', 'localhost', '127.1', '2130706433', '0x7f000001', '10.0.0.256', '::ffff:0.0.0.0'],
  ]) {
    assert.equal(isProxyableIP(address), false, address);
  }
  for (const address of [
    '10.0.0.1',
    '192.168.1.1',
    '8.8.8.8',
    'fd00::1',
    '2001:db8::1',
    '::ffff:10.0.0.1',
    '128.0.0.1',
  ])
    assert.equal(isProxyableIP(address), true, address);
});

test('a name is as good as all its addresses', async () => {
  const refused = (message: RegExp) => (error: unknown) =>
    isReason(error, 'BadRequest') && message.test((error as Error).message);
  await assert.rejects(checkProxyable('localhost', isProxyableIP), refused(/^address not allowed$/));
  await assert.rejects(checkProxyable('127.1', isProxyableIP), refused(/./));
  await assert.rejects(checkProxyable('', isProxyableIP), refused(/./));
  await checkProxyable('10.1.2.3', isProxyableIP);
});
