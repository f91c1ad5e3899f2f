// What types and fields are for, in upstream's words: a file beside the program, made when it is built and read when a client
// first asks for a document that has them. Without it (the sources run unbuilt) documents have none.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

export interface Descriptions {
  /** By definition name. */
  readonly [type: string]: { readonly type?: string; readonly fields: { readonly [field: string]: string } };
}

const inflate = promisify(gunzip);

/** Beside the bundle, above the bundle's chunks, and where a build puts it for the sources. */
const PLACES = ['./', '../', '../../../dist/'];

/** Tells one set of descriptions from another: clients keep documents by their hash, for good. "" without any. */
export function descriptionsHash(): string {
  for (const place of PLACES) {
    const file = new URL(`${place}descriptions.json.gz`, import.meta.url);
    try {
      return createHash('sha256').update(readFileSync(file)).digest('hex');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return '';
}

export async function readDescriptions(): Promise<Descriptions> {
  for (const place of PLACES) {
    const file = new URL(`${place}descriptions.json.gz`, import.meta.url);
    try {
      return JSON.parse((await inflate(await readFile(file))).toString()) as Descriptions;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return {};
}
