// What must hold of a drill, as people type it: "writes<2s,service=0,pods<6s". Pure.
import type { Measures } from './result.ts';

export interface Bound {
  readonly measure: keyof Measures;
  readonly relation: '<' | '<=' | '=';
  readonly value: number;
}

export interface Verdict {
  /** As it was typed. */
  readonly bound: string;
  readonly measured: number | undefined;
  readonly holds: boolean;
}

/** Names of what can be bounded, and what each says. */
export const MEASURES: Readonly<Record<keyof Measures, string>> = {
  writes: 'longest time without a good answer to a write',
  reads: 'the same of reads through the address',
  service: 'the same of requests to a service',
  dns: 'the same of DNS queries',
  pods: 'the longest start of a pod, from its creation to ready',
  watch: 'the longest time from an acknowledged write to its watch event',
  detect: 'from the first fault to the first sign of it in the cluster',
  failover: 'from the first fault until writes and the service were answered for good',
  recover: 'from the end of the last fault until the cluster was whole',
  failed: 'writes that failed after one retry',
};

const BOUND = /^([a-z]+)(<=|<|=)(\d+(?:\.\d+)?)(ms|s|m)?$/;
const UNITS_MS = { ms: 1, s: 1000, m: 60_000 } as const;

/** Throws with what is wrong about it. Numbers without a unit are seconds, except of what is counted. */
export function parseObjective(text: string): readonly Bound[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [, measure, relation, number, unit] = BOUND.exec(part) ?? [];
      const names = Object.keys(MEASURES).join(', ');
      if (measure === undefined) throw new Error(`"${part}" is no objective; write it as "writes<2s", of: ${names}`);
      if (!(measure in MEASURES)) throw new Error(`there is no measure "${measure}"; there are: ${names}`);
      const factor = measure === 'failed' ? 1 : UNITS_MS[(unit ?? 's') as keyof typeof UNITS_MS];
      if (measure === 'failed' && unit !== undefined)
        throw new Error(`"${part}": ${measure} is counted, it has no unit`);
      return {
        measure: measure as keyof Measures,
        relation: relation as Bound['relation'],
        value: Number(number) * factor,
      };
    });
}

/** A measure that is not there breaks its bound: what was not seen does not hold. */
export function judge(bounds: readonly Bound[], measures: Measures): readonly Verdict[] {
  return bounds.map((bound) => {
    const measured = measures[bound.measure];
    const { relation, value } = bound;
    const holds =
      measured !== undefined &&
      (relation === '<' ? measured < value : relation === '<=' ? measured <= value : measured === value);
    return { bound: boundText(bound), measured, holds };
  });
}

export function boundText({ measure, relation, value }: Bound): string {
  const text = measure === 'failed' || value === 0 ? String(value) : `${value / 1000}s`;
  return `${measure}${relation}${text}`;
}
