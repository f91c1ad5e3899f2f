// Steps of a path in a field set, as FieldsV1 writes them: f: a field or map key, k: a list item by its keys, v: a set's value,
// i: an index (sigs.k8s.io/structured-merge-diff, fieldpath).

/** "f:spec", `k:{"name":"main"}`, `v:"finalizer"`, "i:0". */
export type PathElement = string;

/** The entry that says that a path is itself in the set, beside what is below it. */
export const SELF = '.';

const KINDS = 'fkvi';

export function isPathElement(text: string): boolean {
  return text.length >= 2 && text[1] === ':' && KINDS.includes(text[0]!);
}

/** Characters that Go's JSON writes as escapes although they need none. */
const HTML = /[<>&\u2028\u2029]/;
const HTML_ALL = new RegExp(HTML, 'g');

/** A scalar as JSON, in Go's spelling. */
export function goJson(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  const text = JSON.stringify(value) ?? 'null';
  if (typeof value !== 'string' || !HTML.test(text)) return text;
  return text.replace(HTML_ALL, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The order of members in FieldsV1. */
export function comparePathElements(a: PathElement, b: PathElement): number {
  if (a === b) return 0;
  const kinds = KINDS.indexOf(a[0]!) - KINDS.indexOf(b[0]!);
  if (kinds !== 0) return kinds;
  const [left, right] = [a.slice(2), b.slice(2)];
  switch (a[0]) {
    case 'k':
      return compareKeys(parsed(left), parsed(right));
    case 'v':
      return compareScalars(parsed(left), parsed(right));
    case 'i':
      return Number(left) - Number(right);
    default:
      return compareText(left, right);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Someone else's entry that is no JSON: it has its place as text.
    return text;
  }
}

function compareKeys(a: unknown, b: unknown): number {
  const left = Object.entries((a ?? {}) as object).sort(([x], [y]) => compareText(x, y));
  const right = Object.entries((b ?? {}) as object).sort(([x], [y]) => compareText(x, y));
  for (let i = 0; i < left.length && i < right.length; i++) {
    const order = compareText(left[i]![0], right[i]![0]) || compareScalars(left[i]![1], right[i]![1]);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

const RANK: { readonly [type: string]: number } = { number: 0, bigint: 0, string: 1, boolean: 2 };

/** Numbers before strings before booleans before the rest, as upstream orders values. */
export function compareScalars(a: unknown, b: unknown): number {
  const [left, right] = [RANK[typeof a] ?? 3, RANK[typeof b] ?? 3];
  if (left !== right) return left - right;
  if (left === 1) return compareText(a as string, b as string);
  if (left === 3 || a === b) return 0;
  return (a as number) < (b as number) ? -1 : 1;
}

const BEYOND_ASCII = /[^\0-\x7f]/;

/** By code points, as Go compares the bytes of strings. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  if (BEYOND_ASCII.test(a) && BEYOND_ASCII.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : 1;
}

/** `.name`, `[name="main"]`, `[="value"]`, `[0]`: as messages name it. */
export function printPathElement(element: PathElement): string {
  const text = element.slice(2);
  switch (element[0]) {
    case 'k': {
      const keys = parsed(text);
      if (typeof keys !== 'object' || keys === null) return `[${text}]`;
      const pairs = Object.entries(keys).sort(([x], [y]) => compareText(x, y));
      return `[${pairs.map(([name, value]) => `${name}=${printScalar(value)}`).join(',')}]`;
    }
    case 'v':
      return `[=${printScalar(parsed(text))}]`;
    case 'i':
      return `[${text}]`;
    default:
      return `.${text}`;
  }
}

function printScalar(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

export function printPath(path: readonly PathElement[]): string {
  return path.map(printPathElement).join('');
}
