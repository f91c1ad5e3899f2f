// What clients were told during a drill, judged: nothing acknowledged is lost, every key is linearizable, watches are complete.
import type { KeyHistory } from '../probes/api.ts';
import type { SeenEvent } from '../probes/watch.ts';
import { checkLinearizable } from './linearizability.ts';
import { register } from './register.ts';

/** Each line says what was broken; none: everything held. */
export function checkHistories(histories: ReadonlyMap<string, KeyHistory>): readonly string[] {
  const problems: string[] = [];
  for (const [name, { initial, operations }] of histories) {
    const verdict = checkLinearizable({ ...register, initial }, operations);
    if (verdict.linearizable === true) continue;
    if (verdict.linearizable === 'unknown') {
      problems.push(`${name}: ${operations.length} operations are too many to judge`);
      continue;
    }
    const stuck = verdict.stuck.map(({ call, return: end, input, output }) =>
      JSON.stringify({ call: Math.round(call), return: Math.round(end), input, output }),
    );
    problems.push(`${name} is not linearizable after ${verdict.ordered} operations: ${stuck.join(' ')}`);
  }
  return problems;
}

/**
 * A watch that began before the first write shows every acknowledged write with its version, versions only grow, and each
 * event of a key replaces what the one before it left: so nothing is missing, repeated or out of order.
 */
export function checkWatch(
  histories: ReadonlyMap<string, KeyHistory>,
  events: readonly SeenEvent[],
  first: string,
): readonly string[] {
  const problems: string[] = [];
  const last = new Map<string, string>([...histories].map(([name, { initial }]) => [name, initial]));
  const seen = new Map<string, string>();
  let version = first;
  for (const { type, name, value, resourceVersion } of events) {
    if (Number(resourceVersion) <= Number(version))
      problems.push(`the watch shows ${resourceVersion} after ${version}`);
    version = resourceVersion;
    const replaced = histories.get(name)?.replaced.get(value);
    const before = last.get(name);
    if (type !== 'MODIFIED') problems.push(`${name}: the watch shows that it was ${type.toLowerCase()}`);
    else if (replaced === undefined) problems.push(`${name}: the watch shows ${value}, which nobody wrote`);
    else if (replaced !== before)
      problems.push(`${name}: the watch shows ${value} after ${before}, not after ${replaced}`);
    last.set(name, value);
    seen.set(`${name} ${value}`, resourceVersion);
  }
  for (const [name, { acknowledged }] of histories) {
    for (const { value, resourceVersion } of acknowledged) {
      const shown = seen.get(`${name} ${value}`);
      if (shown === resourceVersion) continue;
      problems.push(`${name}: ${value} was acknowledged at ${resourceVersion}; the watch shows ${shown ?? 'nothing'}`);
    }
  }
  return problems;
}

/** The last version that was acknowledged: a watch that has come so far has everything. "0": nothing was. */
export function newestVersion(histories: ReadonlyMap<string, KeyHistory>): string {
  const versions = [...histories.values()].flatMap(({ acknowledged }) =>
    acknowledged.map(({ resourceVersion }) => Number(resourceVersion)),
  );
  return String(versions.reduce((newest, one) => Math.max(newest, one), 0));
}
