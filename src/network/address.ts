// IP addresses and ranges as the network parts need them: IPv4 in numbers, IPv6 by the runtime's own BlockList.
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

export type IpFamily = 'IPv4' | 'IPv6';

/** The family of an address, or undefined for what is not one. */
export function familyOf(address: string): IpFamily | undefined {
  const version = isIP(address);
  return version === 4 ? 'IPv4' : version === 6 ? 'IPv6' : undefined;
}

/** The family of "address/bits", or undefined for what is not a range. */
export function familyOfRange(range: string): IpFamily | undefined {
  const slash = range.indexOf('/');
  if (slash < 0) return undefined;
  const family = familyOf(range.slice(0, slash));
  const bits = range.slice(slash + 1);
  if (!family || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 'IPv4' ? 32 : 128)) return undefined;
  return family;
}

/** Whether `range` ("10.0.0.0/8") holds `address`. */
export function rangeContains(range: string, address: string): boolean {
  const family = familyOfRange(range);
  if (!family || familyOf(address) !== family) return false;
  const [base, bits] = range.split('/');
  const list = new BlockList();
  list.addSubnet(base!, Number(bits), family === 'IPv4' ? 'ipv4' : 'ipv6');
  return list.check(address, family === 'IPv4' ? 'ipv4' : 'ipv6');
}

/** An IPv4 address as an unsigned number. */
export function ipv4Number(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

/** The first address of an IPv4 range: "10.244.3.7/24" gives "10.244.3.0". */
export function networkAddress(range: string): string {
  const [base, bits] = range.split('/');
  const size = 2 ** (32 - Number(bits));
  return ipv4Text(Math.floor(ipv4Number(base!) / size) * size);
}

/** The name under which reverse DNS asks for an address, without a final dot. */
export function reverseName(address: string): string | undefined {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  if (isIPv6(address)) return `${[...ipv6Digits(address)].reverse().join('.')}.ip6.arpa`;
  return undefined;
}

/** The address that a reverse DNS name asks for; undefined when it is not a whole one. */
export function addressOfReverseName(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const address = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
    return isIPv4(address) ? address : undefined;
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const digits = name.slice(0, -'.ip6.arpa'.length).split('.').reverse();
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return canonicalAddress(digits.join('').replace(/(.{4})(?!$)/g, '$1:'));
}

/** One spelling for every IPv6 address (RFC 5952), so that addresses compare as text; others come back unchanged. */
export function canonicalAddress(address: string): string {
  if (!isIPv6(address)) return address;
  return new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
}

function ipv6Digits(address: string): string {
  const [head, tail = ''] = canonicalAddress(address).split('::');
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const left = words(head!);
  const right = words(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].map((word) => word.padStart(4, '0')).join('');
}
