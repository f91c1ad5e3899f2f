// An address that is this host's own and nobody else's: on the loopback interface, which every kernel has. Cluster DNS
// listens on one, so that each pod's questions end at its own node.
import { familyOf } from './address.ts';
import { CommandError, output, type RunCommand } from './command.ts';

function argv(action: 'add' | 'del', address: string): readonly string[] {
  const bits = familyOf(address) === 'IPv6' ? 128 : 32;
  // Scope host: never chosen as the source of packets that leave the host.
  return ['ip', 'address', action, `${address}/${bits}`, 'dev', 'lo', ...(action === 'add' ? ['scope', 'host'] : [])];
}

/** Adds the address; that it is there already is no error. */
export async function addLocalAddress(run: RunCommand, address: string, signal?: AbortSignal): Promise<void> {
  await output(run, ['ip', 'link', 'set', 'lo', 'up'], { signal });
  const result = await run(argv('add', address), { signal });
  if (result.code !== 0 && !/File exists|already assigned/.test(result.stderr)) {
    throw new CommandError(argv('add', address), result);
  }
}

/** Removes the address; that it is not there is no error. */
export async function removeLocalAddress(run: RunCommand, address: string): Promise<void> {
  const result = await run(argv('del', address));
  if (result.code !== 0 && !/Cannot assign|not found/.test(result.stderr)) {
    throw new CommandError(argv('del', address), result);
  }
}
