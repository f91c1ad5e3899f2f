// What `kubectl explain` says of types and fields: the texts are upstream's, so they are in no source file here but read, when
// the program is built, from a package that is generated from upstream's OpenAPI document.
import { globSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import typeData from '../src/api/data/types.json' with { type: 'json' };
import type { Descriptions } from '../src/apiserver/discovery/descriptions.ts';

const PACKAGES = ['kubernetes-models', '@kubernetes-models/apimachinery'];
const FREE_TYPE_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions';
/** So few would mean that the packages are laid out in another way now. */
const LEAST_TYPES = 600;

/** Writes descriptions.json.gz into a directory, beside the bundle that reads it. */
export async function writeDescriptions(directory: string, modules = 'node_modules'): Promise<void> {
  const byAlias = new Map(Object.keys(typeData).map((name) => [aliasOf(name), name]));
  const found: { [type: string]: Descriptions[string] } = {};
  const objects: string[] = [];
  for (const name of PACKAGES) {
    for (const file of globSync(join(modules, name, '**/*.d.ts'))) {
      const source = readFileSync(file, 'utf8');
      const alias = /export type \{ I\w+ as I(Io\w+)/.exec(source)?.[1];
      const type = alias === undefined ? undefined : byAlias.get(alias);
      if (type === undefined) continue;
      found[type] = descriptionsOf(source);
      if (/export interface \w+ extends TypeMeta/.test(source)) objects.push(type);
    }
  }
  describeTypeMeta(found, objects);
  const count = Object.keys(found).length;
  if (LEAST_TYPES > count) throw new Error(`only ${count} types are described`);
  await writeFile(join(directory, 'descriptions.json.gz'), gzipSync(JSON.stringify(found), { level: 9 }));
}

/** The package says of objects' apiVersion and kind only which they are; what the fields are for it says where they are free. */
function describeTypeMeta(found: { [type: string]: Descriptions[string] }, objects: readonly string[]): void {
  const { apiVersion = '', kind = '' } = found[FREE_TYPE_META]?.fields ?? {};
  if (apiVersion === '' || kind === '') throw new Error(`${FREE_TYPE_META} does not describe apiVersion and kind`);
  for (const type of objects) found[type] = { ...found[type]!, fields: { apiVersion, kind, ...found[type]!.fields } };
}

/** "io.k8s.api.core.v1.PodSpec" as the packages name it: "IoK8sApiCoreV1PodSpec". */
function aliasOf(type: string): string {
  return type
    .split(/[.-]/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
}

/** The comments of an interface and of its members. */
function descriptionsOf(source: string): Descriptions[string] {
  const opened = /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?export interface \w+ (?:extends \w+ )?\{/.exec(source);
  if (!opened) return { fields: {} };
  const body = source.slice(opened.index + opened[0].length, source.indexOf('\n}', opened.index));
  const fields: { [name: string]: string } = {};
  for (const [, comment, name] of body.matchAll(/^ {4}\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*^ {4}"([^"]+)"/gm)) {
    fields[name!] = plain(comment!);
  }
  return { ...(opened[1] !== undefined && { type: plain(opened[1]) }), fields };
}

function plain(comment: string): string {
  return comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, '').trimEnd())
    .join('\n')
    .replaceAll('*\\/', '*/')
    .trim();
}
