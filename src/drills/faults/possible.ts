// What this machine's kernel and programs allow: a fault that cannot be made here is said to be so, with the reason.
import { access, glob } from 'node:fs/promises';
import { hostCommands, type RunCommand } from '../../network/command.ts';
import type { Fault } from './fault.ts';
import { FAKETIME } from './scripts.ts';

/** Why the fault cannot be made on this machine; undefined: it can. */
export async function impossible(fault: Fault, run: RunCommand = hostCommands): Promise<string | undefined> {
  switch (fault.kind) {
    case 'duplicate':
    case 'reorder':
      return (await hasNetem(run)) ? undefined : 'the kernel has no netem (tc qdisc add ... netem)';
    case 'clock': {
      if (!(await anyFile(FAKETIME))) return 'libfaketime is not installed (apt-get install libfaketime)';
      return fault.component === 'etcd' || fault.component === 'containerd'
        ? `${fault.component} asks the kernel for the time itself, past any library`
        : undefined;
    }
    case 'memory':
      return (await has('/sys/fs/cgroup/memory')) || (await has('/sys/fs/cgroup/memory.max'))
        ? undefined
        : 'there is no memory controller at /sys/fs/cgroup';
    case 'files':
      return (await has('/usr/bin/prlimit')) ? undefined : 'prlimit is not installed (apt-get install util-linux)';
    default:
      return undefined;
  }
}

/** Asked of a network namespace that nobody else uses. */
async function hasNetem(run: RunCommand): Promise<boolean> {
  const { code } = await run(['unshare', '--net', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms']);
  return code === 0;
}

async function anyFile(pattern: string): Promise<boolean> {
  for await (const _ of glob(pattern)) return true;
  return false;
}

function has(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
