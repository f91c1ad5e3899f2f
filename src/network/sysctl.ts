// Kernel settings that the pod network needs. What they were before is written down first, and put back when all is over.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { output, type RunCommand, succeeds } from './command.ts';

/** Path below /proc/sys to value. */
export type Settings = Readonly<Record<string, string>>;

const BRIDGE_CALLS = 'net/bridge/bridge-nf-call-iptables';
const STRICT = '1';
const LOOSE = '2';

/**
 * What must change, given what is. A node forwards; its bridge shows packets between its pods to the packet filter (without
 * that a Service call that lands on the same node is answered past the translation); and the reverse path is not checked
 * strictly, because a Service's answers may come from where nobody asked.
 */
export function decideSettings(current: Settings, strictReversePath: boolean): Settings {
  const wanted: Settings = {
    'net/ipv4/ip_forward': '1',
    [BRIDGE_CALLS]: '1',
    ...(strictReversePath && { 'net/ipv4/conf/all/rp_filter': LOOSE }),
  };
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => current[key] !== value));
}

/** Changes the settings, after `stateFile` holds their former values. Twice does no harm: the first values are kept. */
export async function applySettings(run: RunCommand, stateFile: string, signal?: AbortSignal): Promise<void> {
  const current = await readSettings(run, signal);
  const changes = decideSettings(current.settings, current.strict);
  const before = await readState(stateFile);
  const known = Object.keys(changes).filter((key) => before[key] === undefined && current.settings[key] !== undefined);
  if (known.length > 0) {
    const added = Object.fromEntries(known.map((key) => [key, current.settings[key]!]));
    await writeState(stateFile, { ...before, ...added });
  }
  for (const [key, value] of Object.entries(changes)) await writeSetting(run, key, value, signal);
}

/** Puts back what `applySettings` changed, and forgets it. Nothing to put back is no error. */
export async function restoreSettings(run: RunCommand, stateFile: string, signal?: AbortSignal): Promise<void> {
  for (const [key, value] of Object.entries(await readState(stateFile))) await writeSetting(run, key, value, signal);
  await rm(stateFile, { force: true });
}

async function readSettings(
  run: RunCommand,
  signal: AbortSignal | undefined,
): Promise<{ settings: Settings; strict: boolean }> {
  const read = async (key: string): Promise<string> =>
    (await output(run, ['cat', `/proc/sys/${key}`], { signal })).trim();
  // Built into some kernels, a module of others.
  if (!(await succeeds(run, ['test', '-e', `/proc/sys/${BRIDGE_CALLS}`], { signal }))) {
    await run(['modprobe', 'br_netfilter'], { signal }).catch(() => undefined);
  }
  if (!(await succeeds(run, ['test', '-e', `/proc/sys/${BRIDGE_CALLS}`], { signal }))) {
    throw new Error('the kernel has no br_netfilter: services cannot reach pods of their own node');
  }
  const keys = ['net/ipv4/ip_forward', BRIDGE_CALLS, 'net/ipv4/conf/all/rp_filter'];
  const settings: Record<string, string> = {};
  for (const key of keys) settings[key] = await read(key);
  const filters = await output(run, ['sh', '-c', 'cat /proc/sys/net/ipv4/conf/*/rp_filter'], { signal });
  return { settings, strict: filters.split(/\s+/).includes(STRICT) };
}

/** By a command, because /proc/sys/net is that of the writer's network namespace. */
async function writeSetting(
  run: RunCommand,
  key: string,
  value: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await output(run, ['tee', `/proc/sys/${key}`], { stdin: `${value}\n`, signal });
}

async function readState(path: string): Promise<Settings> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  return JSON.parse(text) as Settings;
}

async function writeState(path: string, settings: Settings): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, `${JSON.stringify(settings, undefined, 2)}\n`);
  await rename(`${path}.new`, path);
}
