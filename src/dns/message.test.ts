import assert from 'node:assert/strict';
import { test } from 'node:test';
import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import type { DnsRecord } from './answer.ts';
import { encodeReply, parseQuery, type Query, type Reply, readReply, UDP_BYTES, udpLimit } from './message.ts';

function query(name: string, type: dnsPacket.RecordType, udpSize?: number): Query {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: udpSize, flags: 0 } as unknown as dnsPacket.Answer;
  const packet: dnsPacket.Packet = { type: 'query', id: 7, flags: 0x100, questions: [{ name, type }] };
  const message = dnsPacket.encode(udpSize === undefined ? packet : { ...packet, additionals: [opt] });
  const parsed = parseQuery(message);
  assert.equal(parsed.kind, 'query');
  return (parsed as { query: Query }).query;
}

const reply = (answers: readonly DnsRecord[], more: Partial<Reply> = {}): Reply => ({
  rcode: 'NOERROR',
  authoritative: true,
  answers,
  authorities: [],
  additionals: [],
  ...more,
});

const addresses = (name: string, count: number): DnsRecord[] =>
  Array.from({ length: count }, (_, i) => ({ type: 'A', name, ttl: 30, data: `10.0.${i >> 8}.${i & 255}` }));

test('a question comes back in its own letters, and its name is written once', () => {
  const asked = query('Web.Default.svc.cluster.local', 'A');
  assert.equal(asked.name, 'web.default.svc.cluster.local');
  const wire = encodeReply(asked, reply(addresses('web.default.svc.cluster.local', 3)), 512);
  assert.equal(wire.length, 12 + asked.rawQuestion.length + 3 * 16);
  const decoded = dnsPacket.decode(wire);
  assert.equal(decoded.questions![0]!.name, 'Web.Default.svc.cluster.local');
  assert.equal(decoded.answers!.length, 3);
  assert.ok(decoded.flag_aa && decoded.flag_qr && decoded.flag_rd && decoded.flag_ra);
});

test('without EDNS an answer has 512 bytes; what does not fit is left out, and that is said', () => {
  const asked = query('web.default.svc.cluster.local', 'A');
  const wire = encodeReply(asked, reply(addresses(asked.name, 100)), udpLimit(asked));
  const decoded = dnsPacket.decode(wire);
  assert.ok(512 >= wire.length);
  assert.ok(decoded.flag_tc);
  assert.equal(decoded.answers!.length, Math.floor((512 - 12 - asked.rawQuestion.length) / 16));
  assert.equal(dnsPacket.decode(encodeReply(asked, reply(addresses(asked.name, 100)), 65_535)).flag_tc, false);
});

test('with EDNS it has as much as the client takes, and no more than is sound', () => {
  assert.equal(udpLimit(query('a.b', 'A', 100)), 512);
  assert.equal(udpLimit(query('a.b', 'A', 1000)), 1000);
  const asked = query('a.b', 'A', 65_000);
  assert.equal(udpLimit(asked), UDP_BYTES);
  const wire = encodeReply(asked, reply(addresses('a.b', 1000)), udpLimit(asked));
  assert.ok(UDP_BYTES >= wire.length && wire.length > UDP_BYTES - 16);
  const [opt] = dnsPacket.decode(wire).additionals!;
  assert.deepEqual([opt!.type, (opt as dnsPacket.OptAnswer).udpPayloadSize], ['OPT', UDP_BYTES]);
});

test('an EDNS version that is not known is refused by the code for it', () => {
  const wire = encodeReply(query('a.b', 'A', 1232), reply([], { rcode: 'BADVERS' }), 512);
  const [opt] = dnsPacket.decode(wire).additionals!;
  assert.equal((opt as dnsPacket.OptAnswer).extendedRcode, 1);
});

test('what is no question gets none of our words, or says what is wrong with it', () => {
  const asked = dnsPacket.encode({ type: 'query', id: 9, questions: [{ name: 'a.b', type: 'A' }] });
  assert.equal(parseQuery(Buffer.alloc(11)).kind, 'ignored');
  const response = Buffer.from(asked);
  response[2] = 0x80;
  assert.equal(parseQuery(response).kind, 'ignored');
  const update = Buffer.from(asked);
  update[2] = 5 << 3;
  assert.deepEqual(parseQuery(update), { kind: 'refused', rcode: 'NOTIMP', id: 9, opcode: 5 });
  const several = Buffer.from(asked);
  several[5] = 2;
  assert.deepEqual(parseQuery(several), { kind: 'refused', rcode: 'FORMERR', id: 9, opcode: 0 });
  assert.deepEqual(parseQuery(asked.subarray(0, 14)), { kind: 'refused', rcode: 'FORMERR', id: 9, opcode: 0 });
});

const labels = fc.array(fc.stringMatching(/^[a-z]([-a-z0-9]{0,8}[a-z0-9])?$/), { minLength: 1, maxLength: 5 });
const names = labels.map((parts) => parts.join('.'));

test('compressed names read back as they were, whatever shares its end with what', () => {
  const suffixed = fc
    .tuple(labels, fc.constantFrom('svc.cluster.local', 'cluster.local', 'x.svc.cluster.local'))
    .map(([head, tail]) => `${head.join('.')}.${tail}`);
  fc.assert(
    fc.property(suffixed, fc.array(fc.oneof(suffixed, names), { maxLength: 8 }), (asked, owners) => {
      const answers = owners.map((name): DnsRecord => ({ type: 'A', name, ttl: 5, data: '10.0.0.1' }));
      const decoded = dnsPacket.decode(encodeReply(query(asked, 'A'), reply(answers), 65_535));
      assert.deepEqual(
        decoded.answers!.map((record) => record.name),
        owners,
      );
    }),
  );
});

test('no message, however broken, throws', () => {
  const valid = dnsPacket.encode({ type: 'query', id: 1, questions: [{ name: 'web.default', type: 'SRV' }] });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(40), fc.nat(255), (noise, at, byte) => {
      const broken = Buffer.from(valid);
      if (broken.length > at) broken[at] = byte;
      for (const message of [Buffer.from(noise), broken, Buffer.concat([broken, noise])]) {
        parseQuery(message);
        readReply(message);
      }
    }),
  );
});
