// What the integration tests share: running the command as a user does, waiting for what must come, cleaning up.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

export const REPOSITORY = join(import.meta.dirname, '..', '..');
/** What is tested; another build in dist/ while somebody works on this one. */
/** TSUKUBE_BUNDLE names another build, which stays the same while the sources change. */
export const BUNDLE = process.env.TSUKUBE_BUNDLE ?? join(REPOSITORY, 'dist', 'main.js');

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs a program to its end. Never throws for its exit code. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      [...args],
      { env: { ...process.env, ...options.env }, timeout: options.timeoutMs ?? 180_000, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        if (error && typeof error.code !== 'number' && !error.killed) return reject(error);
        const code = error ? (error.killed ? 124 : (error.code as unknown as number)) : 0;
        resolve({ code, stdout, stderr });
      },
    );
    if (options.input !== undefined) child.stdin?.end(options.input);
  });
}

/** As run, and throws with everything that was printed when the exit code is not 0. Returns standard output, trimmed. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
  return stdout.trim();
}

/** A cluster of its own name, below its own directory, driven through the command line. */
export class TestCluster {
  readonly name: string;
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(name: string, directory: string) {
    this.name = name;
    this.directory = directory;
    this.env = {
      TSUKUBE_NAME: name,
      TSUKUBE_DATA_DIR: directory,
      // The user's own kubeconfig stays out of it.
      KUBECONFIG: join(directory, 'user-kubeconfig'),
    };
  }

  get root(): string {
    return join(this.directory, this.name);
  }

  tsukube(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(process.execPath, [BUNDLE, ...args], {
      timeoutMs: 180_000,
      ...options,
      env: { ...this.env, ...options.env },
    });
  }

  kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(kubectlPath(), args, { ...options, env: { ...options.env, ...this.#clientEnv() } });
  }

  kubectlRun(args: readonly string[], options: RunOptions = {}): Promise<Output> {
    return run(kubectlPath(), args, { ...options, env: { ...options.env, ...this.#clientEnv() } });
  }

  /** A kubectl that runs on (port-forward, logs -f, get -w); end it with kill(). */
  kubectlStart(
    args: readonly string[],
    { env }: Pick<RunOptions, 'env'> = {},
  ): ChildProcess & { output: () => string } {
    const child = spawn(kubectlPath(), [...args], {
      env: { ...process.env, ...env, ...this.#clientEnv() },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    return Object.assign(child, { output: () => text });
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl([...args, '-o', 'json'])) as T;
  }

  #clientEnv(): Record<string, string> {
    return { KUBECONFIG: join(this.root, 'admin.kubeconfig') };
  }
}

export function kubectlPath(): string {
  return join(REPOSITORY, 'node_modules', '.tsukube-tools', 'kubectl');
}

/** Asks again until the check returns something other than undefined or false, or throws when it takes too long. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  timeoutMs = 120_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const result = await check();
      if (result !== undefined && result !== false) return result;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${timeoutMs / 1000} s`, { cause: last });
    // Polling a system from outside: there is no event to wait for.
    await pause(50);
  }
}

export function requireBuilt(): void {
  if (!existsSync(BUNDLE)) throw new Error('dist/main.js is missing: run the integration tests with ./tsukube test');
}
