// Tolerations and NoExecute taints (core/v1 Toleration). Pure.
import type { Taint, Toleration } from '../api/generated/types.ts';

/** Whether the toleration covers the taint: an empty key with Exists covers every key, an empty effect every effect. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  const { key = '', operator = 'Equal', value = '', effect } = toleration;
  if (effect && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  switch (operator) {
    case 'Exists':
      return true;
    case 'Equal':
      return key !== '' && value === (taint.value ?? '');
    case 'Gt':
      return numeric(taint.value, value, (have, than) => have > than);
    case 'Lt':
      return numeric(taint.value, value, (have, than) => have < than);
  }
}

const INTEGER = /^-?(0|[1-9][0-9]*)$/;

function numeric(have: string | undefined, than: string, compare: (a: bigint, b: bigint) => boolean): boolean {
  if (have === undefined || !INTEGER.test(have) || !INTEGER.test(than)) return false;
  return compare(BigInt(have), BigInt(than));
}

/** A NoExecute taint with the time from which tolerationSeconds count, in milliseconds since the epoch. */
export interface TimedTaint {
  readonly taint: Taint;
  readonly sinceMs: number;
}

/**
 * When a pod with these tolerations has to leave a node with these NoExecute taints: -Infinity now, undefined never. For each
 * taint the first toleration that covers it counts; the least of their times decides.
 */
export function evictionTime(taints: readonly TimedTaint[], tolerations: readonly Toleration[]): number | undefined {
  let atMs: number | undefined;
  for (const { taint, sinceMs } of taints) {
    const toleration = tolerations.find((one) => tolerates(one, taint));
    if (!toleration) return Number.NEGATIVE_INFINITY;
    const { tolerationSeconds } = toleration;
    if (tolerationSeconds === undefined || tolerationSeconds === null) continue;
    const leaveMs = tolerationSeconds <= 0 ? Number.NEGATIVE_INFINITY : sinceMs + tolerationSeconds * 1000;
    atMs = Math.min(atMs ?? Number.POSITIVE_INFINITY, leaveMs);
  }
  return atMs;
}
