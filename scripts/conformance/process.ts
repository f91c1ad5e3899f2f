import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Keeps all that was printed. */
  readonly logFile?: string;
}

/** Output kept of one program. */
const MAX_OUTPUT_BYTES = 1 << 28;

/** Runs a program to its end and returns what it printed; throws with it when the program fails. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...options.env };
    execFile(command, [...args], { cwd: options.cwd, env, maxBuffer: MAX_OUTPUT_BYTES }, (error, stdout, stderr) => {
      if (options.logFile) writeFileSync(options.logFile, `${stdout}${stderr}`);
      if (!error) return resolve(stdout);
      const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-20).join('\n');
      reject(
        new Error(`${command} ${args[0] ?? ''} failed: ${error.message.split('\n')[0]}\n${said}`, { cause: error }),
      );
    });
  });
}
