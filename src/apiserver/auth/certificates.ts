// Certificates of the cluster's own authority: EC P-256, SHA-256. Keys come from the operating system (node:crypto).
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Random } from '../../lib/random.ts';
import {
  bitString,
  bool,
  implicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  tagged,
  time,
  utf8String,
} from './der.ts';

/** A certificate with its private key, both PEM (the key as PKCS #8). */
export interface KeyedCertificate {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly nowMs: number;
  /** From now; the certificate also holds BACKDATE_MS earlier, for clocks that are behind. */
  readonly validityMs: number;
}

export interface CaRequest extends Validity {
  readonly commonName: string;
  readonly random: Random;
}

export type Usage = 'client' | 'server';

export interface LeafRequest extends Validity {
  /** A client certificate's user name. */
  readonly commonName: string;
  /** A client certificate's groups. */
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses (v4 or v6). */
  readonly sans?: readonly string[];
  readonly usages: readonly Usage[];
  readonly random: Random;
  /** SPKI PEM of a key made elsewhere; then the answer has no key. */
  readonly publicKey?: string;
}

export const BACKDATE_MS = 5 * 60_000;

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
};

/** A self-signed authority. */
export function createCa(request: CaRequest): KeyedCertificate {
  const keys = newKeys();
  const spki = spkiOf(keys.publicKey);
  const name = distinguishedName(request.commonName, []);
  const certificate = signed({
    ...request,
    issuer: name,
    subject: name,
    spki,
    signingKey: keys.key,
    extensions: [
      extension(OID.basicConstraints, true, sequence(bool(true))),
      // digitalSignature, keyEncipherment, keyCertSign
      extension(OID.keyUsage, true, bitString(Buffer.from([0b1010_0100]), 2)),
      extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(spki))),
    ],
  });
  return { certificate, key: keys.key };
}

/** A certificate signed by `ca`. */
export function issue(ca: KeyedCertificate, request: LeafRequest): KeyedCertificate {
  const authority = new X509Certificate(ca.certificate);
  const keys = request.publicKey === undefined ? newKeys() : { publicKey: request.publicKey, key: '' };
  const authoritySpki = authority.publicKey.export({ type: 'spki', format: 'der' });
  const extensions = [
    extension(OID.basicConstraints, true, sequence()),
    // digitalSignature, keyEncipherment
    extension(OID.keyUsage, true, bitString(Buffer.from([0b1010_0000]), 5)),
    extension(OID.extendedKeyUsage, false, sequence(...request.usages.map((usage) => objectIdentifier(OID[usage])))),
    extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, keyIdentifier(authoritySpki)))),
  ];
  const sans = request.sans ?? [];
  if (sans.length > 0) extensions.push(extension(OID.subjectAltName, false, sequence(...sans.map(alternativeName))));
  const certificate = signed({
    ...request,
    issuer: subjectOf(authority),
    subject: distinguishedName(request.commonName, request.organizations ?? []),
    spki: spkiOf(keys.publicKey),
    signingKey: ca.key,
    extensions,
  });
  return { certificate, key: keys.key };
}

function newKeys(): { publicKey: string; key: string } {
  const pair = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { publicKey: pair.publicKey, key: pair.privateKey };
}

interface ToSign extends Validity {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly extensions: readonly Buffer[];
  readonly signingKey: string;
  readonly random: Random;
}

function signed(parts: ToSign): string {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256));
  const serial = Buffer.from(parts.random.bytes(16));
  serial[0] = (serial[0]! & 0x3f) | 0x40; // positive, and always sixteen bytes long
  const body = sequence(
    tagged(0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    parts.issuer,
    sequence(time(parts.nowMs - BACKDATE_MS), time(parts.nowMs + parts.validityMs)),
    parts.subject,
    parts.spki,
    tagged(3, sequence(...parts.extensions)),
  );
  const signature = sign('sha256', body, createPrivateKey(parts.signingKey));
  return pem('CERTIFICATE', sequence(body, algorithm, bitString(signature)));
}

function distinguishedName(commonName: string, organizations: readonly string[]): Buffer {
  const attribute = (oid: string, value: string): Buffer => set(sequence(objectIdentifier(oid), utf8String(value)));
  return sequence(
    ...organizations.map((organization) => attribute(OID.organization, organization)),
    attribute(OID.commonName, commonName),
  );
}

/** The authority's subject, byte for byte: an issuer name must equal it. */
function subjectOf(authority: X509Certificate): Buffer {
  const body = contents(contents(authority.raw));
  let at = 0;
  // version, serial, algorithm, issuer, validity, subject
  for (let i = 0; i < 5; i++) at += element(body.subarray(at)).total;
  return body.subarray(at, at + element(body.subarray(at)).total);
}

function contents(bytes: Buffer): Buffer {
  const { header, total } = element(bytes);
  return bytes.subarray(header, total);
}

function element(bytes: Buffer): { header: number; total: number } {
  const first = bytes[1]!;
  if (first < 0x80) return { header: 2, total: 2 + first };
  const width = first & 0x7f;
  return { header: 2 + width, total: 2 + width + bytes.readUIntBE(2, width) };
}

function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectIdentifier(oid), ...(critical ? [bool(true)] : []), octetString(value));
}

function alternativeName(name: string): Buffer {
  if (isIP(name) === 0) return implicit(2, Buffer.from(name, 'ascii'));
  return implicit(7, addressBytes(name));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return Buffer.from([...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function spkiOf(publicKey: string): Buffer {
  return createPublicKey(publicKey).export({ type: 'spki', format: 'der' });
}

/** RFC 7093 method 1: the first 160 bits of SHA-256 of the key. */
function keyIdentifier(spki: Buffer): Buffer {
  return createHash('sha256').update(spki).digest().subarray(0, 20);
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
