// $(NAME) references in commands, arguments and environment values.

/**
 * Replaces $(NAME) by what `lookup` gives; a name that it does not know stays as written, and $$ stands for one $.
 */
export function expandReferences(text: string, lookup: (name: string) => string | undefined): string {
  let result = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '$' || i + 1 === text.length) {
      result += text[i];
      continue;
    }
    const next = text[i + 1]!;
    const close = next === '(' ? text.indexOf(')', i) : -1;
    if (next === '$') {
      result += '$';
      i++;
    } else if (close > 0) {
      const name = text.slice(i + 2, close);
      result += lookup(name) ?? `$(${name})`;
      i = close;
    } else {
      result += `$${next}`;
      i++;
    }
  }
  return result;
}
