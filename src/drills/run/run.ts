// One drill from beginning to end: clients start, faults happen and are healed, the cluster becomes whole, clients are judged.
import { sleep } from '../../lib/clock.ts';
import { type Drill, type Step, TAIL_MS } from '../faults/drill.ts';
import { describeFault } from '../faults/fault.ts';
import type { Ground } from '../faults/ground.ts';
import { planOf, type Situation } from '../faults/operations.ts';
import { impossible } from '../faults/possible.ts';
import { type Journal, undo } from '../watchdog/journal.ts';
import { Clients, type Hearing } from './clients.ts';
import { evictOnAndOn } from './eviction.ts';
import { type Bound, judge } from './objective.ts';
import { Observer } from './observer.ts';
import { type DrillResult, type FaultBand, type Measures, NOTHING_MEASURED, type TimelineEvent } from './result.ts';
import { SharedBudgets } from './shared-budgets.ts';
import type { Stage } from './stage.ts';

export interface RunOptions {
  readonly stage: Stage;
  readonly ground: Ground;
  readonly journal: Journal;
  readonly bounds: readonly Bound[];
  readonly say: (text: string) => void;
}

/** Clients are at rest for so long before the first fault. */
const REST_MS = 2_000;
/** Longer than anything in the fast profile; the default profile's minutes are the drill's own to bound. */
const RECOVER_WITHIN_MS = 90_000;

/** Never leaves a fault behind: what begins is written down first, and undone when the signal aborts. */
export async function runDrill(drill: Drill, options: RunOptions, signal: AbortSignal): Promise<DrillResult> {
  const { stage, bounds } = options;
  const { clock } = stage.env;
  const startedAt = clock.now();
  const base = {
    drill: drill.name,
    title: drill.title,
    cluster: stage.layout.name,
    profile: stage.settings.profile,
    startedAt,
  };
  const reason = await notPossible(drill, stage);
  if (reason !== undefined) return { ...base, ...EMPTY, outcome: 'impossible', reason };
  await stage.whole(signal);
  await stage.spread(signal);
  const run = new DrillRun(drill, options);
  const found = await run.run(startedAt, signal);
  const verdicts = judge(bounds, found.measures);
  const passed = verdicts.every(({ holds }) => holds) && found.checks.every(({ problems }) => problems.length === 0);
  return { ...base, ...found, verdicts, outcome: passed ? 'passed' : 'failed' };
}

const EMPTY = {
  lengthMs: 0,
  faults: [],
  probes: [],
  timeline: [],
  measures: NOTHING_MEASURED,
  verdicts: [],
  checks: [],
} as const;

async function notPossible(drill: Drill, { topology }: Stage): Promise<string | undefined> {
  const { controlPlanes = 3, workers = 1, virtualAddress } = drill.needs ?? {};
  const of = (role: string): number => topology.hosts.filter((host) => host.role === role && !host.destroyed).length;
  if (of('control-plane') < controlPlanes) return `it takes ${controlPlanes} control planes`;
  if (of('worker') < workers) return `it takes ${workers} workers`;
  if (virtualAddress && !topology.virtualAddress) return 'the cluster has no address of its own (--no-keepalived)';
  for (const { fault } of drill.steps) {
    const why = await impossible(fault);
    if (why !== undefined) return why;
  }
  return undefined;
}

class DrillRun {
  readonly #drill: Drill;
  readonly #options: RunOptions;
  readonly #ground: SharedBudgets;
  readonly #bands: { what: string; hit: readonly string[]; fromMs: number; toMs?: number }[] = [];
  #originMs = 0;

  constructor(drill: Drill, options: RunOptions) {
    this.#drill = drill;
    this.#options = options;
    this.#ground = new SharedBudgets(options.ground);
  }

