// The command line: what may be typed, and what it means. One table drives parsing and help.
import { parseArgs } from 'node:util';

interface OptionRow {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly help: string;
  /** Left out of the help: used between processes. */
  readonly hidden?: boolean;
}

export interface CommandRow {
  readonly usage: string;
  readonly help: string;
  readonly options: Readonly<Record<string, OptionRow>>;
  /** Everything after the command's name goes to another program as it is. */
  readonly passThrough?: boolean;
  readonly hidden?: boolean;
}

const NAME: Record<string, OptionRow> = {
  name: { type: 'string', help: 'the cluster (default: tsukube)' },
  'data-dir': { type: 'string', help: 'where clusters are kept (default: /var/lib/tsukube, or below your home)' },
};
const JSON_OUT: Record<string, OptionRow> = { json: { type: 'boolean', help: 'answer in JSON' } };

const PROFILE: Record<string, OptionRow> = {
  profile: { type: 'string', help: 'timings: default (as Kubernetes) or fast (seconds)' },
};

const AUDIT: Record<string, OptionRow> = {
  'audit-policy-file': { type: 'string', help: 'what to audit: a Policy of audit.k8s.io/v1 (default: nothing)' },
  'audit-log-path': {
    type: 'string',
    help: 'the file that audit events are written to, with --ha of this name in hosts/HOST/audit; "-": standard output',
  },
  'audit-log-maxsize': { type: 'string', help: 'MiB after which the file is put aside (default: 100)' },
  'audit-log-maxage': { type: 'string', help: 'days that files put aside are kept (default: 0, for ever)' },
  'audit-log-maxbackup': { type: 'string', help: 'files put aside that are kept (default: 0, all)' },
};

