// What a run of the suite came to, read from the runner's JUnit reports.
import { plainName } from './selection.ts';

export interface Outcome {
  readonly passed: boolean;
  readonly seconds: number;
  /** What the test said when it failed. */
  readonly message: string;
}

const ENTITIES: { readonly [entity: string]: string } = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** Outcomes by plain name; tests that were skipped are left out. */
export function outcomesOf(junit: string): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  for (const [, attributes = '', content = ''] of junit.matchAll(/<testcase ([^>]*)>([\s\S]*?)<\/testcase>/g)) {
    if (/<skipped\b/.test(content)) continue;
    const failure = /<failure\b[^>]*>([\s\S]*?)<\/failure>/.exec(content);
    outcomes.set(plainName(attribute(attributes, 'name')), {
      passed: failure === null,
      seconds: Number(attribute(attributes, 'time')),
      message: failure ? firstWords(decoded(failure[1] ?? '')) : '',
    });
  }
  return outcomes;
}

function attribute(text: string, name: string): string {
  return decoded(new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? '');
}

function decoded(text: string): string {
  return text.replace(/&(?:#x([0-9a-fA-F]+)|#(\d+)|(\w+));/g, (all, hex: string, decimal: string, name: string) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    return decimal ? String.fromCodePoint(Number(decimal)) : (ENTITIES[name] ?? all);
  });
}

const MESSAGE_LIMIT = 200;

/** A failure is places in the suite's sources, times, dumped structures, and somewhere between them what went wrong. */
function firstWords(failure: string): string {
  const lines = failure
    .split('\n')
    .map((line) => line.replace(/^\s*(?:\w{3}\s+\d+ [\d:.]+: )?/, '').trim())
    .filter((line) => line !== '' && !/^\/\S+\.go:\d+$/.test(line) && !/^(Unexpected error:|occurred)$/.test(line));
  const plain = lines.filter((line) => !/^[<}\])]|[{[(]$|^\w+: .*,$/.test(line));
  return ([...new Set(plain)].slice(0, 2).join(': ') || (lines[0] ?? 'no message')).slice(0, MESSAGE_LIMIT);
}
