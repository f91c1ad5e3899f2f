// The hashes that names are made of.

/** FNV-1a, 32 bits. A string is hashed as UTF-8; `seed` continues an earlier hash. */
export function fnv32a(data: string | Uint8Array, seed = 0x811c9dc5): number {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  let hash = seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** No vowels and nothing that looks like another: no bad words in names. */
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

/** Maps every character to a safe one, as upstream's rand.SafeEncodeString. */
export function safeEncodeString(text: string): string {
  let encoded = '';
  for (const character of text) encoded += SAFE[character.codePointAt(0)! % SAFE.length];
  return encoded;
}

/**
 * The hash of a template for pod-template-hash and controller-revision-hash: the same for the same content whatever the
 * order of its members. A collision count makes another one.
 */
export function templateHash(template: unknown, collisionCount?: number): string {
  let hash = fnv32a(stableText(template));
  if (collisionCount !== undefined) {
    const count = Buffer.alloc(8);
    count.writeUInt32LE(collisionCount >>> 0);
    hash = fnv32a(count, hash);
  }
  return safeEncodeString(String(hash));
}

/** JSON with members in the order of their names, absent and null ones left out. */
function stableText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableText).join(',')}]`;
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, v]) => v !== undefined && v !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([k, v]) => `${JSON.stringify(k)}:${stableText(v)}`).join(',')}}`;
}