export const COMMANDS: Readonly<Record<string, CommandRow>> = {
  up: {
    usage: 'up [options]',
    help: 'start a cluster on this machine, in the background',
    options: {
      ...NAME,
      ...JSON_OUT,
      port: { type: 'string', help: 'of the API server (default: 6443)' },
      'kubelet-port': { type: 'string', help: 'of the kubelet (default: 10250)' },
      'node-name': { type: 'string', help: "this machine's name in the cluster (default: its host name)" },
      'advertise-address': {
        type: 'string',
        help: 'the address that clients and pods use (default: of the default route)',
      },
      split: { type: 'boolean', help: 'server and agent as two processes' },
      simulated: { type: 'string', help: 'this many simulated nodes instead of a real one' },
      ha: {
        type: 'boolean',
        help: 'highly available: three control planes and three workers, as hosts on this machine',
      },
      'control-planes': { type: 'string', help: 'with --ha: this many control planes (default: 3)' },
      workers: { type: 'string', help: 'with --ha: this many workers (default: 3)' },
      'no-keepalived': { type: 'boolean', help: 'with --ha: no shared address; agents balance over all servers' },
      'no-drills': { type: 'boolean', help: 'with --ha: no Drill and DrillSchedule, and no controller of them' },
      network: { type: 'string', help: "with --ha: the hosts' range of addresses, a /24 (default: a free one)" },
      etcd: { type: 'string', help: "with --ha: path of the members' etcd, 3.4 or 3.5 (default: /usr/bin/etcd)" },
      ...PROFILE,
      ...AUDIT,
    },
  },
  down: {
    usage: 'down [options]',
    help: 'stop the cluster and leave nothing behind',
    options: {
      ...NAME,
      ...JSON_OUT,
      'keep-data': { type: 'boolean', help: 'keep its objects and keys for the next up' },
    },
  },
  status: { usage: 'status [options]', help: 'what runs, and whether it is well', options: { ...NAME, ...JSON_OUT } },
  host: {
    usage: 'host list|stop|start|unplug|plug|destroy [NAME]',
    help: 'the hosts of up --ha: power off or on, pull a cable or plug it in, lose one for good',
    options: { ...NAME, ...JSON_OUT },
  },
  logs: {
    usage: 'logs COMPONENT [options]',
    help: 'the log of server, agent or containerd; of a host, HOST/COMPONENT',
    options: {
      ...NAME,
      ...JSON_OUT,
      follow: { type: 'boolean', short: 'f', help: 'go on as it grows' },
      lines: { type: 'string', short: 'n', help: 'only the last lines (default: 100)' },
    },
  },
  kubectl: { usage: 'kubectl ...', help: 'kubectl 1.36 for this cluster', options: {}, passThrough: true },
  helm: { usage: 'helm ...', help: 'helm 4 for this cluster', options: {}, passThrough: true },
  image: {
    usage: 'image load FILE',
    help: 'put an image archive into containerd on every node',
    options: { ...NAME, ...JSON_OUT },
  },
  install: {
    usage: 'install',
    help: 'install what a node needs from Debian',
    options: { ...JSON_OUT, 'for-tests': { type: 'boolean', help: 'and what the tests need' } },
  },
  simulate: {
    usage: 'simulate [options]',
    help: 'run a whole cluster on a virtual clock, with faults, from a seed',
    options: {
      ...JSON_OUT,
      seed: { type: 'string', help: 'the same seed is the same run (default: any)' },
      nodes: { type: 'string', help: 'how many simulated nodes (default: 20)' },
      duration: { type: 'string', help: 'virtual time with changes and faults: 90s, 5m, 1h (default: 5m)' },
      faults: { type: 'string', help: 'none, or some of nodes,leaders,network,disk,apiserver (default: all)' },
      runs: { type: 'string', help: 'this many seeds, one after the other (default: 1)' },
      'until-failure': { type: 'boolean', help: 'go on to the next seed until an invariant is violated' },
      verbose: { type: 'boolean', short: 'v', help: 'print what the components log, with virtual times' },
    },
  },
  drill: {
    usage: 'drill list|run NAME...|report|heal',
    help: 'break a cluster of up --ha on purpose, and show what clients saw of it',
    options: {
      ...NAME,
      ...JSON_OUT,
      all: { type: 'boolean', help: 'run: every drill' },
      seed: { type: 'string', help: 'run random: the same seed is the same drill (default: any)' },
      duration: { type: 'string', help: 'run random: for how long (default: 1m)' },
      'max-control-planes': { type: 'string', help: 'run random: so many are broken at a time (default: 1)' },
      'max-workers': { type: 'string', help: 'run random: so many are broken at a time (default: 1)' },
      objective: { type: 'string', help: 'run: what must hold, like "writes<2s,service=0" (default: of each drill)' },
      keep: { type: 'boolean', help: 'run: leave what was set up for clients to ask' },
      html: { type: 'string', help: 'run, report: write a page that needs nothing else to this file' },
      junit: { type: 'string', help: 'run, report: write JUnit XML to this file' },
      delay: { type: 'string', help: 'relay', hidden: true },
      jitter: { type: 'string', help: 'relay', hidden: true },
    },
  },
  server: {
    usage: 'server [join|remove NAME]',
    help: 'run the control plane here (what up starts); of up --ha: add a control plane, or take one out',
    options: {
      ...NAME,
      ...JSON_OUT,
      ...PROFILE,
      agent: { type: 'boolean', help: 'and the agent in the same process' },
      'shutdown-delay-duration': {
        type: 'string',
        help: 'serve on this long after /readyz began to fail (default: 0s)',
      },
      'goaway-chance': {
        type: 'string',
        help: 'with several servers: how often an HTTP/2 client is asked to connect anew, 0 to 0.02 (default: 0)',
      },
      'etcd-servers': {
        type: 'string',
        help: 'URLs of etcd members, separated by commas, instead of the embedded store',
      },
      'etcd-cafile': { type: 'string', help: "PEM: the authority of the members' certificates" },
      'etcd-certfile': { type: 'string', help: 'PEM: what this server shows to etcd' },
      'etcd-keyfile': { type: 'string', help: 'PEM: its key' },
      ...AUDIT,
    },
  },
  agent: {
    usage: 'agent',
    help: 'run the agent here (what up --split starts)',
    options: {
      ...NAME,
      ...PROFILE,
      servers: {
        type: 'string',
        help: 'URLs of the API servers, with commas: chosen among by health (default: of the kubeconfig)',
      },
    },
  },
  version: { usage: 'version', help: 'print the version', options: JSON_OUT },
};

