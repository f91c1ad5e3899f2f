// The processes of a pod's containers, as this machine knows them: by their control groups, which bear the pod's uid.
import { readFile } from 'node:fs/promises';
import { allProcesses } from './processes.ts';

/** What holds a pod's namespaces is no process of its containers. */
const PAUSE = '/pause';

/** Of the pod with this uid, wherever on this machine it runs. */
export async function podProcesses(uid: string): Promise<readonly number[]> {
  // The systemd driver writes the uid with underscores.
  const names = [uid, uid.replaceAll('-', '_')];
  const found = await Promise.all(
    (await allProcesses()).map(async ({ pid, command }) => {
      if (command[0] === PAUSE) return [];
      const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
      return names.some((name) => groups.includes(`pod${name}`)) ? [pid] : [];
    }),
  );
  return found.flat();
}
