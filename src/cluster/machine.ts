// What this machine is: its name, the address that others reach it at.

import { readFile } from 'node:fs/promises';
import { hostname, networkInterfaces } from 'node:os';

/** The machine's name as a node's name: a DNS subdomain in lower case. */
export function defaultNodeName(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '');
  return name === '' ? 'node' : name.slice(0, 63);
}

/**
 * The IPv4 address of the interface that the default route leaves by, else of the first interface that has one, else
 * loopback (then pods cannot reach the API server).
 */
export async function defaultAddress(): Promise<string> {
  const addresses = new Map<string, string>();
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    const entry = entries?.find((e) => e.family === 'IPv4' && !e.internal);
    if (entry) addresses.set(name, entry.address);
  }
  const route = await defaultRouteInterface();
  return (route && addresses.get(route)) ?? [...addresses.values()][0] ?? '127.0.0.1';
}

async function defaultRouteInterface(): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile('/proc/net/route', 'utf8');
  } catch (error) {
    // No Linux: there is no such file, and the first address will do.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const routes = text
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'));
  return routes.find((fields) => fields[1] === '00000000')?.[0];
}
