import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sendFailuresIn } from './etcd-admin.ts';

describe('what etcd tells of itself', () => {
  const metrics = [
    '# TYPE etcd_network_peer_sent_failures_total counter',
    'etcd_network_peer_sent_failures_total{To="103cb10037c5312d"} 37',
    'etcd_network_peer_sent_failures_total{To="83def6efb16ce509"} 1.2e+06',
  ].join('\n');

  it('messages that could not be sent, of one member', () => {
    assert.equal(sendFailuresIn(metrics, '1170004617703272749'), 37);
    assert.equal(sendFailuresIn(metrics, '9502303773132645641'), 1_200_000);
  });

  it('none are told before the first', () => {
    assert.equal(sendFailuresIn(metrics, '8235684977176372118'), 0);
  });
});
