import { open } from 'node:fs/promises';
import { parseLogLine } from './parse.ts';

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** The offset where the last `lines` lines of a file of `size` bytes begin. */
export async function tailOffset(path: string, lines: number): Promise<number> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (lines <= 0) return size;
    const buffer = Buffer.alloc(CHUNK_BYTES);
    let end = size;
    let found = 0;
    while (end > 0) {
      const start = Math.max(0, end - CHUNK_BYTES);
      const { bytesRead } = await file.read(buffer, 0, end - start, start);
      for (let i = bytesRead - 1; i >= 0; i--) {
        // The newline that ends the file ends its last line.
        if (buffer[i] !== NEWLINE || start + i === size - 1) continue;
        found++;
        if (found === lines) return start + i + 1;
      }
      end = start;
    }
    return 0;
  } finally {
    await file.close();
  }
}

/** The end of a log's text, bounded in lines and bytes; empty when there is no log. */
export async function tailText(path: string, limits: { maxBytes: number; maxLines: number }): Promise<string> {
  try {
    const offset = await tailOffset(path, limits.maxLines);
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const buffer = Buffer.alloc(size - offset);
      await file.read(buffer, 0, buffer.length, offset);
      const contents: Buffer[] = [];
      for (let at = 0; at < buffer.length; ) {
        const newline = buffer.indexOf(NEWLINE, at);
        const end = newline < 0 ? buffer.length : newline + 1;
        const entry = parseLogLine(buffer.subarray(at, end));
        if (entry) contents.push(entry.content);
        at = end;
      }
      return Buffer.concat(contents).subarray(-limits.maxBytes).toString();
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
