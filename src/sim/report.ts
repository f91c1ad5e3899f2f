// What a person reads after a run.
import type { SimulationResult } from './simulation.ts';

/** One line for a run among many. */
export function lineOf(result: SimulationResult, realMs: number): string {
  const { seed, digest, virtualMs, writes, deliveries, violations } = result;
  const pace = `${Math.round(virtualMs / 1000)} s in ${(realMs / 1000).toFixed(1)} s`;
  const verdict =
    violations.length === 0 ? 'ok' : `VIOLATED: ${[...new Set(violations.map((v) => v.invariant))].join(', ')}`;
  return `seed ${String(seed).padEnd(6)} ${digest.slice(0, 16)}  ${pace}, ${writes} writes, ${deliveries} deliveries  ${verdict}`;
}

/** What happened when, what was checked, and how to see it again. */
export function textOf(result: SimulationResult, realMs: number, command: string): string {
  const { checked, violations } = result;
  const injected = Object.entries(result.injected).map(([what, count]) => `${what} ${count}×`);
  const lines = [
    ...result.timeline.map(({ atMs, what }) => `${at(atMs)}  ${what}`),
    '',
    `seed         ${result.seed}, ${result.nodes} nodes, faults: ${injected.join(', ') || 'none'}`,
    `time         ${(result.virtualMs / 1000).toFixed(1)} s virtual in ${(realMs / 1000).toFixed(1)} s real, ${Math.round(result.virtualMs / Math.max(1, realMs))} times as fast`,
    `trace        ${result.writes} writes, ${result.deliveries} watch deliveries`,
    `digest       ${result.digest}`,
    `checked      ${checked.deliveries} deliveries against the history, ${checked.leaderWrites} writes of leaders, ${checked.evictions} evictions`,
    `convergence  ${result.convergedMs === undefined ? 'not reached' : `${(result.convergedMs / 1000).toFixed(1)} s after the last fault`}`,
    ...violations.map((v) => `VIOLATED     ${at(v.atMs)}  ${v.invariant}: ${v.detail}`),
    violations.length === 0 ? 'invariants   all hold' : `again        ${command}`,
  ];
  return lines.join('\n');
}

function at(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(8)} s`;
}
