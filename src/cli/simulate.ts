// `tsukube simulate`: runs simulations from seeds and says what they showed.
import type { Host } from '../cluster/host.ts';
import { textLog } from '../lib/log.ts';
import { FAULTS, type FaultKind } from '../sim/faults.ts';
import { lineOf, textOf } from '../sim/report.ts';
import { type SimulationOptions, type SimulationResult, simulate } from '../sim/simulation.ts';
import { type Invocation, numberFlag, stringFlag, UsageError } from './arguments.ts';

const DEFAULT_NODES = 20;
const DEFAULT_DURATION_MS = 5 * 60_000;
const MAXIMUM_SEED = 2 ** 32 - 1;

/** 0: every invariant held; 1: one did not. */
export async function runSimulations(host: Host, invocation: Invocation, signal: AbortSignal): Promise<number> {
  const { clock } = host.env;
  const first = numberFlag(invocation, 'seed', 0, MAXIMUM_SEED) ?? Math.floor(host.env.random.next() * 1_000_000);
  const untilFailure = invocation.flags.get('until-failure') === true;
  const runs = numberFlag(invocation, 'runs', 1, 1_000_000) ?? (untilFailure ? Number.POSITIVE_INFINITY : 1);
  const json = invocation.flags.get('json') === true;
  const shape = shapeOf(host, invocation);
  const failed: number[] = [];
  for (let seed = first; seed < first + runs; seed++) {
    const beganMs = clock.monotonic();
    const result = await simulate({ ...shape, seed, signal });
    const realMs = Math.round(clock.monotonic() - beganMs);
    if (result.violations.length > 0) failed.push(seed);
    if (json) host.out(`${JSON.stringify({ ...result, realMs })}\n`);
    else host.out(`${textFor(result, realMs, invocation, runs > 1)}\n`);
    if (untilFailure && failed.length > 0) break;
  }
  if (runs > 1 && !json)
    host.out(`${failed.length === 0 ? 'no seed failed' : `seeds that failed: ${failed.join(', ')}`}\n`);
  return failed.length === 0 ? 0 : 1;
}

function textFor(result: SimulationResult, realMs: number, invocation: Invocation, brief: boolean): string {
  if (brief && result.violations.length === 0) return lineOf(result, realMs);
  const kept = ['nodes', 'duration', 'faults'].flatMap((name) => {
    const value = stringFlag(invocation, name);
    return value === undefined ? [] : [`--${name} ${value}`];
  });
  return textOf(result, realMs, ['tsukube simulate', `--seed ${result.seed}`, ...kept].join(' '));
}

function shapeOf(host: Host, invocation: Invocation): Omit<SimulationOptions, 'seed' | 'signal'> {
  return {
    nodes: numberFlag(invocation, 'nodes', 3, 1_000) ?? DEFAULT_NODES,
    durationMs: durationFlag(invocation) ?? DEFAULT_DURATION_MS,
    faults: faultsFlag(invocation),
    ...(invocation.flags.get('verbose') === true && { log: (virtual) => textLog(virtual, host.err, 'info') }),
  };
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

function durationFlag(invocation: Invocation): number | undefined {
  const text = stringFlag(invocation, 'duration');
  if (text === undefined) return undefined;
  const [, amount, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[unit ?? ''] ?? 0);
  if (ms > 0) return ms;
  throw new UsageError(`--duration must be a time like 90s, 5m or 1h, not "${text}"`);
}

function faultsFlag(invocation: Invocation): readonly FaultKind[] {
  const text = stringFlag(invocation, 'faults');
  if (text === undefined) return FAULTS;
  if (text === 'none') return [];
  const wanted = text.split(',');
  const unknown = wanted.find((name) => !FAULTS.some((kind) => kind === name));
  if (unknown === undefined) return FAULTS.filter((kind) => wanted.includes(kind));
  throw new UsageError(`--faults must be "none" or some of ${FAULTS.join(',')}, not "${unknown}"`);
}
