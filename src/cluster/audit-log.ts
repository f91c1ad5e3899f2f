// The audit's log on disk: lines of JSON, a file that is put aside when it is big, and the old ones removed (upstream:
// --audit-log-path, -maxsize, -maxage, -maxbackup).
import { appendFile, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { parse } from 'yaml';
import type { AuditOptions, AuditSink } from '../apiserver/audit/auditor.ts';
import { readAuditPolicy } from '../apiserver/audit/policy.ts';
import type { Clock } from '../lib/clock.ts';

export interface AuditLogSettings {
  readonly policyFile: string;
  /** "-": the standard output. */
  readonly logPath: string;
  /** Mebibytes of one file; default 100. */
  readonly maxSizeMiB?: number;
  /** Days that a file put aside is kept; default 0: for ever. */
  readonly maxAgeDays?: number;
  /** Files put aside that are kept; default 0: all. */
  readonly maxBackups?: number;
}

const DEFAULT_MAX_SIZE_MIB = 100;
const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;

/** Throws an Error when the policy cannot be read. */
export async function openAudit(settings: AuditLogSettings, clock: Clock): Promise<AuditOptions> {
  const { policyFile, logPath } = settings;
  const { policy } = await readPolicyFile(policyFile);
  return { policy, sink: logPath === '-' ? toStandardOutput : await openAuditLog(settings, clock) };
}

/** Throws an Error when the policy cannot be used. */
export async function readPolicyFile(
  file: string,
): Promise<{ readonly text: string; readonly policy: AuditOptions['policy'] }> {
  try {
    const text = await readFile(file, 'utf8');
    return { text, policy: readAuditPolicy(parse(text)) };
  } catch (cause) {
    throw new Error(`the audit policy ${file} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

const toStandardOutput: AuditSink = (lines) =>
  new Promise((resolve, reject) => {
    process.stdout.write(`${lines.join('\n')}\n`, (error) => (error ? reject(error) : resolve()));
  });

/** Writes to the file; one write at a time, as its caller does. */
export async function openAuditLog(
  { logPath, maxSizeMiB = DEFAULT_MAX_SIZE_MIB, maxAgeDays = 0, maxBackups = 0 }: AuditLogSettings,
  clock: Clock,
): Promise<AuditSink> {
  const maxBytes = maxSizeMiB * MIB;
  let size = await sizeOf(logPath);
  return async (lines) => {
    let text = '';
    for (const line of lines) {
      const bytes = Buffer.byteLength(line) + 1;
      // A file is never put aside empty, however long a line is.
      if (size > 0 && size + bytes > maxBytes) {
        await append(logPath, text);
        text = '';
        await putAside(logPath, clock.now());
        size = 0;
        await removeOld(logPath, { nowMs: clock.now(), maxAgeDays, maxBackups });
      }
      text += `${line}\n`;
      size += bytes;
    }
    await append(logPath, text);
  };
}

async function append(file: string, text: string): Promise<void> {
  if (text !== '') await appendFile(file, text, { mode: 0o600 });
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/;

/** "audit.log" as of a time: "audit-2026-01-02T15-04-05.000.log". */
function asideName(file: string, ms: number): string {
  const extension = extname(file);
  const time = new Date(ms).toISOString().replaceAll(':', '-').slice(0, -1);
  return join(dirname(file), `${basename(file, extension)}-${time}${extension}`);
}

async function putAside(file: string, nowMs: number): Promise<void> {
  // Two in one millisecond: the later takes the next name that is free.
  let ms = nowMs;
  while ((await sizeOf(asideName(file, ms))) > 0) ms++;
  await rename(file, asideName(file, ms)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

async function removeOld(
  file: string,
  { nowMs, maxAgeDays, maxBackups }: { nowMs: number; maxAgeDays: number; maxBackups: number },
): Promise<void> {
  if (maxAgeDays === 0 && maxBackups === 0) return;
  const extension = extname(file);
  const prefix = `${basename(file, extension)}-`;
  const times = (await readdir(dirname(file)))
    .filter((name) => name.startsWith(prefix) && name.endsWith(extension))
    .map((name) => name.slice(prefix.length, extension === '' ? undefined : -extension.length))
    .filter((time) => TIME.test(time))
    .sort()
    .reverse();
  const oldest = new Date(nowMs - maxAgeDays * DAY_MS).toISOString().replaceAll(':', '-').slice(0, -1);
  const gone = times.filter((time, i) => (maxBackups > 0 && i >= maxBackups) || (maxAgeDays > 0 && time < oldest));
  for (const time of gone) await unlink(join(dirname(file), `${prefix}${time}${extension}`));
}
