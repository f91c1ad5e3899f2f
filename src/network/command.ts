// Commands of the host (nft, ip, conntrack ...), run through an injected runner: another network namespace, or a test's
// recorder, is another runner.
import { type ChildProcess, spawn } from 'node:child_process';

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Written to the command's standard input, which is then closed. */
  readonly stdin?: string | undefined;
  /** Kills the command; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a command without a shell and resolves with its exit code, whatever it is. Rejects when it cannot be started, when
 * it is aborted, or when it prints more than MAX_OUTPUT_BYTES on one stream.
 */
export type RunCommand = (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

/** A table listing of a large cluster is some megabytes; more than this is a runaway command, which is killed. */
export const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** A command that ended with a code that its caller does not take for success. */
export class CommandError extends Error {
  override name = 'CommandError';
  readonly argv: readonly string[];
  readonly result: CommandResult;

  constructor(argv: readonly string[], result: CommandResult) {
    const said = (result.stderr.trim() || result.stdout.trim()).slice(0, 2000);
    super(`${argv.join(' ')}: exit code ${result.code}${said ? `: ${said}` : ''}`);
    this.argv = argv;
    this.result = result;
  }
}

/** Runs a command and returns what it printed; throws CommandError unless it exits with 0. */
export async function output(run: RunCommand, argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code !== 0) throw new CommandError(argv, result);
  return result.stdout;
}

/** True when the command exits with 0. */
export async function succeeds(
  run: RunCommand,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<boolean> {
  return (await run(argv, options)).code === 0;
}

/** Commands of this process's own namespaces. */
export const hostCommands: RunCommand = (argv, options = {}) => {
  const [file, ...args] = argv;
  if (file === undefined) return Promise.reject(new TypeError('no command'));
  if (options.signal?.aborted) return Promise.reject(options.signal.reason);
  const child = spawn(file, args, { stdio: 'pipe', env: { ...process.env, LC_ALL: 'C' } });
  return finished(child, argv, options);
};

/** The same commands in the network namespace at `path`; mounts, and so /sys and cgroups, stay this process's. */
export function inNetworkNamespace(path: string, run: RunCommand = hostCommands): RunCommand {
  return (argv, options) => run(['nsenter', `--net=${path}`, '--', ...argv], options);
}

function finished(child: ChildProcess, argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const collected = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const sizes = { stdout: 0, stderr: 0 };
    let failure: unknown;
    const fail = (reason: unknown): void => {
      failure ??= reason;
      child.kill('SIGKILL');
    };
    const onAbort = (): void => fail(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]?.on('data', (chunk: Buffer) => {
        sizes[stream] += chunk.length;
        if (sizes[stream] > MAX_OUTPUT_BYTES)
          fail(new Error(`${argv[0]}: more than ${MAX_OUTPUT_BYTES} bytes printed`));
        else collected[stream].push(chunk);
      });
    }
    child.on('error', (error) => {
      options.signal?.removeEventListener('abort', onAbort);
      reject(failure ?? new Error(`cannot run ${argv[0]}`, { cause: error }));
    });
    child.on('close', (code, killedBy) => {
      options.signal?.removeEventListener('abort', onAbort);
      if (failure !== undefined) return reject(failure);
      const [stdout, stderr] = [collected.stdout, collected.stderr].map((parts) => Buffer.concat(parts).toString());
      resolve({ code: code ?? 128, stdout: stdout!, stderr: killedBy ? `${stderr}killed by ${killedBy}` : stderr! });
    });
    // A command that ends without reading its input breaks the pipe: its exit code says what happened.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.stdin ?? '');
  });
}
