// Durations as texts.

/** Go's durations. The CEL library's own pattern takes cubic time on a text of digits that is none. */
const DURATION = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|[smh])(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|[smh]))*$/;

/** Throws an Error unless a text is a duration: before the library is given it. */
export function checkDuration(text: unknown): void {
  if (typeof text !== 'string' || DURATION.test(text)) return;
  throw new Error(`time: invalid duration ${JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)}`);
}

const UNITS_NS: readonly (readonly [name: RegExp, ns: number])[] = [
  [/^n/, 1],
  [/^(u|µ|mic)/, 1e3],
  [/^(ms|mil)/, 1e6],
  [/^s/, 1e9],
  [/^m/, 60e9],
  [/^h/, 3_600e9],
  [/^d/, 86_400e9],
  [/^w/, 604_800e9],
];

/** A value of the format "duration" ("3 weeks", "2hours30min") as one of Go's. */
export function goDuration(text: string): string {
  if (DURATION.test(text)) return text;
  let ns = 0;
  for (const [, amount, unit = ''] of text.matchAll(/(\d+(?:\.\d*)?)\s*([a-zµ]+)/gi)) {
    const found = UNITS_NS.find(([name]) => name.test(unit.toLowerCase()));
    ns += Number(amount) * (found?.[1] ?? 0);
  }
  return `${text.trim().startsWith('-') ? '-' : ''}${Math.round(Math.min(ns, Number.MAX_SAFE_INTEGER))}ns`;
}
