// Serves a container's log as the API asks for it: from the rotated files and the current one, and on as it grows.
import { createReadStream, watch } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/clock.ts';
import { type LogEntry, parseLogLine, timeNanos } from './parse.ts';
import { tailOffset } from './tail.ts';

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Entries before it are left out: milliseconds since the epoch. */
  readonly sinceMs?: number;
  readonly stream?: 'stdout' | 'stderr';
}

export interface LogReading {
  readonly clock: Clock;
  /** Whether the container may still write. Asked when a follower has reached the end. */
  readonly mayGrow: () => Promise<boolean>;
  /** Resolves when the reader can take more. */
  readonly write: (chunk: Buffer) => Promise<void>;
  readonly signal: AbortSignal;
}

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** How long a follower waits for news of the file before it looks itself. */
const POLL_MS = 1_000;
/** A line longer than this is not one of the runtime's. */
const MAX_LINE_BYTES = 1 << 20;

class LimitReached extends Error {}

export async function readLog(path: string, options: LogOptions, reading: LogReading): Promise<void> {
  const writer = new EntryWriter(options, reading.write);
  try {
    const file = await open(path);
    let reader = new FileReader(file);
    try {
      if (options.tailLines === undefined) await readRotated(path, writer, reading.signal);
      else reader.offset = await tailOffset(path, options.tailLines);
      await reader.drain(writer, reading.signal);
      await writer.flush();
      while (options.follow && !reading.signal.aborted) {
        // Asked before the last look, so that what was written before the end is not missed.
        const growing = await reading.mayGrow();
        await reader.drain(writer, reading.signal);
        await writer.flush();
        const rotated = await reopened(path, reader);
        if (rotated) {
          await reader.drain(writer, reading.signal);
          await reader.close();
          reader = rotated;
          continue;
        }
        if (!growing) return;
        await changed(path, reading);
      }
    } finally {
      await reader.close();
    }
  } catch (error) {
    if (!(error instanceof LimitReached)) throw error;
    await writer.flush();
  }
}

/** Writes entries as text, within the limits asked for. */
class EntryWriter {
  readonly #options: LogOptions;
  readonly #write: (chunk: Buffer) => Promise<void>;
  readonly #sinceNanos: bigint;
  #left: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #continues = false;

  constructor(options: LogOptions, write: (chunk: Buffer) => Promise<void>) {
    this.#options = options;
    this.#write = write;
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY;
    this.#sinceNanos = options.sinceMs === undefined ? 0n : BigInt(Math.floor(options.sinceMs)) * 1_000_000n;
  }

  async add(entry: LogEntry): Promise<void> {
    const { stream, timestamps } = this.#options;
    if (stream && entry.stream !== stream) return;
    if (this.#sinceNanos > 0n && timeNanos(entry.time) < this.#sinceNanos) return;
    // A line that came in parts has one time: its first part's.
    const prefix = timestamps && !this.#continues ? Buffer.from(`${entry.time} `) : Buffer.alloc(0);
    this.#continues = entry.partial;
    let text = Buffer.concat([prefix, entry.content]);
    if (text.length >= this.#left) text = text.subarray(0, this.#left);
    this.#left -= text.length;
    this.#pending.push(text);
    this.#pendingBytes += text.length;
    if (this.#left <= 0) throw new LimitReached();
    if (this.#pendingBytes >= CHUNK_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const chunk = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    await this.#write(chunk);
  }
}

class FileReader {
  readonly file: FileHandle;
  offset = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(file: FileHandle) {
    this.file = file;
  }

  /** Takes all whole lines up to the file's present end. */
  async drain(writer: EntryWriter, signal: AbortSignal): Promise<void> {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    while (!signal.aborted) {
      const { bytesRead } = await this.file.read(buffer, 0, CHUNK_BYTES, this.offset);
      if (bytesRead === 0) return;
      this.offset += bytesRead;
      this.#rest = await takeLines(Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]), writer);
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

async function takeLines(data: Buffer, writer: EntryWriter): Promise<Buffer> {
  let at = 0;
  for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, at)) {
    const entry = parseLogLine(data.subarray(at, end + 1));
    if (entry) await writer.add(entry);
    at = end + 1;
  }
  const rest = data.subarray(at);
  return rest.length > MAX_LINE_BYTES ? Buffer.alloc(0) : Buffer.from(rest);
}

/** Rotated files of a log, the oldest first: `0.log.20260101-000000`, compressed or not. */
export async function rotatedFiles(path: string): Promise<readonly string[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix) && !name.endsWith('.tmp'))
    .sort()
    .map((name) => join(dirname(path), name));
}

async function readRotated(path: string, writer: EntryWriter, signal: AbortSignal): Promise<void> {
  for (const file of await rotatedFiles(path)) {
    const source = createReadStream(file);
    const stream = file.endsWith('.gz') ? source.pipe(createGunzip()) : source;
    let rest = Buffer.alloc(0);
    try {
      for await (const chunk of stream) {
        if (signal.aborted) return;
        rest = Buffer.from(await takeLines(Buffer.concat([rest, chunk as Buffer]), writer));
      }
    } catch (error) {
      // A file that was just rotated away is not worth failing for.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    } finally {
      source.destroy();
    }
  }
}

/** A reader of the new file, when the log has been rotated under us. */
async function reopened(path: string, reader: FileReader): Promise<FileReader | undefined> {
  const now = await stat(path).catch(() => undefined);
  if (!now || now.ino === (await reader.file.stat()).ino) return undefined;
  return new FileReader(await open(path));
}

/** Resolves when the file or its directory changes, or after a while. */
async function changed(path: string, { clock, signal }: LogReading): Promise<void> {
  const wake = new AbortController();
  const watcher = watch(dirname(path), () => wake.abort());
  watcher.on('error', () => wake.abort());
  await sleep(clock, POLL_MS, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
  watcher.close();
}
