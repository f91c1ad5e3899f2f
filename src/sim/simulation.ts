// A whole cluster in one process, on a virtual clock, from a seed: API server, controllers, scheduler, elections, nodes, a user.
import { Tables } from '../api/tables.ts';
import { makeInformers } from '../client/informers.ts';
import { sleep } from '../lib/clock.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { runSimulatedNodes, type SimulatedNodes } from '../simulated/simulated-nodes.ts';
import { ADMINISTRATOR, startServer } from './api-server.ts';
import { type Candidate, type CandidateKind, clientOver, stand } from './candidates.ts';
import { unsettled } from './convergence.ts';
import { SimulatedDisk } from './disk.ts';
import { type FaultKind, Faults } from './faults.ts';
import { type Change, History } from './history.ts';
import { Network } from './network.ts';
import { SimulatedProcess, type World } from './process.ts';
import { Safety } from './safety.ts';
import { User } from './user.ts';
import { type Violation, Violations } from './violations.ts';
import { VirtualClock } from './virtual-clock.ts';
import { WatchOrder } from './watch-order.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Virtual time with changes and faults; then faults stop, and the cluster has CONVERGENCE_MS. */
  readonly durationMs: number;
  readonly faults: readonly FaultKind[];
  /** Ends the run in the middle: simulate() then rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Of the simulated components, with virtual times. */
  readonly log?: (clock: VirtualClock) => Log;
}

/** Something that was done to the cluster, or seen. */
export interface Moment {
  readonly atMs: number;
  readonly what: string;
}

export interface SimulationResult {
  readonly seed: number;
  readonly nodes: number;
  readonly faults: readonly FaultKind[];
  /** SHA-256 over every write of the store and every delivery of every watch, in their order. */
  readonly digest: string;
  readonly virtualMs: number;
  readonly writes: number;
  readonly deliveries: number;
  /** How much each check had to look at: a check that looked at nothing says nothing. */
  readonly checked: { readonly deliveries: number; readonly leaderWrites: number; readonly evictions: number };
  readonly injected: Readonly<Record<string, number>>;
  readonly timeline: readonly Moment[];
  /** After the end of all faults until everything was as declared; absent: never. */
  readonly convergedMs: number | undefined;
  readonly violations: readonly Violation[];
}

