// What the CEL library says, in the words of upstream's.

export interface CelError extends Error {
  readonly summary?: string;
  readonly node?: { readonly pos?: number };
}

const WORDS: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/^Unknown variable: (.*)$/, "undeclared reference to '$1' (in container '')"],
  [/^No such key: index out of bounds, index (-?\d+).*$/, 'index out of bounds: $1'],
  [/^No such key: (.*)$/, 'no such key: $1'],
];

/** One line, without what the library shows of the expression. */
export function errorText(error: unknown): string {
  const { summary, message } = error as CelError;
  const [line = ''] = String(summary ?? message ?? error).split('\n');
  const [pattern, text] = WORDS.find(([one]) => one.test(line)) ?? [];
  return pattern ? line.replace(pattern, text!) : line;
}