  async run(
    startedAt: number,
    signal: AbortSignal,
  ): Promise<Omit<DrillResult, 'drill' | 'title' | 'cluster' | 'profile' | 'startedAt' | 'verdicts' | 'outcome'>> {
    const { stage } = this.#options;
    const { clock } = stage.env;
    this.#originMs = clock.monotonic();
    const situation = await stage.situation(signal);
    const clients = new Clients(stage, this.#quietAddresses(situation));
    const observer = new Observer(stage, this.#originMs);
    const observing = new AbortController();
    let watching: Promise<void> = Promise.resolve();
    try {
      await clients.start(`${this.#drill.name}-${(startedAt % 1e9).toString(36)}`, signal);
      watching = observer.run(observing.signal);
      await sleep(clock, REST_MS, signal);
      // To look takes a while: what clients see counts from the fault, not from the look.
      this.#last = { atMs: 0, situation: Promise.resolve(await stage.situation(signal)) };
      const firstMs = clock.monotonic();
      await this.#beset(firstMs, observer, signal);
      const healedMs = clock.monotonic();
      observer.note('drill', 'all faults have ended');
      const recovered = await this.#recover(healedMs, observer, signal);
      await sleep(clock, Math.max(0, healedMs + (this.#drill.tailMs ?? TAIL_MS) - clock.monotonic()), signal);
      const hearing = await clients.end(this.#originMs, firstMs, signal);
      observing.abort();
      await watching;
      return this.#found({ clients, hearing, observer, firstMs, recovered });
    } finally {
      observing.abort();
      clients.close();
      await watching.catch(() => undefined);
    }
  }

  #found(seen: {
    readonly clients: Clients;
    readonly hearing: Hearing;
    readonly observer: Observer;
    readonly firstMs: number;
    readonly recovered: { readonly tookMs: number | undefined; readonly problem: string | undefined };
  }) {
    const { clients, hearing, observer, firstMs, recovered } = seen;
    const gone = (name: string): number | undefined => hearing.probes.find((probe) => probe.name === name)?.goneMs;
    const first = firstMs - this.#originMs;
    const sign = observer.events.find(({ kind, atMs }) => kind !== 'drill' && kind !== 'pod' && atMs >= first);
    const lastBad = Math.max(...['writes', 'service'].map((name) => clients.lastFailure(name) ?? firstMs));
    const measures: Measures = {
      writes: gone('writes'),
      reads: gone('reads'),
      service: gone('service'),
      dns: gone('dns'),
      pods: hearing.podsMs === undefined ? undefined : Math.round(hearing.podsMs),
      watch: hearing.watchMs === undefined ? undefined : Math.round(hearing.watchMs),
      detect: sign && Math.round(sign.atMs - first),
      failover: Math.round(lastBad - firstMs),
      recover: recovered.tookMs,
      failed: hearing.probes.find(({ name }) => name === 'writes')?.failed,
    };
    return {
      lengthMs: Math.round(this.#options.stage.env.clock.monotonic() - this.#originMs),
      faults: this.#bands as readonly FaultBand[],
      probes: hearing.probes,
      timeline: observer.events as readonly TimelineEvent[],
      measures,
      checks: [
        ...hearing.checks,
        { name: 'one pod at a time of each StatefulSet name', looked: observer.looks, problems: [...observer.doubles] },
        { name: 'disruption budgets', looked: observer.budgets.evicted, problems: observer.budgets.overdrawn },
        { name: 'convergence', looked: 1, problems: recovered.problem === undefined ? [] : [recovered.problem] },
      ],
    };
  }

  /** Pods are evicted while faults last, so that budgets and identities are at stake; not while a fault itself evicts. */
  async #beset(firstMs: number, observer: Observer, signal: AbortSignal): Promise<void> {
    const { stage, say } = this.#options;
    const evicting = new AbortController();
    const connection = await stage.connect();
    const besetting = {
      connection,
      clock: stage.env.clock,
      isHeld: () => this.#ground.isSpending,
      onProblem: (text: string) => {
        observer.note('problem', text);
        say(text);
      },
    };
    const evictions = evictOnAndOn(besetting, AbortSignal.any([signal, evicting.signal]));
    try {
      await this.#steps(firstMs, observer, signal);
    } finally {
      evicting.abort();
      connection.close();
      const { going, refused, unanswered } = await evictions;
      const answers = `${going} allowed, ${refused} refused by the budget, ${unanswered} not answered`;
      observer.note('drill', `evictions beside the faults: ${answers}`);
    }
  }

  /** All of them at their times. When one cannot be made, or the signal aborts, everything is undone before this rejects. */
  async #steps(firstMs: number, observer: Observer, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    const running = this.#drill.steps.map((step) =>
      this.#step(step, firstMs, observer, both).catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    );
    const ended = await Promise.allSettled(running);
    signal.throwIfAborted();
    const failed =
      ended.find((one) => one.status === 'rejected' && one.reason !== stop.signal.reason) ??
      ended.find((one) => one.status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  async #step(step: Step, firstMs: number, observer: Observer, signal: AbortSignal): Promise<void> {
    const { stage, journal, say } = this.#options;
    const { clock } = stage.env;
    await sleep(clock, Math.max(0, firstMs + step.atMs - clock.monotonic()), signal);
    const what = describeFault(step.fault);
    // What leads now may be another than at the beginning.
    const plan = planOf(step.fault, await this.#situationNow(step, signal));
    const strike = await journal.add(what, plan.undoes);
    const band: { what: string; hit: readonly string[]; fromMs: number; toMs?: number } = {
      what,
      hit: plan.hit,
      fromMs: Math.round(clock.monotonic() - this.#originMs),
    };
    this.#bands.push(band);
    observer.note('drill', `${what}: ${plan.hit.join(', ')}`);
    say(`${what}: ${plan.hit.join(', ')}`);
    try {
      for (const operation of plan.does) await this.#ground.perform(operation, signal);
      if (step.forMs !== undefined) await sleep(clock, step.forMs, signal);
    } finally {
      // Not by the drill's signal: what was aborted is healed all the same.
      const failures = await undo(plan.undoes, this.#ground, new AbortController().signal);
      if (plan.undoes.length > 0) {
        band.toMs = Math.round(clock.monotonic() - this.#originMs);
        observer.note('drill', `healed: ${what}`);
      }
      if (failures.length === 0) await strike();
      else say(`cannot undo "${what}": ${failures.map(String).join('; ')}`);
    }
  }

  /** Of several faults at the same time, the later ones still know who led before the first. */
  #last: { readonly atMs: number; readonly situation: Promise<Situation> } | undefined;

  #situationNow(step: Step, signal: AbortSignal): Promise<Situation> {
    if (this.#last?.atMs !== step.atMs) {
      this.#last = { atMs: step.atMs, situation: this.#options.stage.situation(signal) };
    }
    return this.#last!.situation;
  }

  async #recover(healedMs: number, observer: Observer, signal: AbortSignal) {
    const { stage } = this.#options;
    try {
      let last = '';
      const onWrong = (wrong: readonly string[]): void => {
        const text = wrong.join('; ');
        if (text !== last) observer.note('problem', `not whole yet: ${text}`);
        last = text;
      };
      await stage.whole(signal, { withinMs: RECOVER_WITHIN_MS, onWrong });
    } catch (error) {
      signal.throwIfAborted();
      return { tookMs: undefined, problem: (error as Error).message };
    }
    observer.note('drill', 'the cluster is whole');
    return { tookMs: Math.round(stage.env.clock.monotonic() - healedMs), problem: undefined };
  }

  /** The last worker that no step hits, as far as can be told now. */
  #quietAddresses(situation: Situation): readonly string[] {
    const hit = new Set(
      this.#drill.steps.flatMap(({ fault }) => {
        try {
          return fault.kind === 'kill-pod' || fault.kind === 'partition' ? [] : planOf(fault, situation).hit;
        } catch {
          return [];
        }
      }),
    );
    const workers = situation.hosts.filter(({ role }) => role === 'worker');
    const quiet = (workers.length > 0 ? workers : situation.hosts).filter(({ name }) => !hit.has(name));
    return [(quiet.at(-1) ?? situation.hosts[0]!).address];
  }
}
