// /livez, /readyz and /healthz: one line a check.
import type { ResponseHeaders } from '../http/exchange.ts';

/** Throws when something is wrong. */
export type HealthCheck = (signal: AbortSignal) => Promise<void> | void;

export interface HealthChecks {
  /** Of the process itself: failing here means that a restart would help. */
  readonly live: ReadonlyMap<string, HealthCheck>;
  /** Of being able to serve. */
  readonly ready: ReadonlyMap<string, HealthCheck>;
}

export interface HealthAnswer {
  readonly code: number;
  readonly text: string;
  readonly headers: ResponseHeaders;
}

/** Answers `/readyz`, `/readyz/CHECK`, with `verbose` and `exclude` of the query; undefined: no such check. */
export async function healthAnswer(
  checks: HealthChecks,
  path: string,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<HealthAnswer | undefined> {
  const [, endpoint = '', one] = path.split('/');
  const all = endpoint === 'livez' ? checks.live : new Map([...checks.live, ...checks.ready]);
  if (one !== undefined && one !== '') {
    const check = all.get(one);
    if (!check) return undefined;
    const failed = await failure(check, signal);
    return failed ? plain(500, `internal server error: ${failed.message}\n`) : plain(200, 'ok');
  }
  const excluded = query.getAll('exclude');
  const lines: string[] = [];
  let bad = false;
  for (const [name, check] of all) {
    if (excluded.includes(name)) {
      lines.push(`[+]${name} excluded: ok`);
      continue;
    }
    const failed = await failure(check, signal);
    if (failed) bad = true;
    lines.push(failed ? `[-]${name} failed: reason withheld` : `[+]${name} ok`);
  }
  if (bad) return plain(500, `${lines.join('\n')}\n${endpoint} check failed\n`);
  return plain(200, query.has('verbose') ? `${lines.join('\n')}\n${endpoint} check passed\n` : 'ok');
}

async function failure(check: HealthCheck, signal: AbortSignal): Promise<Error | undefined> {
  try {
    await check(signal);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function plain(code: number, text: string): HealthAnswer {
  return { code, text, headers: { 'x-content-type-options': 'nosniff' } };
}
