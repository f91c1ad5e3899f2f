// Which addresses the proxy subresources go to. Who may write a pod's status or a node's address must not reach through the
// API server what listens on its own machine.
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { badRequest } from '../../machinery/status.ts';

/** Upstream's rule: global unicast addresses, private ones among them. */
const NOT_UNICAST = new BlockList();
NOT_UNICAST.addAddress('0.0.0.0');
NOT_UNICAST.addSubnet('127.0.0.0', 8);
NOT_UNICAST.addSubnet('169.254.0.0', 16);
NOT_UNICAST.addSubnet('224.0.0.0', 4);
NOT_UNICAST.addAddress('255.255.255.255');
NOT_UNICAST.addAddress('::', 'ipv6');
NOT_UNICAST.addAddress('::1', 'ipv6');
NOT_UNICAST.addSubnet('fe80::', 10, 'ipv6');
NOT_UNICAST.addSubnet('ff00::', 8, 'ipv6');

/** An IPv4 address in the form of an IPv6 one is what it stands for. */
export function isProxyableIP(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && !NOT_UNICAST.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

export type IsProxyable = (address: string) => boolean;

/** Throws BadRequest when an address, or one of a name's addresses, is not to be reached. */
export async function checkProxyable(host: string, isProxyable: IsProxyable): Promise<void> {
  const addresses = isIP(host) === 0 ? await addressesOf(host) : [host];
  if (!addresses.every(isProxyable)) throw badRequest('address not allowed');
}

async function addressesOf(name: string): Promise<string[]> {
  try {
    const found = await lookup(name, { all: true });
    if (found.length > 0) return found.map(({ address }) => address);
  } catch (error) {
    throw badRequest((error as Error).message, error);
  }
  throw badRequest('no addresses for hostname');
}
