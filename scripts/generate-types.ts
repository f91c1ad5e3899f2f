// Writes src/api/generated/types.ts: TypeScript interfaces for every type, and the map from resource to type,
// from the same tables that drive the server. Run by `npm run generate`; the result is committed and checked in CI.
import { readFileSync, writeFileSync } from 'node:fs';

type FieldRow = [string, number, string, string, { en?: string[]; ec?: string[] }?];
interface TypeRow {
  f?: FieldRow[];
  gvk?: [string, string, string][] | string;
  leaf?: string;
  list?: string;
  alias?: string;
  custom?: string;
}
interface ResourceRow {
  g: string;
  v: string;
  r: string;
  kind: string;
  type?: string;
}

const data = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../src/api/data/${name}.json`, import.meta.url), 'utf8'));
const types = data('types') as Record<string, TypeRow>;
const { groups, resources } = data('resources') as {
  groups: { group: string; preferred: string }[];
  resources: ResourceRow[];
};

const SCALARS: Record<string, string> = {
  string: 'string',
  bool: 'boolean',
  int32: 'number',
  int64: 'number',
  double: 'number',
  bytes: 'string',
  time: 'string',
  microtime: 'string',
  duration: 'string',
  quantity: 'string',
  intorstring: 'number | string',
  rawext: 'JsonObject',
  json: 'Json',
  fieldsv1: 'JsonObject',
  any: 'Json',
};

/** Short names: the last word of the definition, with group and version added where an earlier type took it. */
function shortNames(): Map<string, string> {
  const rank = (name: string): number => {
    const order = ['apimachinery', 'api.core.v1', 'api.apps.v1', 'api.batch.v1', 'api.autoscaling.v2'];
    const i = order.findIndex((part) => name.includes(part));
    return i >= 0 ? i : /\.v\d+\.[^.]+$/.test(name) ? 10 : 20;
  };
  const names = new Map<string, string>();
  const taken = new Set(['Json', 'JsonObject']);
  const sorted = Object.keys(types).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  for (const name of sorted) {
    const parts = name.split('.');
    let short = parts.at(-1)!;
    if (taken.has(short)) short += pascal(parts.at(-3)!) + pascal(parts.at(-2)!);
    if (taken.has(short)) throw new Error(`two types want the name ${short}`);
    taken.add(short);
    names.set(name, short);
  }
  return names;
}

function pascal(text: string): string {
  return text.replace(/(^|[-_])(\w)/g, (_, _sep, letter: string) => letter.toUpperCase());
}

const names = shortNames();

function typeText(code: string, literals: string[] | undefined): string {
  if (code.startsWith('[]')) return `readonly ${wrap(typeText(code.slice(2), literals))}[]`;
  if (code.startsWith('{}')) return `{ readonly [key: string]: ${typeText(code.slice(2), undefined)} }`;
  if (code.startsWith('@')) return names.get(code.slice(1)) ?? 'JsonObject';
  if (literals && code === 'string') return literals.map((v) => JSON.stringify(v)).join(' | ');
  const scalar = SCALARS[code];
  if (!scalar) throw new Error(`unknown type code ${code}`);
  return scalar;
}

function wrap(text: string): string {
  return text.includes('|') ? `(${text})` : text;
}

function isTopLevel(row: TypeRow): boolean {
  return Array.isArray(row.gvk) && !!row.f?.some((f) => f[0] === 'metadata');
}

function interfaceText(name: string, row: TypeRow): string {
  const short = names.get(name)!;
  if (row.leaf) return `export type ${short} = ${SCALARS[row.leaf]};\n`;
  if (row.list) return `export type ${short} = readonly ${row.list}[];\n`;
  if (row.alias) return `export type ${short} = ${typeText(row.alias, undefined)};\n`;
  if (!row.f) return `export type ${short} = Json;\n`;
  const parents = row.f.filter((f) => f[3].includes('i')).map((f) => names.get(f[2].slice(1)) ?? 'JsonObject');
  const lines: string[] = [];
  for (const [field, , code, flags, extras] of row.f) {
    if (flags.includes('i') || field === '') continue;
    let text = typeText(code, extras?.en);
    let required = flags.includes('r');
    if (field === 'metadata' && text === 'ObjectMeta') {
      required = isTopLevel(row);
      if (!required) text = 'Partial<ObjectMeta>';
    }
    if (field === 'spec' && isTopLevel(row) && !flags.includes('p')) required = true;
    if (short === 'ObjectMeta' && field === 'name') required = true;
    if (field === 'items' && isTopLevel(row)) required = true;
    const key = /^[A-Za-z_]\w*$/.test(field) ? field : JSON.stringify(field);
    lines.push(`  readonly ${key}${required ? '' : '?'}: ${text};`);
  }
  const base = parents.length > 0 ? ` extends ${parents.join(', ')}` : '';
  return `export interface ${short}${base} {\n${lines.join('\n')}\n}\n`;
}

function resourceMap(): string {
  const lines: string[] = [];
  const seen = new Set<string>();
  for (const row of resources) {
    if (!row.type || row.type.includes('metrics')) continue;
    const preferred = groups.find((g) => g.group === row.g)?.preferred === row.v;
    const base = row.g === '' ? row.r : `${row.r}.${row.g}`;
    const key = preferred ? base : `${row.r}.${row.v}.${row.g}`;
    if (seen.has(key)) throw new Error(`two rows for ${key}`);
    seen.add(key);
    lines.push(`  ${JSON.stringify(key)}: ${names.get(row.type)};`);
  }
  return lines.join('\n');
}

const body = Object.keys(types)
  .sort()
  .map((name) => interfaceText(name, types[name]!))
  .join('\n');
writeFileSync(
  new URL('../src/api/generated/types.ts', import.meta.url),
  `// Generated by scripts/generate-types.ts from src/api/data. Do not edit.

/** Any JSON value. An integer beyond 2^53 is a bigint (see ../json.ts). */
export type Json = string | number | bigint | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

${body}
/** Every resource by its plural name and group ("pods", "deployments.apps"); versions that are not preferred stand between them. */
export interface ResourceTypes {
${resourceMap()}
}
`,
);