/** Every run begins at the same moment. */
const START_MS = Date.UTC(2026, 0, 1);
/** Longer than any eviction, back-off and lease together. */
const CONVERGENCE_MS = 15 * 60_000;
const LOOK_MS = 2_000;
/** Once converged, the cluster has this long for what is late, and is then watched as long: nothing must change any more. */
const QUIET_MS = 30_000;
/** What goes on in a quiet cluster: elections and heartbeats, and what is told of the past. */
const LIVELY = ['/registry/leases/', '/registry/minions/', '/registry/events/'];
const NEVER = new AbortController().signal;

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const clock = new VirtualClock(START_MS);
  const simulation = new Simulation(options, clock);
  let ended = false;
  let failure: unknown;
  const run = simulation.run().then(
    () => {
      ended = true;
    },
    (error: unknown) => {
      ended = true;
      failure = error;
    },
  );
  try {
    await clock.run(() => ended || options.signal?.aborted === true);
  } catch (error) {
    failure = error;
  }
  simulation.close();
  options.signal?.throwIfAborted();
  if (ended) await run;
  return simulation.result(failure);
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #clock: VirtualClock;
  readonly #world: World;
  readonly #tables = new Tables();
  readonly #violations: Violations;
  readonly #history: History;
  readonly #safety: Safety;
  readonly #order: WatchOrder;
  readonly #network: Network;
  readonly #disk: SimulatedDisk;
  readonly #timeline: Moment[] = [];
  #candidates: Candidate[] = [];
  #faults: Faults | undefined;
  #convergedMs: number | undefined;

  constructor(options: SimulationOptions, clock: VirtualClock) {
    this.#options = options;
    this.#clock = clock;
    this.#world = { seed: options.seed, clock, log: options.log?.(clock) ?? silentLog, lives: new Map() };
    this.#violations = new Violations(clock);
    this.#history = new History(this.#violations);
    this.#safety = new Safety(this.#history, this.#violations, clock);
    this.#order = new WatchOrder(this.#history, this.#violations);
    this.#network = new Network(this.#world, this.#history, this.#order);
    this.#disk = new SimulatedDisk(this.#world);
  }

  async run(): Promise<void> {
    const { durationMs, faults: kinds } = this.#options;
    await this.#startServer();
    for (const kind of ['controllers', 'scheduler'] as const) for (const n of [1, 2]) this.#stand(kind, `${kind}-${n}`);
    const nodes = await this.#startNodes();
    const user = this.#user(nodes);
    await user.begin();
    await this.#settle('the first state', CONVERGENCE_MS);
    this.#faults = new Faults(this.#stage(nodes), kinds);
    let over = false;
    const acting = user.act(() => over);
    await this.#faults.run(durationMs);
    over = true;
    this.#say('faults have stopped');
    const stoppedMs = this.#clock.monotonic();
    await acting;
    await user.end();
    this.#convergedMs = await this.#settle('what is declared', CONVERGENCE_MS, stoppedMs);
    if (this.#convergedMs !== undefined) await this.#staysQuiet();
    this.#history.finish();
  }

  close(): void {
    this.#network.close();
  }

  result(failure: unknown): SimulationResult {
    const { seed, nodes, faults } = this.#options;
    if (failure !== undefined) {
      this.#violations.add(
        'the simulation runs to its end',
        failure instanceof Error ? (failure.stack ?? '') : String(failure),
      );
    }
    return {
      seed,
      nodes,
      faults,
      digest: this.#history.digest(),
      virtualMs: Math.round(this.#clock.monotonic()),
      writes: this.#history.head,
      deliveries: this.#history.deliveries,
      checked: {
        deliveries: this.#order.checked,
        leaderWrites: this.#safety.fencedWrites,
        evictions: this.#safety.evictions,
      },
      injected: this.#faults?.counts ?? {},
      timeline: this.#timeline,
      convergedMs: this.#convergedMs,
      violations: this.#violations.all,
    };
  }

  #say(what: string): void {
    this.#timeline.push({ atMs: Math.round(this.#clock.monotonic()), what });
    this.#history.note(`# ${what}`);
  }

  async #startServer(): Promise<void> {
    this.#network.server = await startServer({
      world: this.#world,
      tables: this.#tables,
      disk: this.#disk,
      history: this.#history,
      violations: this.#violations,
    });
  }

  #stand(kind: CandidateKind, name: string): void {
    const parts = { network: this.#network, tables: this.#tables, violations: this.#violations };
    this.#candidates.push(stand(kind, name, parts));
  }

  /** "controllers-1" is followed by "controllers-1-a". */
  #replace(dead: Candidate): void {
    this.#candidates = this.#candidates.filter((one) => one !== dead);
    const name = `${dead.name}a`;
    this.#say(`${name} takes the place of ${dead.name}`);
    this.#stand(dead.kind, name);
  }

  async #startNodes(): Promise<SimulatedNodes> {
    const program = new SimulatedProcess(this.#world, 'nodes');
    const client = clientOver(this.#network.connect(program), this.#tables, program.env, ADMINISTRATOR);
    const informers = makeInformers({ client, tables: this.#tables, env: program.env });
    const options = { count: this.#options.nodes, zones: ['a', 'b', 'c'], startMs: 1_500, stopMs: 1_000 };
    return runSimulatedNodes({ client, informers, env: program.env }, options, program.signal);
  }

  #user(nodes: SimulatedNodes): User {
    const program = new SimulatedProcess(this.#world, 'user');
    const client = clientOver(this.#network.connect(program), this.#tables, program.env, {
      ...ADMINISTRATOR,
      username: 'kubernetes-admin',
    });
    return new User({ client, program, nodes: nodes.names(), say: (what) => this.#say(`user ${what}`) });
  }

  #stage(nodes: SimulatedNodes) {
    return {
      world: this.#world,
      network: this.#network,
      disk: this.#disk,
      history: this.#history,
      nodes,
      candidates: () => this.#candidates,
      replace: (dead: Candidate) => this.#replace(dead),
      restartServer: () => this.#startServer(),
      say: (what: string) => this.#say(what),
    };
  }

  /** How long after `sinceMs` everything is as declared; undefined, and a violation, when it is not within the time. */
  async #settle(what: string, withinMs: number, sinceMs = this.#clock.monotonic()): Promise<number | undefined> {
    const endMs = sinceMs + withinMs;
    for (;;) {
      const left = unsettled(this.#history);
      const tookMs = Math.round(this.#clock.monotonic() - sinceMs);
      if (left.length === 0) {
        this.#say(`${what} is reached`);
        return tookMs;
      }
      if (this.#clock.monotonic() >= endMs) {
        const some = left.slice(0, 8).join('; ');
        this.#violations.add(
          'convergence',
          `${what} is not reached within ${withinMs / 1000} s: ${some} (${left.length})`,
        );
        return undefined;
      }
      await sleep(this.#clock, LOOK_MS, NEVER);
    }
  }

  async #staysQuiet(): Promise<void> {
    await sleep(this.#clock, QUIET_MS, NEVER);
    const seen: Change[] = [];
    this.#history.observe((change) => seen.push(change));
    await sleep(this.#clock, QUIET_MS, NEVER);
    const busy = seen.filter(({ key }) => !LIVELY.some((prefix) => key.startsWith(prefix)));
    for (const { key, origin, object, previous } of busy.slice(0, 5)) {
      const what = `${key} (${changedPaths(previous, object).join(', ')}) was written by ${origin?.user ?? 'the store'}`;
      this.#violations.add('quiet when settled', `${what}, ${busy.length} writes in all`);
    }
    for (const problem of unsettled(this.#history).slice(0, 5))
      this.#violations.add('convergence', `no longer: ${problem}`);
  }
}

const MAXIMUM_PATHS = 6;

/** Where two values differ, as paths; at most MAXIMUM_PATHS. */
function changedPaths(before: unknown, after: unknown, path = ''): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isTree = (value: unknown): value is object => typeof value === 'object' && value !== null;
  if (!isTree(before) || !isTree(after)) return [path === '' ? 'all of it' : path.slice(1)];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  const of = (value: object, key: string): unknown => (value as { readonly [key: string]: unknown })[key];
  return [...keys]
    .flatMap((key) => changedPaths(of(before, key), of(after, key), `${path}.${key}`))
    .slice(0, MAXIMUM_PATHS);
}
