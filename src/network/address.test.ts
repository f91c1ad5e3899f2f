import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressOfReverseName,
  canonicalAddress,
  familyOfRange,
  ipv4Number,
  ipv4Text,
  networkAddress,
  rangeContains,
  reverseName,
} from './address.ts';

test('ranges', () => {
  assert.equal(familyOfRange('10.0.0.0/8'), 'IPv4');
  assert.equal(familyOfRange('fd00::/64'), 'IPv6');
  for (const bad of ['10.0.0.0', '10.0.0.0/33', 'x/8', '10.0.0.0/-1', '10.0.0/8'])
    assert.equal(familyOfRange(bad), undefined);
  assert.equal(rangeContains('10.244.0.0/16', '10.244.255.1'), true);
  assert.equal(rangeContains('10.244.0.0/16', '10.245.0.1'), false);
  assert.equal(rangeContains('fd00::/64', 'fd00::1'), true);
  assert.equal(rangeContains('fd00::/64', '10.0.0.1'), false);
  assert.equal(networkAddress('10.244.3.7/24'), '10.244.3.0');
  assert.equal(networkAddress('255.255.255.255/12'), '255.240.0.0');
  assert.equal(ipv4Text(ipv4Number('255.0.10.1')), '255.0.10.1');
});

test('reverse names go there and back', () => {
  assert.equal(reverseName('10.96.0.1'), '1.0.96.10.in-addr.arpa');
  assert.equal(addressOfReverseName('1.0.96.10.in-addr.arpa'), '10.96.0.1');
  const name = reverseName('2001:db8::567:89ab')!;
  assert.equal(name, 'b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa');
  assert.equal(addressOfReverseName(name), '2001:db8::567:89ab');
  for (const bad of ['0.96.10.in-addr.arpa', 'x.0.96.10.in-addr.arpa', '1.ip6.arpa', 'example.org']) {
    assert.equal(addressOfReverseName(bad), undefined);
  }
  assert.equal(canonicalAddress('FD00:0:0::1'), 'fd00::1');
});