/** Bad usage: printed without a stack, exit code 64. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export interface Invocation {
  readonly command: string;
  readonly flags: ReadonlyMap<string, string | boolean>;
  readonly words: readonly string[];
}

/** Reads the arguments after the program's name. Throws UsageError. `help` is a command like any other. */
export function readArguments(args: readonly string[]): Invocation {
  const [command = 'help', ...rest] = args;
  if (['help', '--help', '-h'].includes(command)) return { command: 'help', flags: new Map(), words: rest };
  if (command === '--version') return { command: 'version', flags: new Map(), words: [] };
  const row = COMMANDS[command];
  if (!row) throw new UsageError(`there is no command "${command}"; "tsukube help" lists them`);
  if (row.passThrough) return { command, flags: new Map(), words: rest };
  if (rest.includes('--help') || rest.includes('-h')) return { command: 'help', flags: new Map(), words: [command] };
  const options = Object.fromEntries(
    Object.entries(row.options).map(([name, { type, short }]) => [name, { type, ...(short && { short }) }]),
  );
  try {
    const { values, positionals } = parseArgs({ args: rest, options, allowPositionals: true, strict: true });
    const flags = Object.entries(values).filter((entry): entry is [string, string | boolean] => entry[1] !== undefined);
    return { command, flags: new Map(flags), words: positionals };
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message}; usage: tsukube ${row.usage}`, { cause });
  }
}

/** A flag that must be a whole number from `minimum` to `maximum`; undefined when it was not given. */
export function numberFlag(invocation: Invocation, name: string, minimum: number, maximum: number): number | undefined {
  const value = invocation.flags.get(name);
  if (value === undefined) return undefined;
  const number = Number(value);
  if (Number.isInteger(number) && number >= minimum && number <= maximum) return number;
  throw new UsageError(`--${name} must be a whole number from ${minimum} to ${maximum}, not "${value}"`);
}

const UNITS_MS: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A flag that must be a duration as Go writes it ("1m30s", "500ms", "0"), in milliseconds. */
export function durationFlag(invocation: Invocation, name: string): number | undefined {
  const value = stringFlag(invocation, name);
  if (value === undefined || value === '0') return value === undefined ? undefined : 0;
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length > 0 && parts.map(([part]) => part).join('') === value) {
    return parts.reduce((ms, [, number, unit]) => ms + Number(number) * UNITS_MS[unit!]!, 0);
  }
  throw new UsageError(`--${name} must be a duration like 5s or 500ms, not "${value}"`);
}

/** A flag that must be a number, not necessarily a whole one, from `minimum` to `maximum`. */
export function shareFlag(invocation: Invocation, name: string, minimum: number, maximum: number): number | undefined {
  const value = stringFlag(invocation, name);
  if (value === undefined) return undefined;
  const number = value.trim() === '' ? Number.NaN : Number(value);
  if (number >= minimum && number <= maximum) return number;
  throw new UsageError(`--${name} must be a number from ${minimum} to ${maximum}, not "${value}"`);
}

export function stringFlag(invocation: Invocation, name: string): string | undefined {
  const value = invocation.flags.get(name);
  return typeof value === 'string' ? value : undefined;
}

export function helpText(command?: string): string {
  const row = command === undefined ? undefined : COMMANDS[command];
  if (row) {
    const lines = Object.entries(row.options)
      .filter(([, option]) => !option.hidden)
      .map(([name, { type, short, help }]) => {
        const flag = `${short ? `-${short}, ` : ''}--${name}${type === 'string' ? ' VALUE' : ''}`;
        return `  ${flag.padEnd(28)} ${help}`;
      });
    return `tsukube ${row.usage}\n  ${row.help}\n\n${lines.join('\n')}\n`;
  }
  const lines = Object.values(COMMANDS)
    .filter(({ hidden }) => !hidden)
    .map(({ usage, help }) => `  ${usage.padEnd(26)} ${help}`);
  return `tsukube: Kubernetes, whole and highly available, in TypeScript\n\n${lines.join('\n')}\n\n"tsukube COMMAND --help" says more.\n`;
}
