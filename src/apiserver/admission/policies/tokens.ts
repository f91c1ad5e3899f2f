// The words of a CEL expression, with where they stand: enough to rewrite what the CEL library has no syntax for.

export interface Token {
  readonly kind: 'name' | 'text' | 'other';
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const SPACE = /(?:\s|\/\/[^\n]*)+/y;
const NUMBER = /[0-9](?:[A-Za-z0-9_]|\.[0-9])*/y;
/** Strings and bytes; what is never closed ends with the expression, and is for the parser to refuse. */
const TEXTS = [
  /[bB]?[rR]("""|''')[\s\S]*?(?:\1|$)/y,
  /[rR]?[bB]?("""|''')(?:\\[\s\S]|[^\\])*?(?:\1|$)/y,
  /[bB]?[rR](["'])(?:(?!\1)[\s\S])*(?:\1|$)/y,
  /[bB]?(["'])(?:\\[\s\S]|(?!\1)[^\\])*(?:\1|$)/y,
];

export function tokensOf(expression: string): readonly Token[] {
  const tokens: Token[] = [];
  const at = (pattern: RegExp, from: number): string | undefined => {
    pattern.lastIndex = from;
    return pattern.exec(expression)?.[0];
  };
  for (let start = 0; start < expression.length; ) {
    const space = at(SPACE, start);
    if (space) {
      start += space.length;
      continue;
    }
    const quoted = TEXTS.map((pattern) => at(pattern, start)).find((found) => found !== undefined);
    const name = quoted === undefined ? at(NAME, start) : undefined;
    const text = quoted ?? name ?? at(NUMBER, start) ?? expression[start]!;
    const kind = quoted !== undefined ? 'text' : name !== undefined ? 'name' : 'other';
    tokens.push({ kind, text, start, end: start + text.length });
    start += text.length;
  }
  return tokens;
}
